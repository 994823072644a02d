"""Intervals for means over seeds that were all measured on the same test images.

Letters: S seeds (independent trainings), B bootstrap resamples of the test images (`headstart.stats.bootstrap`).

Seeds and images are crossed: every seed is measured on every image. The value of seed s is modeled as
`truth + seed effect + image effect (shared by all seeds) + interaction`. Its mean over seeds has the variance

    V = s2 / S + V_img(mean) - V_e,    V_e = (mean over seeds of V_img(seed) - V_img(mean)) / (S - 1)

s2: variance of the S values; V_img(mean): bootstrap variance of the mean over seeds; V_img(seed): the same of one seed.
The interaction sits in both first terms; V_e is its share of the mean, and is taken off once. V is never below
V_img(mean). The interval is Student's t with Satterthwaite's degrees of freedom (F. E. Satterthwaite, Biometrics
Bulletin 2, 1946), at least S - 1; the images' part counts as known. With one seed only the images' part can be
seen: the interval holds for that trained model only and there is no p-value.

A percentile bootstrap over three seeds covers about 80 %, not 95 % (`tests/test_stats_intervals.py` shows it).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
"""Confidence of intervals; tests are at 1 - LEVEL."""

NEGLIGIBLE = 1e-6
"""Share of the variance below which the seeds' part is rounding: the degrees of freedom are then infinite."""


@dataclass(frozen=True)
class Interval:
    """An effect with its two-sided interval.

    p: two-sided, of no effect; None with one seed or without replicates. se: standard error. df: degrees of freedom,
    inf where seeds contribute nothing. lo, hi, se, df are nan where there is nothing to compute them from.
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
        numbers = {"effect": self.effect, "lo": self.lo, "hi": self.hi, "p": self.p, "p_holm": p_holm, "df": self.df,
                   "se": self.se}  # fmt: skip
        return {**{name: finite(value) for name, value in numbers.items()}, "per_seed": [*map(finite, self.per_seed)]}


def crossed_interval(values: ArrayLike, replicates: ArrayLike, level: float = LEVEL) -> Interval:
    """Interval of the mean over seeds; the module's docstring has the formula.

    values (S,): what each seed gave on the test images. replicates (S, B): the same under B shared image weights; a
    resample that has no value (nan) for some seed is left out. A value that is nan makes the whole interval nan. If
    nothing varies, a mean of 0 has p = 1 and any other mean p = 0.
    """
    given, draws = _checked(values, replicates)
    per_seed = tuple(given.tolist())
    num_seeds, effect = len(given), float(given.mean())
    draws = draws[:, ~np.isnan(draws).any(0)]
    if math.isnan(effect) or draws.shape[1] < 2:
        return Interval(effect, math.nan, math.nan, None, math.nan, math.nan, per_seed)
    variance, df = _variance(given, draws)
    se = math.sqrt(variance)
    half = se * critical(df, level)
    return Interval(
        effect, effect - half, effect + half, None if num_seeds == 1 else _p(effect, se, df), se, df, per_seed
    )


def paired_difference(
    values_a: ArrayLike, replicates_a: ArrayLike, values_b: ArrayLike, replicates_b: ArrayLike, level: float = LEVEL
) -> Interval:
    """Interval of a - b, seed by seed and resample by resample.

    Both sides need the same seeds in the same order and replicates under the same image weights; what seeds and images
    have in common then cancels. Shapes as in `crossed_interval`.
    """
    a, draws_a = _checked(values_a, replicates_a)
    b, draws_b = _checked(values_b, replicates_b)
    if draws_a.shape != draws_b.shape:
        raise ValueError(f"replicates have shapes {draws_a.shape} and {draws_b.shape}; pairs need the same seeds and "
                         "the same resamples")  # fmt: skip
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


def _variance(values: NDArray[np.float64], draws: NDArray[np.float64]) -> tuple[float, float]:
    """Variance of the mean over seeds, and its degrees of freedom."""
    num_seeds = len(values)
    of_mean = float(draws.mean(0).var(ddof=1))
    if num_seeds == 1:
        return of_mean, math.inf
    seeds = float(values.var(ddof=1)) / num_seeds
    within = float(draws.var(axis=1, ddof=1).mean())
    variance = max(seeds + of_mean - (within - of_mean) / (num_seeds - 1), of_mean)
    if seeds <= NEGLIGIBLE * variance:
        return variance, math.inf
    return variance, max((num_seeds - 1) * (variance / seeds) ** 2, num_seeds - 1)


def _p(effect: float, se: float, df: float) -> float:
    from scipy.special import ndtr, stdtr

    if se == 0.0:
        return 1.0 if effect == 0.0 else 0.0
    below = -abs(effect) / se
    return min(1.0, 2 * float(ndtr(below) if math.isinf(df) else stdtr(df, below)))


def _checked(values: ArrayLike, replicates: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    given, draws = np.asarray(values, dtype=np.float64), np.asarray(replicates, dtype=np.float64)
    if given.ndim != 1 or not len(given) or draws.ndim != 2 or len(draws) != len(given):
        raise ValueError(f"values have shape {given.shape}, replicates {draws.shape}; expected (S,) and (S, B) of the "
                         "same S seeds")  # fmt: skip
    return given, draws
