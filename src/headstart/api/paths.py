"""Places on disk, as callers give them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PathLike = str | Path


def as_path(path: PathLike | None) -> Path | None:
    """Text or a path as a path; None stays."""
    return None if path is None else Path(path)


def as_paths(paths: PathLike | Sequence[PathLike] | None) -> tuple[Path, ...]:
    """One or several of them as paths; none for None."""
    if paths is None:
        return ()
    return (Path(paths),) if isinstance(paths, str | Path) else tuple(map(Path, paths))
