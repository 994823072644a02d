"""Weighted least squares with one constant per class, for many rows of weights at once.

Letters: n images, p regressors, B bootstrap resamples.
"""

from __future__ import annotations

import numpy as np

_CHUNK_RESAMPLES = 256


def coefficients(d: np.ndarray, classes: np.ndarray, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted least squares of d on p regressors and one constant per class, for every row of weights.

    d (n,), classes (n,) int, x (n, p), weights (B, n) >= 0. Returns (B, p), NaN where the regressors do not vary
    independently within classes. Class constants are taken out exactly (Frisch, Waugh, Lovell): per resample only
    p x p normal equations of class-centered sums are solved.
    """
    _, group = np.unique(classes, return_inverse=True)
    one_hot = np.eye(int(group.max()) + 1)[group]
    table = np.column_stack([x, d]).astype(np.float64)
    # Centering first changes nothing in exact arithmetic and keeps the differences of sums below well conditioned.
    table -= (one_hot.T @ table / one_hot.sum(axis=0)[:, None])[group]
    q = table.shape[1]
    products = np.einsum("ni,nj->nij", table, table).reshape(len(d), q * q)
    sums_of = np.concatenate([(one_hot[:, :, None] * table[:, None, :]).reshape(len(d), -1), one_hot], axis=1)
    slopes = np.empty((len(weights), q - 1))
    for start in range(0, len(weights), _CHUNK_RESAMPLES):
        w = np.asarray(weights[start : start + _CHUNK_RESAMPLES], dtype=np.float64)
        sums = w @ sums_of
        of_class = sums[:, : -one_hot.shape[1]].reshape(len(w), -1, q)
        size = np.maximum(sums[:, -one_hot.shape[1] :], 1e-300)
        between = np.einsum("bki,bkj->bij", of_class / size[:, :, None], of_class)
        within = (w @ products).reshape(-1, q, q) - between
        slopes[start : start + len(w)] = _solve(within[:, :-1, :-1], within[:, :-1, -1])
    return slopes


def _solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (B, p, p) symmetric, b (B, p) -> (B, p); NaN where a is singular for practical purposes."""
    scale = np.sqrt(np.maximum(np.einsum("bii->bi", a), 0.0))
    safe = np.where(scale > 0, scale, 1.0)
    correlation = a / (safe[:, :, None] * safe[:, None, :])
    singular = (scale == 0).any(axis=1) | (np.linalg.det(correlation) < 1e-9)
    correlation[singular] = np.eye(a.shape[1])
    solution = np.linalg.solve(correlation, (b / safe)[:, :, None])[:, :, 0] / safe
    solution[singular] = np.nan
    return solution
