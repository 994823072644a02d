"""What a study measured, and contrasts of it: sums of metrics, arm against arm.

Imports no torch. Letters: S seeds, B bootstrap resamples. What is summed of one arm is summed seed by seed (two
training sizes, two IoUs of one model); arms are compared as means over seeds that are no pairs
(`headstart.stats.arms`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from headstart.explain.verdicts import Measure, as_measure
from headstart.stats.arms import Arms
from headstart.stats.intervals import Interval, crossed_interval

Series = tuple[np.ndarray, np.ndarray]
"""Values (S,) and replicates (S, B)."""
Term = tuple[float, str, str]
"""Factor (+1 or -1, or a share of it), role, metric name."""


@dataclass(frozen=True)
class Measured:
    """Metric name -> values (S,) and replicates (S, B), of one role."""

    values: Mapping[str, np.ndarray]
    replicates: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskFacts:
    """kind: detect, segment, classify or probe. test: name of the test data. protocol: of detection tasks. unsettled:
    why the two arms cannot be compared on it yet (`headstart.stats.convergence`); empty where they can."""

    name: str
    kind: str
    test: str
    train_images: int
    _: KW_ONLY
    test_images: int
    protocol: str = ""
    unsettled: str = ""


Roles = Mapping[str, Measured]


@dataclass(frozen=True)
class Contrast:
    """One arm's sums by seed, less those of another arm; or, without another, the sums themselves.

    others: the same sums of further arms, which tell how far seeds spread.
    """

    plus: Series
    minus: Series | None = None
    others: tuple[Series, ...] = ()

    @property
    def seeds(self) -> int:
        """Of each arm; of the one with fewer."""
        return min(len(values) for values, _ in (self.plus, self.minus or self.plus))

    def interval(self) -> Interval:
        """Of the effect."""
        if self.minus is None:
            return crossed_interval(*self.plus)
        arms = {"plus": self.plus, "minus": self.minus, **{f"other {k}": o for k, o in enumerate(self.others)}}
        found = Arms({n: values for n, (values, _) in arms.items()}, {n: draws for n, (_, draws) in arms.items()})
        return found.difference("plus", "minus")


def contrast(
    roles: Roles, terms: Sequence[Term], transform: Callable[[np.ndarray], np.ndarray] | None = None
) -> Contrast | None:
    """Sum of factor x transform(metric) over the terms of one role, or of two; None when a term was not measured.

    Of two roles, the second has the terms of the first with factors of the other sign. Raises ValueError when terms of
    one role differ in seeds, or any in resamples.
    """
    first, *second = dict.fromkeys(role for _, role, _ in terms)
    pattern = [(factor, key) for factor, role, key in terms if role == first]
    if len(second) > 1 or (second and {(-f, k) for f, r, k in terms if r == second[0]} != set(pattern)):
        raise ValueError(f"{terms}: a contrast has one role, or two with the same terms and other signs")
    found = {role: _summed(roles[role], role, pattern, transform) for role in roles if role != "pair" or first == role}
    plus, minus = found.get(first), found.get(second[0]) if second else None
    if plus is None or (second and minus is None):
        return None
    if not second:
        return Contrast(plus)
    return Contrast(plus, minus, tuple(s for role, s in found.items() if s and role not in (first, *second)))


def _summed(
    measured: Measured, role: str, pattern: Sequence[tuple[float, str]], transform: Callable | None
) -> Series | None:
    if any(key not in measured.values or key not in measured.replicates for _, key in pattern):
        return None
    parts = []
    for factor, key in pattern:
        values, draws = (np.asarray(a, dtype=np.float64) for a in (measured.values[key], measured.replicates[key]))
        parts.append((factor, transform(values), transform(draws)) if transform else (factor, values, draws))
    shapes = {(values.shape, draws.shape) for _, values, draws in parts}
    if len(shapes) > 1 or any(of_values != draws[:1] for of_values, draws in shapes):
        names = ", ".join(f"{role} {key}" for _, key in pattern)
        raise ValueError(f"{names}: values and replicates have shapes {sorted(shapes)}; sums need the same seeds")
    # Terms of one sign first: exchanging the signs gives exactly the negative, to the last bit.
    gains, losses = ([p for p in parts if (p[0] > 0) == gain] for gain in (True, False))

    def total(which: int) -> np.ndarray:
        up, down = (sum(abs(p[0]) * p[which] for p in side) for side in (gains, losses))
        return np.asarray(up - down)

    return total(1), total(2)


def measures(name: str, unit: str, found: Contrast | None, sign: int, *, n_images: int) -> list[Measure]:
    """One measure with predicted sign, or none when there is nothing to measure it from."""
    if found is None:
        return []
    return [as_measure(name, unit, found.interval(), sign, n_images=n_images, seeds=found.seeds)]


def difference(
    roles: Roles,
    what: str,
    unit: str,
    key: str,
    *,
    sign: int,
    n_images: int,
    plus: str = "boxes",
    minus: str = "labels",
) -> list[Measure]:
    """One metric of one role minus that of another, as `measures`."""
    found = contrast(roles, [(1, plus, key), (-1, minus, key)])
    return measures(f"{what}, {plus} - {minus}", unit, found, sign, n_images=n_images)


def against_others(
    roles: Roles, what: str, unit: str, key: str, *, n_images: int, others: Sequence[str] = ("random", "scratch")
) -> list[Measure]:
    """Each arm against random weights, and against those that were fine-tuned to their plateau, where measured."""
    return [
        m
        for other in others
        for arm in ("boxes", "labels")
        for m in difference(roles, what, unit, key, sign=1, n_images=n_images, plus=arm, minus=other)
    ]


def image_count(roles: Roles, role: str, key: str) -> int:
    """A number of images that a job reported; the smallest over seeds, 0 when it did not."""
    values = roles[role].values.get(key) if role in roles else None
    return 0 if values is None else int(np.min(values))
