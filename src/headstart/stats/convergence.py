"""Whether trainings have gone on for long enough that what is said of them would not change with more updates.

Every training is scored on held-out images at a third, at two thirds and at the end of its updates. Rates mostly fall
to 0 towards the end, which raises every score in the last third whether or not a training has converged; so arms are
compared with each other at equal lengths, and an arm's own rise must be large to count. In a training that goes on the
rate climbs again, and its score may fall in between; so a rise is one above both. Imports no torch. S: seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.stats.intervals import LEVEL, critical

ARM_SHARE = 0.1
"""Of its score at the end: an arm that ended by more above or below what it had reached is still moving."""
GAIN_SHARE = 0.25
"""Of the gain at the end: a comparison that moved by more over the last third of the updates has not settled."""


@dataclass(frozen=True)
class Convergence:
    """What is known of the arms of a task by one metric.

    scores: arm -> (3, S) on held-out images, nan where there are none. moving: arm -> why it is still moving, only of
    those that are. unsettled: pair of arms, in the given order -> why nothing can be said of their difference.
    """

    scores: Mapping[str, NDArray[np.float64]]
    moving: Mapping[str, str]
    unsettled: Mapping[tuple[str, str], str]

    def of_pair(self, a: str, b: str) -> str:
        """Why nothing can be said of the difference of two arms; empty where something can."""
        return self.unsettled.get((a, b)) or self.unsettled.get((b, a)) or ""


def convergence(scores: Mapping[str, ArrayLike], falling: Mapping[str, ArrayLike], margin: float) -> Convergence:
    """The rule by which a comparison is converged, or gives no verdict.

    scores: arm -> (3, S) fractions, higher is better, at a third, two thirds and the end. falling: arm -> (S,) whether
    the training loss was still falling at the end (`headstart.train.loop.LossCurve.still_falling`). margin: the
    smallest difference that matters. All arms have the same seeds in the same order.

    A change is noise unless it is larger than the half width of an interval of it over seeds, whose variance is pooled
    over arms; of 95 % for all arms at once (Bonferroni), and for all pairs: else one of many would seem to move where
    none does. With one seed nothing is known of the noise. A change does not matter unless it is larger than
    `margin`. Of the changes that are neither:

    1. An arm is *moving* when its mean score ended more than a tenth of itself above or below the higher one of its
       scores at a third and at two thirds.
    2. So it is when in most seeds its training loss was still falling and its score ended above both at all. A loss
       that falls while the held-out score stands still is memorizing, which more updates do not change. Without scores
       the loss alone decides.
    3. A comparison is *not settled* when either arm is moving, or when the gain of one arm over the other changed by
       more than a quarter of itself between two thirds and the end.
    """
    curves = {name: np.asarray(values, np.float64) for name, values in scores.items()}
    noise = _noise(list(curves.values()), len(curves))
    of_pairs = math.sqrt(2) * _noise(list(curves.values()), math.comb(len(curves), 2))
    moving = {}
    for name, curve in curves.items():
        often = np.asarray(falling[name], bool).mean() > 0.5
        if why := _moves(curve.mean(1), often, max(margin, noise)):
            moving[name] = f"{name} {why}"
    unsettled = {}
    for a, b in combinations(curves, 2):
        reasons = [moving[name] for name in (a, b) if name in moving]
        gain = (curves[a] - curves[b]).mean(1)
        if abs(gain[2] - gain[1]) > max(margin, of_pairs, GAIN_SHARE * abs(gain[2])):
            reasons.append(f"the gain of {a} over {b} still changes ({_shown(gain, '+')})")
        if reasons:
            unsettled[a, b] = "; ".join(reasons)
    return Convergence(curves, moving, unsettled)


def _moves(mean: NDArray[np.float64], falling: bool, least: float) -> str:
    """Why an arm with these mean scores (3,) is moving; empty where it is not. least: change that is no noise."""
    if np.isnan(mean).any():
        return "was still losing training loss" if falling else ""
    rise, large = mean[2] - mean[:2].max(), max(least, ARM_SHARE * abs(mean[2]))
    if rise > large:
        return f"still rises on held-out images ({_shown(mean)})"
    if falling and rise > least:
        return f"still rises on held-out images ({_shown(mean)}) while its training loss falls"
    if rise < -large:
        return f"is past its best on held-out images ({_shown(mean)})"
    return ""


def _noise(curves: list[NDArray[np.float64]], at_once: int) -> float:
    """Half width of the interval of an arm's mean change over the last third, of 95 % for so many at once; 0 where it
    is not known."""
    changes = np.array([curve[2] - curve[1] for curve in curves])
    known = changes[~np.isnan(changes).any(1)] if changes.ndim == 2 else changes
    if known.ndim < 2 or not len(known) or known.shape[1] < 2:
        return 0.0
    arms, seeds = known.shape
    level = 1 - (1 - LEVEL) / max(1, at_once)
    return critical(arms * (seeds - 1), level) * math.sqrt(known.var(1, ddof=1).mean() / seeds)


def _shown(values: NDArray[np.float64], sign: str = "") -> str:
    points = [f"{100 * value:{sign}.1f}" for value in values]
    return f"{points[0]}, {points[1]}, {points[2]} at a third, two thirds and the end"
