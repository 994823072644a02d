"""Exact nearest neighbors by cosine, block by block: what is kept is k neighbors of every image, never all distances.

Letters: n images, m queries, c channels, k neighbors.

Among one set of images each block of similarities serves its rows and its columns, so that half of them are computed.
Of a block only what is at least as near as the k-th neighbor so far is looked at. Ties go to the lower index.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError

BLOCK = 4096
"""Rows and columns of a block: 64 MB of similarities."""

Indices = NDArray[np.int64]
Floats32 = NDArray[np.float32]


def unit_rows(features: np.ndarray, of: str = "") -> Floats32:
    """Rows of length 1, float32 (a zero row stays zero: as far from everything as an orthogonal one). Raises DataError,
    naming whose features they are, where they are not finite."""
    wide = np.asarray(features, dtype=np.float32)
    if not np.isfinite(wide).all():
        bad = int(np.flatnonzero(~np.isfinite(wide).all(axis=1))[0])
        raise DataError(f"neighbors: features of {of!r} are not finite (first at image {bad}). Check these weights.")
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.maximum(norms, 1e-12)


def nearest_others(unit: Floats32, k: int, block: int = BLOCK) -> tuple[Indices, Floats32]:
    """Of every row of `unit` (n, c) the k other rows that are nearest, and their similarities, both (n, k)."""
    found = _Found(len(unit), k)
    for low in range(0, len(unit), block):
        rows = slice(low, min(low + block, len(unit)))
        for first in range(low, len(unit), block):
            columns = slice(first, min(first + block, len(unit)))
            similar = unit[rows] @ unit[columns].T
            if first == low:
                np.fill_diagonal(similar, -np.inf)
            found.look(rows, columns, similar)
            if first > low:
                found.look(columns, rows, similar.T)
    return found.index.astype(np.int64), found.similar


def nearest(queries: Floats32, unit: Floats32, k: int, block: int = BLOCK) -> tuple[Indices, Floats32]:
    """Of every row of `queries` (m, c) the k rows of `unit` (n, c) that are nearest, and their similarities (m, k)."""
    found = _Found(len(queries), k)
    for low in range(0, len(queries), block):
        rows = slice(low, min(low + block, len(queries)))
        for first in range(0, len(unit), block):
            columns = slice(first, min(first + block, len(unit)))
            found.look(rows, columns, queries[rows] @ unit[columns].T)
    return found.index.astype(np.int64), found.similar


class _Found:
    """The k nearest of m rows so far, nearest first."""

    def __init__(self, m: int, k: int) -> None:
        self.k = k
        self.index = np.full((m, k), np.iinfo(np.int32).max, dtype=np.int32)
        self.similar = np.full((m, k), -np.inf, dtype=np.float32)

    def look(self, rows: slice, columns: slice, similar: Floats32) -> None:
        """Take in the similarities of these rows to these columns."""
        least = self.similar[rows, -1]
        if np.isneginf(least).any() and similar.shape[1] > self.k:  # nothing is known yet: the block's own k-th
            own = np.partition(similar, similar.shape[1] - self.k, axis=1)[:, similar.shape[1] - self.k]
            least = np.maximum(least, own)
        row, column = np.nonzero(similar >= least[:, None])
        near = similar[row, column]
        known = np.arange(len(least), dtype=row.dtype).repeat(self.k)
        row = np.concatenate([known, row])
        near = np.concatenate([self.similar[rows].ravel(), near])
        index = np.concatenate([self.index[rows].ravel(), (column + columns.start).astype(np.int32)])
        order = np.lexsort((index, -near, row))
        starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(least)))[:-1]])
        kept = order[starts[:, None] + np.arange(self.k)]
        self.index[rows], self.similar[rows] = index[kept], near[kept]
