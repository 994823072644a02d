"""What a few seeds say about the variances of several arms.

Letters: K arms; s2 (K,) the variance of each arm's values over its seeds, df (K,) its degrees of freedom.

Three seeds know their own variance badly; those of the other arms help, as far as the arms are alike. The model is that
of moderated t statistics (G. K. Smyth, Statistical Applications in Genetics and Molecular Biology 3, 2004): the true
variance of an arm is d0 c / X with X chi-squared with d0 degrees of freedom, around a variance c that the arms have in
common. d0 = inf is one variance for all (pooling), d0 = 0 would be nothing in common (Behrens and Fisher's problem).
Smyth estimates d0 from thousands of genes; two or three arms cannot, so it is averaged over the few values of `PRIOR`,
with the weights that the observed variances give them, and c over all values with the prior 1 / c. So arms of equal
spread gain nearly all degrees of freedom of pooling, and an arm that spreads ten times as far is left by itself. The
values were chosen by simulation (`benchmarks/interval_coverage.py`, docs/statistics.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.stats.mixtures import chi_squared_factors

PRIOR = {math.inf: 0.3, 2.0: 0.35, 0.5: 0.35}
"""d0 -> probability before anything is seen."""
DRAWS = 5_000
"""Of the variances of three arms or more, for which no sum over a grid is worth its time."""
STEP = 0.3
"""Of the grid in the logarithm of a variance. Sums over equal steps of smooth functions are exact to many digits."""
BINS = 600
"""Of a mixture of sums of two variances."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spread:
    """Variances of the arms as a distribution.

    s2, df (K,); pooled: their mean by degrees of freedom. alike: probability of one variance for all. d0 (C,), common
    (C,), weights (C,): the other cases, their weights' sum 1 - alike.
    """

    s2: Floats
    df: Floats
    pooled: float
    alike: float
    d0: Floats
    common: Floats
    weights: Floats

    @classmethod
    def of(cls, s2: Floats, df: Floats) -> Spread:
        """At least one arm has a degree of freedom and a variance above 0."""
        total = df.sum()
        pooled = float((s2 * df).sum() / total)
        # An arm whose few seeds happen to agree says little; its logarithm would say much.
        seen, df_seen = np.maximum(s2[df > 0], 1e-4 * pooled), df[df > 0]
        grid = _grid(seen, df_seen)
        log_alike, log_apart = _likelihoods(seen, df_seen, grid)
        finite = [d0 for d0 in PRIOR if math.isfinite(d0)]
        logs = np.concatenate(
            [[log_alike + math.log(PRIOR[math.inf])], *(log_apart[d0] + math.log(PRIOR[d0]) for d0 in finite)]
        )
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        common, d0 = np.tile(np.exp(grid), len(finite)), np.repeat(finite, len(grid))
        kept = weights[1:] > 1e-9
        return cls(s2, df, pooled, float(weights[0]), d0[kept], common[kept], weights[1:][kept])

    @property
    def seed_df(self) -> float:
        """Degrees of freedom with which a difference of two arms is known, about; to foresee by."""
        known = self.df[self.df > 0]
        return foreseen_df(float(known.mean()), len(known))

    def estimates(self) -> Floats:
        """(K,) one number for the variance of each arm, drawn towards the common one: the geometric mean over cases."""
        scale = self.d0[:, None] * self.common[:, None] + self.df * self.s2
        return np.exp(self.alike * math.log(self.pooled) + self.weights @ np.log(scale / (self.d0[:, None] + self.df)))

    def combination(self, terms: dict[int, float]) -> tuple[Floats, Floats]:
        """Values (N,) of sum of share x variance over some arms, and the probability of each. terms: arm -> share, all
        above 0. Of more than two arms they are `DRAWS` draws, the same ones each time."""
        if len(terms) > 2:
            drawn = self.drawn(DRAWS, np.random.default_rng(0))
            return drawn[:, list(terms)] @ np.array([*terms.values()]), np.full(DRAWS, 1 / DRAWS)
        factors, chances = chi_squared_factors(float(self.df.sum()))
        values, weights = [sum(terms.values()) * self.pooled * factors], [self.alike * chances]
        if len(self.weights):
            log_v = _grid(self.s2[list(terms)], self.df[list(terms)] + self.d0.min(), self.common)
            densities = [self._density(arm, log_v) for arm in terms]
            shares = list(terms.values())
            if len(densities) == 1:
                values.append(shares[0] * np.exp(log_v))
                weights.append(self.weights @ densities[0])
            else:
                joint = (densities[0] * self.weights[:, None]).T @ densities[1]
                sums = np.add.outer(shares[0] * np.exp(log_v), shares[1] * np.exp(log_v))
                binned, chance = _binned(sums.ravel(), joint.ravel())
                values.append(binned)
                weights.append(chance)
            weights[-1] *= (1 - self.alike) / weights[-1].sum()
        return np.concatenate(values), np.concatenate(weights)

    def drawn(self, count: int, rng: np.random.Generator) -> Floats:
        """(count, K) variances of all arms at once."""
        pooled = self.pooled * self.df.sum() / rng.chisquare(self.df.sum(), count)
        variances = np.repeat(pooled[:, None], len(self.s2), axis=1)
        apart = rng.random(count) >= self.alike
        if apart.any() and len(self.weights):
            chance = self.weights / self.weights.sum()
            case = rng.choice(len(chance), int(apart.sum()), p=chance)
            d0, common = self.d0[case][:, None], self.common[case][:, None]
            variances[apart] = (d0 * common + self.df * self.s2) / rng.chisquare(d0 + self.df)
        return variances

    def _density(self, arm: int, log_v: Floats) -> Floats:
        """(C, V) of the logarithm of an arm's variance in each case, times the step."""
        from scipy.special import gammaln

        half = ((self.d0 + self.df[arm]) / 2)[:, None]
        log_x = np.log(self.d0 * self.common + self.df[arm] * self.s2[arm])[:, None] - log_v
        return STEP * np.exp(half * (log_x - math.log(2)) - np.exp(log_x) / 2 - gammaln(half))


def foreseen_df(df: float, arms: int) -> float:
    """Degrees of freedom of a difference of two of `arms` arms with `df` each, as simulated where all spread alike: the
    two themselves count three quarters, since they may differ, and the others a quarter."""
    return df * (0.75 * min(arms, 2) + 0.25 * max(arms - 2, 0))


def _grid(s2: Floats, df: Floats, common: Floats | None = None) -> Floats:
    """Logarithms of variances in equal steps, as far as anything has weight."""
    ends = s2[s2 > 0] if common is None else np.concatenate([s2[s2 > 0], common[[0, -1]]])
    low, high = math.log(ends.min()) - 6 / df.max() ** 0.4, math.log(ends.max()) + 60 / df.min() ** 0.7
    return np.arange(low - 2, high, STEP)


def _likelihoods(s2: Floats, df: Floats, grid: Floats) -> tuple[float, dict[float, Floats]]:
    """Logarithms: of the chance of such variances where all arms have one, over all values that it may have; and, for
    every finite d0, at each common variance exp(grid), times the step. Chances are densities of the logarithm."""
    from scipy.special import gammaln

    total, sums = df.sum(), (df * s2 / 2).sum()
    shared = (df / 2 * np.log(df * s2 / 2) - gammaln(df / 2)).sum()
    alike = float(shared + gammaln(total / 2) - total / 2 * math.log(sums))
    apart = {}
    for d0 in (d0 for d0 in PRIOR if math.isfinite(d0)):
        log_ratio = np.log(df * s2 / d0) - grid[:, None]
        terms = df / 2 * log_ratio - (df + d0) / 2 * np.logaddexp(0, log_ratio)
        constants = gammaln((df + d0) / 2) - gammaln(df / 2) - gammaln(d0 / 2)
        apart[d0] = (terms + constants).sum(1) + math.log(STEP)
    return alike, apart


def _binned(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Fewer values of the same mean in each bin; bins have equal width in the logarithm."""
    kept = weights > 1e-12
    values, weights = values[kept], weights[kept]
    logs = np.log(values)
    place = ((logs - logs.min()) * ((BINS - 1) / max(np.ptp(logs), 1e-9))).astype(np.int64)
    chance = np.bincount(place, weights, BINS).astype(np.float64)
    total = np.bincount(place, weights * values, BINS).astype(np.float64)
    filled = chance > 0
    return total[filled] / chance[filled], chance[filled]
