"""Bootstrap over test images: one set of weights, shared by everything that is measured on one test set.

Letters: n images, B resamples. Because every arm is measured under the same weights, replicate b of one arm and
replicate b of another belong to the same resample, and their difference is a paired replicate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROWS = 64
"""Weight rows turned to float64 at once: bounds memory on large test sets."""


def image_weights(clusters: ArrayLike, resamples: int, seed: int = 0) -> NDArray[np.uint16]:
    """(B, n) how often each image counts in each resample.

    clusters (n,) int: cluster of each image; images of one cluster (near-duplicates, frames of a video) are drawn
    together. Each resample draws as many clusters as there are, with replacement. Only which images share a cluster
    matters, and which number comes first. Equal arguments give equal weights (NumPy's PCG64); more
    resamples only add rows.
    """
    column = np.asarray(clusters)
    if column.ndim != 1 or not len(column):
        raise ValueError(f"clusters have shape {column.shape}; give one number for each of one or more images")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; it must be at least 1")
    names, cluster_of = np.unique(column, return_inverse=True)
    rng = np.random.default_rng(seed)
    weights = np.empty((resamples, len(column)), dtype=np.uint16)
    for b in range(resamples):
        drawn = rng.integers(len(names), size=len(names))
        weights[b] = np.bincount(drawn, minlength=len(names))[cluster_of]
    return weights


def weighted_mean_replicates(values: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """(B,) mean of values (n,) under image weights (B, n).

    Images whose value is nan have no value and are left out; nan where no image with a value has weight.
    """
    column, rows = np.asarray(values, dtype=np.float64), np.atleast_2d(np.asarray(weights))
    if column.ndim != 1 or rows.ndim != 2 or rows.shape[1] != len(column):
        raise ValueError(f"values have shape {column.shape}, weights {rows.shape}; expected (n,) and (resamples, n)")
    present = ~np.isnan(column)
    known = np.stack([np.where(present, column, 0.0), present], axis=1)
    sums = np.concatenate([rows[i : i + ROWS].astype(np.float64) @ known for i in range(0, len(rows), ROWS)])
    return np.divide(sums[:, 0], sums[:, 1], out=np.full(len(rows), np.nan), where=sums[:, 1] > 0)
