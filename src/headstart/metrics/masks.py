"""Masks of true objects and detections, as run lengths end to end. No pixel is drawn.

Letters: m masks, r run lengths in all. Runs are counted down the columns of an image, from its top left pixel: how many
pixels are outside, how many inside, and so on (COCO's form).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Masks:
    """counts (r,) int64: run lengths of all masks; offsets (m + 1,): those of mask i are counts[offsets[i]:
    offsets[i + 1]]. Masks that are compared must be of images of one size."""

    counts: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[ArrayLike]) -> Masks:
        """From the run lengths of each."""
        arrays = [np.asarray(part, np.int64) for part in parts]
        offsets = np.concatenate([[0], np.cumsum([len(array) for array in arrays])]).astype(np.int64)
        return cls(np.concatenate([*arrays, np.zeros(0, np.int64)]), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def areas(self) -> NDArray[np.float64]:
        """(m,) pixels inside."""
        from headstart.metrics import _mask_overlaps

        return _mask_overlaps.inside_of(self.counts, self.offsets)[:, 0].astype(np.float64)

    def take(self, rows: ArrayLike) -> Masks:
        """The masks `rows`: indices or a mask of booleans."""
        chosen = np.arange(len(self))[np.asarray(rows)]
        lengths = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        return Masks(self.counts[at], offsets)
