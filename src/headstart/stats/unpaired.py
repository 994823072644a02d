"""Difference of two means over seeds that have nothing in common but the test images.

Letters: S and R seeds of the two arms, B bootstrap resamples of the images (`headstart.stats.bootstrap`).

The seeds of two arms are not pairs: seed 3 of one has nothing to do with seed 3 of the other. Their variance is pooled
(S + R - 2 degrees of freedom, where pairing would leave S - 1); the images are the same for both, so resample b of one
arm and resample b of the other are a pair. The interval is that of `headstart.stats.intervals` with the variance of
the seeds' part of the difference, s2 (1 / S + 1 / R), in the place of s2 / S.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from headstart.stats.intervals import LEVEL, Error, Interval


def unpaired_difference(
    values_a: ArrayLike, replicates_a: ArrayLike, values_b: ArrayLike, replicates_b: ArrayLike, *, level: float = LEVEL
) -> Interval:
    """Interval of mean(a) - mean(b).

    values (S,), (R,): what each seed gave on the test images; replicates (S, B), (R, B): the same under B shared image
    weights. Either arm needs one seed or more; with one seed each only the images' part can be seen and there is no
    p-value. Values or replicates that are nan are treated as in `crossed_interval`. Raises ValueError for other shapes.
    """
    a, b = np.asarray(values_a, np.float64), np.asarray(values_b, np.float64)
    draws_a, draws_b = np.asarray(replicates_a, np.float64), np.asarray(replicates_b, np.float64)
    shapes = (a.shape, draws_a.shape, b.shape, draws_b.shape)
    if a.ndim != 1 or b.ndim != 1 or not len(a) or not len(b) or draws_a.ndim != 2 or draws_b.ndim != 2:
        raise ValueError(f"shapes are {shapes}; expected (S,), (S, B), (R,) and (R, B)")
    if len(draws_a) != len(a) or len(draws_b) != len(b) or draws_a.shape[1] != draws_b.shape[1]:
        raise ValueError(f"shapes are {shapes}; expected (S,), (S, B), (R,) and (R, B) with the same B resamples")
    effect = float(a.mean() - b.mean())
    kept = ~(np.isnan(draws_a).any(0) | np.isnan(draws_b).any(0))
    draws_a, draws_b = draws_a[:, kept], draws_b[:, kept]
    if not math.isfinite(effect) or kept.sum() < 2 or not (np.isfinite(draws_a).all() and np.isfinite(draws_b).all()):
        return Interval(effect, math.nan, math.nan, None, math.nan, math.nan, (effect,))
    of_mean = float((draws_a.mean(0) - draws_b.mean(0)).var(ddof=1))
    df = len(a) + len(b) - 2
    spread = sum(float(((v - v.mean()) ** 2).sum()) for v in (a, b)) / df if df else 0.0
    # What the images do to one seed and not to its arm's mean: it is in the seeds' spread and in of_mean.
    own = [float((d - d.mean(0)).var(axis=1, ddof=1).sum()) for d in (draws_a, draws_b)]
    share = 1 / len(a) + 1 / len(b)
    error = Error.mixture(of_mean, spread * share, sum(own) / df * share if df else 0.0, df)
    return error.interval(effect, level, (effect,))
