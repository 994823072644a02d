"""All arms of a ranking compared at once: which may be the best, how far behind the best each may be.

Letters: K arms, N draws of their errors.

A ranking looks at every pair of arms and then speaks of those that happened to come out on top, so each statement must
hold together with all others. The errors of all means are drawn together, from the mixture that the intervals of single
differences have (`headstart.stats.arms`): images by the covariance of the bootstrap, seeds by variances drawn from what
the seeds say of them. Two bounds come from the same draws:

- between any two arms (Tukey's simultaneous comparisons): the greatest |error of a difference| / standard error. Which
  arm is observed best does not matter then, and with 95 % no arm that equals the best is said to be behind;
- behind the true best (J. C. Hsu, Multiple Comparisons, 1996, ch. 4: multiple comparisons with the best): one-sided, of
  all arms against one, and taken for each arm that may be that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from headstart.stats.arms import Arms, normal_errors
from headstart.stats.intervals import LEVEL, Interval

DRAWS = 20_000
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Simultaneous:
    """Comparisons of arms `names`, all with values.

    means (K,); covariance (K, K): of their errors; drawn (N, K): such errors, their variance being as unknown as it is.
    """

    arms: Arms
    names: tuple[str, ...]
    level: float
    means: Floats
    covariance: Floats
    drawn: Floats

    @classmethod
    def of(cls, arms: Arms, names: Sequence[str], level: float = LEVEL, draws: int = DRAWS) -> Simultaneous:
        """Equal arguments give equal numbers (NumPy's PCG64)."""
        means = np.array([arms.arms[name].values.mean() for name in names])
        drawn, covariance = arms.errors(names, draws, np.random.default_rng(0))
        return cls(arms, tuple(names), level, means, covariance, drawn)

    @cached_property
    def se(self) -> Floats:
        """(K, K) standard errors of the differences."""
        variances = np.diag(self.covariance)
        return np.sqrt(np.maximum(np.add.outer(variances, variances) - 2 * self.covariance, 0.0))

    def difference(self, a: str, b: str) -> tuple[Interval, float | None]:
        """mean(a) - mean(b) with the interval that holds together with those of all pairs, and its adjusted p-value."""
        alone = self.arms.difference(a, b, self.level)
        if a == b:
            return alone, None
        se = self.se[self.names.index(a), self.names.index(b)]
        half = max(self._between * se, alone.hi - alone.effect)
        joint = Interval(alone.effect, alone.effect - half, alone.effect + half, alone.p, alone.se, alone.df, ())
        if alone.p is None:
            return joint, None
        beyond = float((self._largest * se >= abs(alone.effect)).mean()) if se else float(alone.effect == 0)
        return joint, max(beyond, alone.p)

    def behind_at_most(self, sign: float = 1.0) -> dict[str, float]:
        """How far behind the true best each arm is at most; 0 for one that is better than all others. sign: -1 where
        lower is better. These hold for all arms together."""
        worst = np.zeros(len(self.names))
        for best in range(len(self.names)):
            others = [k for k in range(len(self.names)) if k != best]
            errors = self._standard(self.drawn[:, others] - self.drawn[:, [best]], self.se[others, best])
            bound = np.quantile(errors.max(1), self.level) if others else 0.0
            gaps = sign * (self.means[best] - self.means[others]) + max(bound, 0.0) * self.se[others, best]
            worst[others] = np.maximum(worst[others], gaps)
        return dict(zip(self.names, worst.tolist(), strict=True))

    def overstated(self, tied: Sequence[str], sign: float = 1.0) -> float:
        """By how much the mean of the observed best is expected to be too good, if the arms of `tied` are equal and the
        others as they were measured: the best of several is also the luckiest."""
        truth = sign * self.means
        equal = [self.names.index(name) for name in tied]
        truth[equal] = truth[equal].mean()
        # Normal errors: those of two seeds' mixture are so wide that their mean tells nothing.
        errors = normal_errors(self.covariance, len(self.drawn), np.random.default_rng(1))
        first = (truth + errors).argmax(1)
        return float(errors[np.arange(len(errors)), first].mean())

    @cached_property
    def _largest(self) -> Floats:
        """(N,) greatest |error of a difference| over all pairs, in its standard errors."""
        one, other = np.triu_indices(len(self.names), 1)
        errors = self._standard(np.abs(self.drawn[:, one] - self.drawn[:, other]), self.se[one, other])
        return errors.max(1, initial=0.0)

    @cached_property
    def _between(self) -> float:
        return float(np.quantile(self._largest, self.level))

    @staticmethod
    def _standard(errors: Floats, se: Floats) -> Floats:
        """Arms that are the same in everything have no error."""
        return np.divide(errors, se, out=np.zeros_like(errors), where=np.broadcast_to(se > 0, errors.shape))
