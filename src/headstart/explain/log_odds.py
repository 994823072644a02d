"""Slopes of the log-odds of being right, with one constant per class.

Letters: n images, p regressors, K classes, B bootstrap resamples.

Losses and shares of errors are no scale to look for interactions on: both shrink where a network is sure, so an arm
that is weaker everywhere by the same log-odds seems to mind many and small objects less, or more, than it does
(`benchmarks/interactions.py`). In log-odds such an arm differs by a constant.

The point estimate maximizes the likelihood with D. Firth's penalty (Biometrika 80, 1993), which takes off the bias of
order 1/n, and is finite where a class has no error at all. Replicates make one step of Newton's method from there
under each resample's weights: as exact as replicates have to be, at the cost of a least-squares fit (tested against
fits of whole resamples).
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from headstart.explain.least_squares import coefficients

TOLERANCE = 1e-8
MOST_STEPS = 100
LONGEST_STEP = 2.0
"""No step of Newton's method changes an image's log-odds by more."""


def slopes(right: np.ndarray, classes: np.ndarray, x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(p,) slopes of the log-odds of `right` (n,), 0 or 1 or a probability between, and replicates (B, p).

    classes (n,) int, x (n, p), weights (B, n). All nan where the regressors do not vary independently within classes,
    or where the maximum was not reached.
    """
    response = np.asarray(right, dtype=np.float64)
    _, group = np.unique(classes, return_inverse=True)
    centered = x - x.mean(axis=0)
    log_odds = np.zeros(len(response))
    nothing = np.full(x.shape[1], np.nan)
    beta = np.zeros(x.shape[1])
    for _ in range(MOST_STEPS):
        work, curvature = _working(response, group, centered, log_odds)
        beta = coefficients(work, group, centered, curvature[None])[0]
        if not np.isfinite(beta).all():
            break
        rest = np.bincount(group, curvature * (work - centered @ beta)) / np.bincount(group, curvature)
        step = rest[group] + centered @ beta - log_odds
        log_odds = log_odds + step * min(1.0, LONGEST_STEP / max(np.abs(step).max(), TOLERANCE))
        if np.abs(step).max() < TOLERANCE:
            return beta, coefficients(work, group, centered, weights * curvature)
    return nothing, np.tile(nothing, (len(weights), 1))


def _working(
    response: np.ndarray, group: np.ndarray, x: np.ndarray, log_odds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the next step of Newton's method regresses on x and class constants, and the weights (n,) of that."""
    probability = expit(log_odds)
    curvature = np.maximum(probability * (1 - probability), 1e-12)
    size = np.bincount(group, curvature)
    mean = np.stack([np.bincount(group, curvature * column) / size for column in x.T], axis=1)
    off = x - mean[group]
    leverage = 1 / size[group] + np.einsum("ni,ij,nj->n", off, np.linalg.pinv(off.T @ (off * curvature[:, None])), off)
    score = response - probability + curvature * leverage * (0.5 - probability)
    return log_odds + score / curvature, curvature
