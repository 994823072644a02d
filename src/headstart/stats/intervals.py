"""Intervals for means over seeds that were all measured on the same test images.

Letters: S seeds (independent trainings), B bootstrap resamples of the test images (`headstart.stats.bootstrap`).

Seeds and images are crossed: every seed is measured on every image. The value of seed s is modeled as
`truth + seed effect + image effect (shared by all seeds) + interaction`. Its mean over seeds has the variance

    V = V_img(mean) + max(s2 / S - V_e, 0),    V_e = (mean over seeds of V_img(seed) - V_img(mean)) / (S - 1)

s2: variance of the S values; V_img(mean): bootstrap variance of the mean over seeds; V_img(seed): the same of one seed.
The interaction sits in V_img(mean) and in s2 / S; V_e is its share of the mean, and is taken off once.

The images' parts are taken as known; s2 is not: it comes from S values. What S values say about the true variance is
s2 (S - 1) / X with X chi-squared with S - 1 degrees of freedom (R. A. Fisher's fiducial distribution, which is also the
posterior under the prior 1 / variance). With that in the place of s2, V becomes a distribution, and the error of the
mean a mixture of normals; its quantiles make the interval, its tails the p-value. Without an images' part this is
Student's t with S - 1 degrees of freedom; without a seeds' part it is the normal; between, it is the Behrens-Fisher
interval (R. A. Fisher, Annals of Eugenics 6, 1935; S. Weerahandi, JASA 88, 1993) with one variance known. It covers
about 95 % or more; Satterthwaite's degrees of freedom covered 92 % for three seeds with nine tenths of the variance,
since seeds that happen to agree shrink the variance and raise the degrees of freedom at once
(`benchmarks/interval_coverage.py`).

With one seed only the images' part can be seen: the interval holds for that trained model only and there is no
p-value. A percentile bootstrap over three seeds covers about 80 %, not 95 % (`tests/test_stats_intervals.py` shows it).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.stats.mixtures import chi_squared_factors
from headstart.stats.parts import Parts

LEVEL = 0.95
"""Confidence of intervals; tests are at 1 - LEVEL."""


@dataclass(frozen=True)
class Interval:
    """An effect with its two-sided interval.

    p: two-sided, of no effect; None with one seed or without replicates. se: standard error. df: the degrees of freedom
    with which Student's t gives this interval at this level, at least S - 1; inf where seeds contribute nothing.
    lo, hi, se, df are nan where there is nothing to compute them from. parts: of the variance, where they are known.
    """

    effect: float
    lo: float
    hi: float
    p: float | None
    se: float
    df: float
    per_seed: tuple[float, ...]
    parts: Parts | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside the interval; False where there is none."""
        return self.lo > 0 or self.hi < 0

    def to_json(self, p_adjusted: float | None = None) -> dict[str, Any]:
        """As in `metrics.json`; numbers that are not finite become None, which JSON has."""
        numbers = {
            "effect": self.effect,
            "lo": self.lo,
            "hi": self.hi,
            "p": self.p,
            "p_adjusted": p_adjusted,
            "df": self.df,
            "se": self.se,
        }
        return {**{name: finite(value) for name, value in numbers.items()}, "per_seed": [*map(finite, self.per_seed)]}


def crossed_interval(values: ArrayLike, replicates: ArrayLike, level: float = LEVEL) -> Interval:
    """Interval of the mean over seeds; the module's docstring has the formula.

    values (S,): what each seed gave on the test images. replicates (S, B): the same under B shared image weights; a
    resample that has no value (nan) for some seed is left out. A value that is nan or infinite (a logarithm of 0), or
    an infinite replicate, makes the whole interval nan. If nothing varies, a mean of 0 has p = 1 and any other p = 0.
    """
    column, draws = crossed_parts(values, replicates)
    per_seed = tuple(column.tolist())
    effect = float(column.mean())
    draws = draws[:, ~np.isnan(draws).any(0)]
    if not math.isfinite(effect) or draws.shape[1] < 2 or not np.isfinite(draws).all():
        return Interval(effect, math.nan, math.nan, None, math.nan, math.nan, per_seed)
    count, of_images, own = len(column), float(draws.mean(0).var(ddof=1)), of_one_seed(draws)
    s2 = float(column.var(ddof=1)) if count > 1 else 0.0
    error = Error.mixture(of_images, s2 / count, own / count, count - 1)
    parts = Parts(max(of_images - own / count, 0.0), max(s2 - own, 0.0), own, count, count - 1)
    return error.interval(effect, level, per_seed, parts)


def of_one_seed(draws: NDArray[np.float64]) -> float:
    """Variance of what the images do to one seed and not to the mean over seeds; draws (S, B). S V_e."""
    return float((draws - draws.mean(0)).var(axis=1, ddof=1).sum()) / max(len(draws) - 1, 1)


def critical(df: float, level: float = LEVEL) -> float:
    """Two-sided critical value of Student's t; of the normal for df = inf."""
    from scipy.special import ndtri, stdtrit

    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1, for example 0.95")
    upper = (1 + level) / 2
    return float(ndtri(upper) if math.isinf(df) else stdtrit(df, upper))


def finite(value: float | None) -> float | None:
    """The number itself, or None where JSON has no number for it."""
    return None if value is None or not math.isfinite(value) else float(value)


@dataclass(frozen=True, eq=False)
class Error:
    """Distribution of the error of a mean: normal with a variance that is a mixture.

    se: square root of V. deviations: standard deviations of the mixture; weights: of each, their sum is 1. seed_df:
    degrees of freedom of the seeds' part; 0 where it is not known.
    """

    se: float
    deviations: NDArray[np.float64]
    weights: NDArray[np.float64]
    seed_df: float

    @classmethod
    def mixture(cls, of_images: float, of_seeds: float, shared: float, seed_df: float) -> Error:
        """Variances: of what is known; of the seeds' part, with its degrees of freedom; of what is in both."""
        if seed_df == 0:
            return cls(math.sqrt(of_images), np.array([math.sqrt(of_images)]), np.ones(1), 0)
        factors, weights = chi_squared_factors(seed_df)
        variances = of_images + np.maximum(of_seeds * factors - shared, 0.0)
        return cls(math.sqrt(of_images + max(of_seeds - shared, 0.0)), np.sqrt(variances), weights, seed_df)

    def interval(
        self, effect: float, level: float, per_seed: tuple[float, ...], parts: Parts | None = None
    ) -> Interval:
        """Of an effect with this error; no p-value where the seeds' part is not known."""
        half = self.half_width(level)
        df = max(_equivalent_df(half / self.se, level), self.seed_df) if self.se else math.inf
        p = self.p(effect) if self.seed_df else None
        return Interval(effect, effect - half, effect + half, p, self.se, df, per_seed, parts)

    def half_width(self, level: float) -> float:
        """The error that is exceeded, either way, with probability 1 - level."""
        normal = critical(math.inf, level)
        low, high = normal * float(self.deviations.min()), normal * float(self.deviations.max())
        if high - low <= 1e-12 * high:
            return high
        if float(self.weights[self.deviations > 0].sum()) <= 1 - level:
            return 0.0  # that there is any error is less probable than that
        from scipy.optimize import brentq  # Takes a fifth of a second to import, and one seed does not need it.

        # Beyond the ends by more than rounding: nearly all of the weight may lie at one of them.
        low, high = 0.999 * low, 1.001 * high
        return float(brentq(lambda error: self.p(error) - (1 - level), low, high, xtol=sys.float_info.min, rtol=1e-9))

    def p(self, error: float) -> float:
        """Probability of an error of at least this size, either way; of nothing, where nothing varies, 1."""
        from scipy.special import ndtr

        if error == 0.0:
            return 1.0
        varying = self.deviations > 0
        below = ndtr(-abs(error) / self.deviations[varying])
        return min(1.0, 2 * float(self.weights[varying] @ below))


def _equivalent_df(multiple: float, level: float) -> float:
    """Degrees of freedom whose critical value is `multiple`; inf at the normal's and below."""
    from scipy.special import stdtridf

    if multiple <= critical(math.inf, level) * (1 + 1e-6):
        return math.inf
    return float(stdtridf((1 + level) / 2, multiple))


def crossed_parts(values: ArrayLike, replicates: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values (S,) and replicates (S, B) as float64. Raises ValueError for other shapes."""
    column, draws = np.asarray(values, dtype=np.float64), np.asarray(replicates, dtype=np.float64)
    if column.ndim != 1 or not len(column) or draws.ndim != 2 or len(draws) != len(column):
        raise ValueError(
            f"values have shape {column.shape}, replicates {draws.shape}; expected (S,) and (S, B) of the same S seeds"
        )
    return column, draws
