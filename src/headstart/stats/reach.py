"""Which arms that have not converged cannot win within a study's longest training, by a generous forecast.

An arm that still learns may be far behind only because trainings are short. So it is not said to be worse; but where
even a generous forecast of its held-out scores stays below what the best scores by now, training it on would change
nothing about who wins. After a slow start scores rise less with each doubling of updates than with the one before;
the forecast lets them rise three times as much, with every doubling that is left. `benchmarks/set_aside.py` simulates
how often an arm is set aside that would have equaled the best (docs/adaptive.md). Imports no torch. S: seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

GENEROUS = 3.0
"""Times the gain per doubling of updates that an arm has shown: what it is taken to gain by each further one."""
BEGUN = 0.25
"""Of the best's score: an arm below it may not have begun to learn, and its gains say nothing of those to come."""
LUCK = 0.08
"""Of a score: by how much a single training may have come out too low beside another; 2.8 standard deviations of a
difference where trainings spread by 2 points."""
LAST, ALL = math.log2(3 / 2), math.log2(3)
"""Doublings of updates from two thirds of them to the end, and from a third."""


@dataclass(frozen=True)
class Reach:
    """behind: by how much the best is ahead on held-out images; gain: the most that the arm has shown for a doubling of
    updates; most: the score that the forecast comes to; best: that of the best, less what luck may have made."""

    behind: float
    gain: float
    most: float
    best: float

    @property
    def is_out(self) -> bool:
        """Whether the arm cannot win."""
        return self.most < self.best


def reach(scores: ArrayLike, best: ArrayLike, doublings: float) -> Reach | None:
    """Of an arm with the held-out scores (3, S), fractions and higher is better, at a third, two thirds and the end of
    its updates, against those of the best at the same length, where trainings may still double so often.

    The gain is the larger one of those per doubling over the last third and over the last two thirds, never below 0. It
    is added, `GENEROUS` times for every doubling, to the arm's highest score. The best is taken to rise no more. None
    where scores are missing, or where the arm has not begun.
    """
    of, against = np.asarray(scores, np.float64), np.asarray(best, np.float64)
    if np.isnan(of).any() or np.isnan(against).any():
        return None
    mean, top = of.mean(1), float(against.mean(1)[2])
    if mean[2] < BEGUN * top:
        return None
    gain = max(0.0, float(mean[2] - mean[1]) / LAST, float(mean[2] - mean[0]) / ALL)
    most = float(mean.max()) + GENEROUS * doublings * gain
    return Reach(top - float(mean[2]), gain, most, top - LUCK / math.sqrt(of.shape[1]))
