"""Prepared sets that are some rows of another one: its pixels lie there, once for all folds of all seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.store.arrays import load_arrays, save_arrays

FILE = "view.npz"


class RowsOf:
    """Some rows of a memory-mapped array, copied out as they are asked for; as much of an array as image sets use."""

    def __init__(self, whole: NDArray[Any], rows: NDArray[np.int64]) -> None:
        self.whole, self.rows = whole, rows
        self.shape = (len(rows), *whole.shape[1:])
        self.dtype, self.ndim = whole.dtype, whole.ndim

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return self.whole[self.rows[key]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)


def write_view(folder: Path, of: Path, rows: NDArray[np.int64]) -> None:
    """Say in `folder` that it is these rows of the set `of`, which lies, or will lie, beside it."""
    save_arrays(folder / FILE, {"of": np.array(of.name), "rows": rows})


def view_of(folder: Path) -> tuple[Path, NDArray[np.int64]] | None:
    """The set that a folder is a view of, and which rows; None where it has pixels of its own. Raises StoreError."""
    if not (folder / FILE).is_file():
        return None
    view = load_arrays(folder / FILE)
    return folder.parent / str(view["of"]), view["rows"]
