"""What a study can see: power and the smallest effect that is found with a given power.

The variance is not known when the test is made: seeds that happen to agree make a narrow interval, others a wide one.
So the power is averaged over what the seeds' variance may come out as, each with the interval that it would make
(without an images' part this is the noncentral t distribution).
"""

from __future__ import annotations

import math

import numpy as np

from headstart.stats.intervals import critical
from headstart.stats.mixtures import chi_squared_factors
from headstart.stats.parts import Parts

POWER = 0.8
CASES = 40
"""Values that the seeds' observed variance may take, each of the same chance."""
POINTS = 200
"""Of the integral over the true variance; enough for two digits of an interval that is only foreseen."""
MOST_SEEDS = 100
MOST_IMAGES = 100.0


def power(effect: float, parts: Parts, alpha: float) -> float:
    """Chance that a two-sided test at `alpha` finds an effect of this size; nan where it cannot be known."""
    if not _testable(parts):
        return math.nan
    if parts.total == 0:
        return float(effect != 0)
    deviation = math.sqrt(parts.total)
    return _found(abs(effect) / deviation, _half_widths(parts, alpha) / deviation)


def detectable(parts: Parts, alpha: float, wanted: float = POWER) -> float:
    """The smallest effect that a two-sided test at `alpha` finds with probability `wanted`; nan without a test."""
    from scipy.optimize import brentq

    if not _testable(parts):
        return math.nan
    if parts.total == 0:
        return 0.0
    deviation = math.sqrt(parts.total)
    halves = _half_widths(parts, alpha) / deviation
    return deviation * float(brentq(lambda effect: _found(effect, halves) - wanted, 0.0, halves.max() + 10, xtol=1e-9))


def seeds_for(effect: float, parts: Parts, alpha: float) -> int | None:
    """The fewest seeds with which `effect` is found with the usual power; None where `MOST_SEEDS` do not do."""
    low, high = max(parts.num_seeds, 1), MOST_SEEDS
    if parts.num_seeds < 2 or not power(effect, parts.with_seeds(high), alpha) >= POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, parts.with_seeds(middle), alpha) >= POWER else (middle + 1, high)
    return low


def images_for(effect: float, parts: Parts, alpha: float) -> float | None:
    """How many times as many test images it takes, to 5 %; None where `MOST_IMAGES` times as many do not do."""
    low, high = 1.0, MOST_IMAGES
    if not power(effect, parts.with_images(high), alpha) >= POWER:
        return None
    while high / low > 1.05:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if power(effect, parts.with_images(middle), alpha) >= POWER else (middle, high)
    return high


def _testable(parts: Parts) -> bool:
    return parts.df > 0 and math.isfinite(parts.total)


def _found(effect: float, halves: np.ndarray) -> float:
    """Share of the effects that lie outside of the intervals; all in standard errors."""
    from scipy.special import ndtr

    return float(np.mean(ndtr(effect - halves) + ndtr(-effect - halves)))


def _half_widths(parts: Parts, alpha: float) -> np.ndarray:
    """(CASES,) of the intervals that the possible observed variances would make."""
    from scipy.special import chdtri, ndtr

    of_seeds, shared = (parts.seeds + parts.both) / parts.num_seeds, parts.both / parts.num_seeds
    of_images = parts.images + shared
    if of_seeds <= 1e-9 * of_images:
        return np.array([critical(math.inf, 1 - alpha) * math.sqrt(of_images)])
    seen = of_seeds * chdtri(parts.df, 1 - (np.arange(CASES) + 0.5) / CASES) / parts.df
    factors, weights = chi_squared_factors(parts.df, POINTS)
    deviations = np.sqrt(of_images + np.maximum(np.outer(seen, factors) - shared, 0.0))
    # Bisection of all at once, in the logarithm: heavy tails reach far.
    low, high = np.log(deviations.min(1)), np.log(40 * deviations.max(1))
    for _ in range(40):
        middle = (low + high) / 2
        tails = 2 * ndtr(-np.exp(middle)[:, None] / deviations) @ weights
        low, high = np.where(tails > alpha, middle, low), np.where(tails > alpha, high, middle)
    return np.exp(middle)
