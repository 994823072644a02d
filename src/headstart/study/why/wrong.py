"""What the models of two candidates get wrong, kind by kind, and whether the two differ in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headstart.metrics.detection_errors import KINDS
from headstart.stats.arms import Arms
from headstart.stats.contrasts import holm
from headstart.stats.intervals import Interval, finite

MEASURES = ("given_back", "errors")
"""See `headstart.tasks.detection_mistakes`."""


def wrong(arrays: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Measure -> kind -> `a`, `b`: means over seeds, and `difference`, a less b, over seeds and test images as in a
    ranking; its `p_adjusted` by Holm over the kinds of a measure. None where kinds are not told apart.

    arrays: MEASURE/KIND/ROLE -> (S, 1 + B), of each seed the value and its replicates.
    """
    found: dict[str, Any] = {}
    for measure in MEASURES:
        of_kinds = {kind: _difference(arrays, f"{measure}/{kind}") for kind in KINDS if f"{measure}/{kind}/a" in arrays}
        adjusted = holm([interval.p for *_, interval in of_kinds.values()])
        found[measure] = {
            kind: {"a": finite(a), "b": finite(b), "difference": interval.to_json(p)}
            for (kind, (a, b, interval)), p in zip(of_kinds.items(), adjusted, strict=True)
        }
    return found if any(found.values()) else None


def wrong_lines(costs: dict[str, Any], a: str, b: str) -> list[str]:
    """For the terminal: what mending each kind gives back to both, in points, the widest difference first."""
    known = {kind: of for kind, of in costs.items() if of["a"] is not None and of["b"] is not None}
    order = sorted(known, key=lambda kind: -abs(known[kind]["a"] - known[kind]["b"]))
    said = ", ".join(f"{kind} {100 * known[kind]['a']:.1f} / {100 * known[kind]['b']:.1f}" for kind in order)
    return [f"points lost by kind of error, {a} / {b}: {said}"] if known else []


def _difference(arrays: Mapping[str, np.ndarray], name: str) -> tuple[float, float, Interval]:
    values, replicates = ({role: arrays[f"{name}/{role}"][:, part] for role in "ab"} for part in (0, slice(1, None)))
    return (
        *(float(values[role].mean()) for role in "ab"),
        Arms(values, replicates).difference("a", "b"),
    )  # type: ignore[return-value]
