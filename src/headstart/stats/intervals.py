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
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
"""Confidence of intervals; tests are at 1 - LEVEL."""

NODES = 2000
"""Points of the numerical integral over the seeds' unknown variance."""


@dataclass(frozen=True)
class Interval:
    """An effect with its two-sided interval.

    p: two-sided, of no effect; None with one seed or without replicates. se: standard error. df: the degrees of freedom
    with which Student's t gives this interval at this level, at least S - 1; inf where seeds contribute nothing.
    lo, hi, se, df are nan where there is nothing to compute them from.
    """

    effect: float
    lo: float
    hi: float
    p: float | None
    se: float
    df: float
    per_seed: tuple[float, ...]

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside the interval; False where there is none."""
        return self.lo > 0 or self.hi < 0

    def to_json(self, p_holm: float | None = None) -> dict[str, Any]:
        """As in `metrics.json`; numbers that are not finite become None, which JSON has."""
        numbers = {
            "effect": self.effect,
            "lo": self.lo,
            "hi": self.hi,
            "p": self.p,
            "p_holm": p_holm,
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
    column, draws = _checked(values, replicates)
    per_seed = tuple(column.tolist())
    effect = float(column.mean())
    draws = draws[:, ~np.isnan(draws).any(0)]
    if not math.isfinite(effect) or draws.shape[1] < 2 or not np.isfinite(draws).all():
        return Interval(effect, math.nan, math.nan, None, math.nan, math.nan, per_seed)
    return Error.of(column, draws).interval(effect, level, per_seed)


def paired_difference(
    values_a: ArrayLike, replicates_a: ArrayLike, values_b: ArrayLike, replicates_b: ArrayLike, *, level: float = LEVEL
) -> Interval:
    """Interval of a - b, seed by seed and resample by resample.

    Both sides need the same seeds in the same order and replicates under the same image weights; what seeds and images
    have in common then cancels. Shapes as in `crossed_interval`.
    """
    a, draws_a = _checked(values_a, replicates_a)
    b, draws_b = _checked(values_b, replicates_b)
    if draws_a.shape != draws_b.shape:
        raise ValueError(
            f"replicates have shapes {draws_a.shape} and {draws_b.shape}; pairs need the same seeds and "
            "the same resamples"
        )
    return crossed_interval(a - b, draws_a - draws_b, level)


def detectable_effect(se: float, df: float, level: float = LEVEL, power: float = 0.8) -> float:
    """The smallest true effect that a two-sided test at 1 - level finds with probability `power`.

    se, df: of the difference, as in `Interval`. Exact for a t statistic (noncentral t; the chance of a significant
    result of the wrong sign is neglected); nan for an unknown se or df.
    """
    from scipy.special import nctdtrinc, ndtri

    if math.isnan(se) or math.isnan(df):
        return math.nan
    bound = critical(df, level)
    if df > 1e6:
        return se * (bound + float(ndtri(power)))
    return se * float(nctdtrinc(df, 1 - power, bound))


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
    seed_df: int

    @classmethod
    def of(cls, values: NDArray[np.float64], draws: NDArray[np.float64]) -> Error:
        num_seeds = len(values)
        of_mean = float(draws.mean(0).var(ddof=1))
        if num_seeds == 1:
            return cls.mixture(of_mean, 0.0, 0.0, 0)
        of_seeds = float(values.var(ddof=1)) / num_seeds
        shared = (float(draws.var(axis=1, ddof=1).mean()) - of_mean) / (num_seeds - 1)
        return cls.mixture(of_mean, of_seeds, shared, num_seeds - 1)

    @classmethod
    def mixture(cls, of_images: float, of_seeds: float, shared: float, seed_df: int) -> Error:
        """Variances: of what is known; of the seeds' part, with its degrees of freedom; of what is in both."""
        if seed_df == 0:
            return cls(math.sqrt(of_images), np.array([math.sqrt(of_images)]), np.ones(1), 0)
        factors, weights = _variance_factors(seed_df)
        variances = of_images + np.maximum(of_seeds * factors - shared, 0.0)
        return cls(math.sqrt(of_images + max(of_seeds - shared, 0.0)), np.sqrt(variances), weights, seed_df)

    def interval(self, effect: float, level: float, per_seed: tuple[float, ...]) -> Interval:
        """Of an effect with this error; no p-value where the seeds' part is not known."""
        half = self.half_width(level)
        df = max(_equivalent_df(half / self.se, level), self.seed_df) if self.se else math.inf
        p = self.p(effect) if self.seed_df else None
        return Interval(effect, effect - half, effect + half, p, self.se, df, per_seed)

    def half_width(self, level: float) -> float:
        """The error that is exceeded, either way, with probability 1 - level."""
        normal = critical(math.inf, level)
        low, high = normal * float(self.deviations.min()), normal * float(self.deviations.max())
        if high - low <= 1e-12 * high:
            return high
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


@cache
def _variance_factors(df: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """df / X at points that cover the chi-squared X with `df` degrees of freedom, and the probability of each.

    Equal steps in log X, where the density falls off fast on both sides: the sum is then exact to many digits.
    """
    from scipy.special import gammaln

    log_x = np.linspace(math.log(df) - 80 / df**0.7, math.log(df) + 6 / df**0.4, NODES)
    log_density = df / 2 * log_x - np.exp(log_x) / 2 - df / 2 * math.log(2) - gammaln(df / 2)
    weights = np.exp(log_density)
    return df / np.exp(log_x), weights / weights.sum()


def _equivalent_df(multiple: float, level: float) -> float:
    """Degrees of freedom whose critical value is `multiple`; inf at the normal's and below."""
    from scipy.special import stdtridf

    if multiple <= critical(math.inf, level) * (1 + 1e-6):
        return math.inf
    return float(stdtridf((1 + level) / 2, multiple))


def _checked(values: ArrayLike, replicates: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    column, draws = np.asarray(values, dtype=np.float64), np.asarray(replicates, dtype=np.float64)
    if column.ndim != 1 or not len(column) or draws.ndim != 2 or len(draws) != len(column):
        raise ValueError(
            f"values have shape {column.shape}, replicates {draws.shape}; expected (S,) and (S, B) of the same S seeds"
        )
    return column, draws
