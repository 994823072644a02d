"""What a study measured, and contrasts of it: sums of metrics with signs, paired by seed and by resample.

Imports no torch. Letters: S seeds, B bootstrap resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from headstart.explain.verdicts import Measure, as_measure
from headstart.stats.intervals import crossed_interval

Series = tuple[np.ndarray, np.ndarray]
"""Values (S,) and replicates (S, B)."""
Term = tuple[int, str, str]
"""Sign (+1 or -1), role, metric name."""


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


def contrast(
    roles: Roles, terms: Sequence[Term], transform: Callable[[np.ndarray], np.ndarray] | None = None
) -> Series | None:
    """Sum of sign x transform(metric); None when a term was not measured.

    Terms of one sign are added up first: exchanging the signs then gives exactly the negative, to the last bit.
    Raises ValueError when terms differ in seeds or resamples: they could not be paired.
    """
    for _, role, key in terms:
        if role not in roles or key not in roles[role].values or key not in roles[role].replicates:
            return None
    parts = []
    for sign, role, key in terms:
        measured = (roles[role].values[key], roles[role].replicates[key])
        values, replicates = (np.asarray(array, dtype=np.float64) for array in measured)
        parts.append((sign, (values, replicates) if transform is None else (transform(values), transform(replicates))))
    shapes = {(values.shape, replicates.shape[:1], replicates.shape) for _, (values, replicates) in parts}
    if len(shapes) > 1 or any(of_values != seeds for of_values, seeds, _ in shapes):
        names = ", ".join(f"{role} {key}" for _, role, key in terms)
        raise ValueError(f"{names}: values and replicates have shapes {sorted(shapes)}; pairs need the same seeds")

    def total(sign: int, which: int) -> np.ndarray:
        return sum((arrays[which] for s, arrays in parts if s == sign), start=np.zeros_like(parts[0][1][which]))

    return total(1, 0) - total(-1, 0), total(1, 1) - total(-1, 1)


def measures(name: str, unit: str, series: Series | None, sign: int, *, n_images: int) -> list[Measure]:
    """One measure with predicted sign, or none when there is nothing to measure it from."""
    return [] if series is None else [as_measure(name, unit, crossed_interval(*series), sign, n_images=n_images)]


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
    series = contrast(roles, [(1, plus, key), (-1, minus, key)])
    return measures(f"{what}, {plus} - {minus}", unit, series, sign, n_images=n_images)


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
