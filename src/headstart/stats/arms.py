"""Means of several arms over seeds and images, and their differences. Rankings and findings both use it.

Letters: K arms, S seeds of one arm (arms may differ), B bootstrap resamples of the images.

The images are the same for all arms: resample b of one arm and resample b of another are a pair, and what an image does
to both cancels in their difference. The seeds are not: seed 3 of one arm has nothing to do with seed 3 of another
(`benchmarks/seed_correlation.py` measures how little), and pairing them would leave S - 1 degrees of freedom. What all
arms say about how far seeds spread is used for each (`headstart.stats.spread`). The interval of a difference is that of
`headstart.stats.intervals` with the sum over both arms of (variance over seeds - V_own) / S in the place of
s2 / S - V_e. V_own is what the images do to one seed and not to its arm's mean: it is in the spread of the seeds and in
V_img.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.stats.intervals import LEVEL, Error, Interval, crossed_parts, of_one_seed
from headstart.stats.parts import Parts
from headstart.stats.spread import Spread

Floats = NDArray[np.float64]
FEW = 3
"""With so many seeds or fewer it cannot be told whether arms spread alike: none but those compared are used. With
them, three seeds of an arm that spreads ten times as far covered 91 %."""


@dataclass(frozen=True, eq=False)
class Arm:
    """values (S,) and replicates (S, B) of one arm."""

    values: Floats
    replicates: Floats

    @property
    def known(self) -> bool:
        """Whether all seeds have a value."""
        return bool(np.isfinite(self.values).all())

    @property
    def still(self) -> bool:
        """Whether several seeds do not differ in anything, as those of a probe of one checkpoint."""
        same = (self.replicates == self.replicates[0]) | np.isnan(self.replicates)
        return len(self.values) > 1 and bool((self.values == self.values[0]).all() and same.all())


class Arms:
    """A set of arms measured on the same images.

    values: name -> (S,); replicates: name -> (S, B) under image weights that all arms share. Raises ValueError for
    other shapes. An arm with a value that is not finite has no interval and tells nothing about the others.
    """

    def __init__(self, values: Mapping[str, ArrayLike], replicates: Mapping[str, ArrayLike]) -> None:
        if not values or set(values) != set(replicates):
            raise ValueError(f"values are of {sorted(values)}, replicates of {sorted(replicates)}; both need the same")
        self.arms: dict[str, Arm] = {}
        for name in values:
            column, draws = crossed_parts(values[name], replicates[name])
            self.arms[name] = Arm(column, draws)
        counts = {name: arm.replicates.shape[1] for name, arm in self.arms.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"arms differ in resamples, so they cannot be paired: {counts}")
        self._varying = [name for name, arm in self.arms.items() if arm.known and not arm.still]
        self._spread = self._spread_of(self._varying)

    def mean(self, name: str, level: float = LEVEL) -> Interval:
        """Interval of the mean over seeds of one arm."""
        values = self.arms[name].values
        return self._interval({name: 1}, float(values.mean()), level, tuple(values.tolist()))

    def difference(self, a: str, b: str, level: float = LEVEL) -> Interval:
        """Interval of mean(a) - mean(b). Its `per_seed` is empty: seeds are no pairs."""
        effect = float(self.arms[a].values.mean() - self.arms[b].values.mean())
        if a == b:
            p = 1.0 if len(self.arms[a].values) > 1 and self.arms[a].known else None
            return Interval(effect, effect, effect, p, 0.0, math.inf, ())
        return self._interval({a: 1, b: -1}, effect, level, ())

    def combination(self, factors: Mapping[str, float], level: float = LEVEL) -> Interval:
        """Interval of the sum of factor x mean over these arms, such as an effect of a table of arms. Its `per_seed` is
        empty: seeds are no pairs."""
        effect = float(sum(factor * self.arms[name].values.mean() for name, factor in factors.items()))
        return self._interval(factors, effect, level, ())

    def errors(self, names: Sequence[str], count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """(count, K) errors of the means of these arms, drawn together; (K, K) their covariance. All have values."""
        draws = np.stack([self.arms[name].replicates.mean(0) for name in names])
        covariance = np.cov(draws[:, ~np.isnan(draws).any(0)]).reshape(len(names), len(names))
        errors = normal_errors(covariance, count, rng)
        places = [(k, self._varying.index(name)) for k, name in enumerate(names) if name in self._varying]
        if self._spread is None or not places:
            return errors, covariance
        variances, estimates = self._spread.drawn(count, rng), self._spread.estimates()
        for k, place in places:
            arm = self.arms[names[k]]
            own = of_one_seed(arm.replicates[:, ~np.isnan(arm.replicates).any(0)])
            errors[:, k] += rng.normal(size=count) * np.sqrt(np.maximum(variances[:, place] - own, 0) / len(arm.values))
            covariance[k, k] += max(estimates[place] - own, 0.0) / len(arm.values)
        return errors, covariance

    def error(self, factors: Mapping[str, float]) -> tuple[Error, Parts] | None:
        """Of the sum of factor x mean over some arms, and the parts of its variance; None without values."""
        arms = {name: self.arms[name] for name in factors}
        draws = {name: factor * arms[name].replicates for name, factor in factors.items()}
        kept = ~np.logical_or.reduce([np.isnan(d).any(0) for d in draws.values()])
        draws = {name: d[:, kept] for name, d in draws.items()}
        known = all(arm.known for arm in arms.values()) and all(np.isfinite(d).all() for d in draws.values())
        if not known or kept.sum() < 2:
            return None
        of_images = float(sum(d.mean(0) for d in draws.values()).var(ddof=1))
        return self._error(factors, of_images, {name: of_one_seed(d) for name, d in draws.items()})

    def _interval(
        self, factors: Mapping[str, float], effect: float, level: float, per_seed: tuple[float, ...]
    ) -> Interval:
        found = self.error(factors)
        if found is None:
            return Interval(effect, math.nan, math.nan, None, math.nan, math.nan, per_seed)
        error, parts = found
        return error.interval(effect, level, per_seed, parts)

    def _error(self, factors: Mapping[str, float], of_images: float, own: Mapping[str, float]) -> tuple[Error, Parts]:
        """own: what the images do to one seed of each arm, by the factor already."""
        arms = {name: self.arms[name] for name in factors}
        seeds = min(len(arm.values) for arm in arms.values())
        shares = {name: factors[name] ** 2 / len(arm.values) for name, arm in arms.items() if name in self._varying}
        alone = max(len(arm.values) for arm in self.arms.values()) <= FEW
        names = list(shares) if alone else self._varying
        spread = self._spread_of(names) if alone else self._spread
        if not shares or spread is None:  # no seed differs from another, or there is one only
            df = 0 if seeds == 1 else math.inf
            error = Error(math.sqrt(of_images), np.array([math.sqrt(of_images)]), np.ones(1), df)
            return error, Parts(of_images, 0.0, 0.0, seeds, df)
        shared = sum(1 / len(arms[name].values) * own[name] for name in shares)
        places = {names.index(name): share for name, share in shares.items()}
        estimates = spread.estimates()
        of_seeds = float(sum(share * estimates[place] for place, share in places.items()))
        variances, weights = spread.combination(places)
        se = math.sqrt(of_images + max(of_seeds - shared, 0.0))
        error = Error(se, np.sqrt(of_images + np.maximum(variances - shared, 0.0)), weights, 1)
        # Arms of unequal numbers of seeds are foreseen as if all had the smaller one.
        images, both = max(of_images - shared, 0.0), seeds * shared
        return error, Parts(images, seeds * max(of_seeds - shared, 0.0), both, seeds, spread.seed_df)

    def _spread_of(self, names: Sequence[str]) -> Spread | None:
        columns = [self.arms[name].values for name in names]
        df = np.array([len(column) - 1.0 for column in columns])
        s2 = np.array([column.var(ddof=1) if len(column) > 1 else 0.0 for column in columns])
        return Spread.of(s2, df) if s2.any() else None


def normal_errors(covariance: Floats, count: int, rng: np.random.Generator) -> Floats:
    """(count, K) normal errors of this covariance (K, K), which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return rng.normal(size=(count, len(values))) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
