"""A comparison that is looked at after every seed: arms are dropped as soon as they are shown to be behind.

Looking often finds differences by chance more often, so each look has a level of its own. They come from an
alpha-spending function (K. K. G. Lan & D. L. DeMets, Biometrika 70, 1983): once a share t of the seeds is there, an
error of alpha(t) has been spent. The levels are those of normal means; each look then makes its own test at its
level, by what it knows of its variances (the mixture of `headstart.stats.intervals`, all pairs of the arms that are
left at once), as S. J. Pocock (Biometrika 64, 1977) does with Student's t. All looks have the same images, so they are
more alike than is assumed here: that errs on the safe side. Intervals of a look at its level are repeated confidence
intervals (C. Jennison & B. W. Turnbull, Controlled Clinical Trials 5, 1984): they hold at all looks together, whatever
makes a study stop. `benchmarks/adaptive.py` simulates whole studies by this rule (docs/adaptive.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.stats.arms import Arms
from headstart.stats.intervals import LEVEL, critical
from headstart.stats.simultaneous import DRAWS, Simultaneous
from headstart.stats.spread import foreseen_df

FIRST = 2
"""Seeds of the first look: one says nothing of how far seeds spread."""
UNLIKELY = 0.1
"""A study ends when the seeds that are left would drop another arm with a smaller chance."""
CELLS = 400
"""Of the grid on which the levels are integrated; enough for four digits."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """One look. dropped: arms that are shown to be worse than the best of this look. chance: that the seeds that are
    left would drop another one, if differences are what they seem to be; at the last look 0."""

    best: str
    dropped: tuple[str, ...]
    chance: float

    @property
    def decided(self) -> bool:
        """Whether more seeds would hardly change which arms are left."""
        return self.chance < UNLIKELY


@cache
def levels(seeds: int, alpha: float = 1 - LEVEL) -> dict[int, float]:
    """Number of seeds -> nominal two-sided level of the look at it, of a study of so many seeds at most."""
    from scipy.special import ndtr

    found: dict[int, float] = {}
    paths, before, gone = _Paths(np.zeros(1), np.ones(1), 1.0), 0, 0.0
    for look in range(FIRST, seeds + 1):
        spent = _spent(look / seeds, alpha)
        deviation = math.sqrt(look - before)
        edge = paths.edge(spent - gone, deviation)
        paths, before, gone = paths.inside(edge, deviation), look, spent
        found[look] = float(2 * ndtr(-edge / math.sqrt(look)))
    return found


@dataclass(frozen=True, eq=False)
class _Paths:
    """Sums of normal effects of seeds, as far as no look has ended the study: their density (G,) on a grid (G,) in
    equal steps (P. Armitage, C. K. McPherson & B. C. Rowe, Journal of the Royal Statistical Society A 132, 1969)."""

    grid: Floats
    density: Floats
    step: float

    def edge(self, chance: float, deviation: float) -> float:
        """The bound that the next sum, `deviation` further, goes beyond either way with this chance."""
        from scipy.special import ndtr

        low, high = 0.0, float(np.abs(self.grid).max()) + 12 * deviation
        for _ in range(60):
            middle = (low + high) / 2
            beyond = ndtr((self.grid - middle) / deviation) + ndtr((-self.grid - middle) / deviation)
            more = float((self.density * beyond).sum()) * self.step > chance
            low, high = (middle, high) if more else (low, middle)
        return high

    def inside(self, edge: float, deviation: float) -> _Paths:
        """The next sums that stay within the edge."""
        step = 2 * edge / CELLS
        grid = np.asarray((np.arange(CELLS) + 0.5) * step - edge, np.float64)
        kernel = np.exp(-(((grid[:, None] - self.grid) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
        return _Paths(grid, kernel @ self.density * self.step, step)


def _spent(share: float, alpha: float) -> float:
    """Of alpha, by this share of the seeds; O'Brien and Fleming's way: little at first, so that the last look has
    nearly the level of a study that looks once."""
    from scipy.special import ndtr, ndtri

    return float(2 * ndtr(ndtri(alpha / 2) / math.sqrt(share)))


def judge(
    values: Mapping[str, ArrayLike],
    replicates: Mapping[str, ArrayLike],
    seeds: int,
    *,
    sign: float = 1.0,
    draws: int = DRAWS,
) -> Verdict:
    """The look at arms of which all have the same number of seeds, of a study of `seeds` at most.

    values: name -> (S,), replicates: name -> (S, B), as in `headstart.stats.arms`; sign: -1 where lower is better. Arms
    without a value are not dropped.
    """
    arms = Arms(values, replicates)
    names = list(arms.arms)
    known = [name for name in names if arms.arms[name].known]
    known.sort(key=lambda name: -sign * float(arms.arms[name].values.mean()))
    if len(known) < 2:  # nothing can be told, and nothing is saved
        return Verdict(names[0], (), 1.0)
    now = len(arms.arms[known[0]].values)
    together = Simultaneous.of(arms, known, 1 - levels(seeds)[now], draws)
    best, *behind = known
    dropped = tuple(name for name in behind if together.difference(name, best)[0].excludes_zero)
    left = [name for name in behind if name not in dropped]
    pairs = len(left) * (len(left) + 1) // 2
    return Verdict(best, dropped, sum(_chance(arms, name, best, seeds, pairs=pairs) for name in left) * (now < seeds))


def _chance(arms: Arms, name: str, best: str, seeds: int, *, pairs: int) -> float:
    """That all seeds would show this arm to be behind, or ahead, if the difference is what it is now."""
    from scipy.special import stdtr

    found = arms.error({name: 1, best: -1})
    gap = abs(float(arms.arms[name].values.mean() - arms.arms[best].values.mean()))
    if found is None:
        return 1.0
    parts = found[1]
    if parts.df == 0 or parts.total == 0:
        return float(parts.df == 0)
    last = parts.with_seeds(seeds)
    df = foreseen_df(seeds - 1, 2)
    needed = critical(df, 1 - (1 - LEVEL) / pairs) * math.sqrt(last.total)
    change = math.sqrt((parts.seeds + parts.both) * (1 / parts.num_seeds - 1 / seeds))
    if not change:
        return float(gap > needed)
    return float(stdtr(parts.df, (gap - needed) / change) + stdtr(parts.df, (-gap - needed) / change))
