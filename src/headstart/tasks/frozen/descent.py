"""Minimizing a smooth convex function by L-BFGS (Nocedal and Wright, Numerical Optimization, Algorithms 7.4 and 7.5).

For scaled problems: curvature is about 1, so that a step of 1 is nearly always right. What a step costs beside an
evaluation is two passes over the last `HISTORY` pairs; bounds, which scipy's L-BFGS-B looks after, take it a third of
the time of a large problem.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Function = Callable[[Floats], tuple[float, Floats]]
"""Value and gradient (n,)."""
HISTORY = 20
FLATTER = 0.9
"""Part of the slope along a line that may be left where a step ends."""
TRIES = 20
"""Points along a line, at most."""


@dataclass(frozen=True)
class Minimum:
    """x (n,), and the largest entry of the gradient there."""

    x: Floats
    gradient: float


def minimized(function: Function, x: Floats, tolerance: float, updates: int) -> Minimum:
    """Go down from x (n,) until no entry of the gradient exceeds the tolerance, for so many updates at most; or until
    the last bit, where no step brings anything anymore."""
    pairs: deque[tuple[Floats, Floats, float]] = deque(maxlen=HISTORY)
    value, gradient = function(x)
    for _ in range(updates):
        if np.abs(gradient).max() <= tolerance:
            break
        direction = _direction(gradient, pairs)
        found = _along(function, x, direction, value, gradient=gradient)
        if found is None and pairs:  # what is remembered may mislead where values are at their last bit
            pairs.clear()
            found = _along(function, x, -gradient, value, gradient=gradient)
        if found is None:
            break
        moved, value, now = found
        step, change = moved - x, now - gradient
        if (bend := float(step @ change)) > 0:
            pairs.append((step, change, bend))
        x, gradient = moved, now
    return Minimum(x, float(np.abs(gradient).max()))


def _direction(gradient: Floats, pairs: deque[tuple[Floats, Floats, float]]) -> Floats:
    """Downhill, by the curvature that the pairs have seen."""
    down = -gradient
    parts = []
    for step, change, bend in reversed(pairs):
        part = float(step @ down) / bend
        down -= np.asarray(part, down.dtype) * change
        parts.append(part)
    if pairs:
        _, change, bend = pairs[-1]
        down *= np.asarray(bend / float(change @ change), down.dtype)
    for (step, change, bend), part in zip(pairs, reversed(parts), strict=True):
        down += np.asarray(part - float(change @ down) / bend, down.dtype) * step
    return down


def _along(
    function: Function, x: Floats, direction: Floats, value: float, *, gradient: Floats
) -> tuple[Floats, float, Floats] | None:
    """A point along the direction where the slope has come down and the value has not risen; None: there is none.

    The slope rises along a line, since the function is convex: so it is followed to where it is about 0. Near the
    minimum the slope is right for longer than differences of values are, so these may be off by their last bits.
    """
    slope = float(direction @ gradient)
    if slope >= 0:
        return None
    noise = 10 * float(np.finfo(x.dtype).eps) * abs(value)
    low, low_slope, high, high_slope, at = 0.0, slope, np.inf, 0.0, 1.0
    for _ in range(TRIES):
        moved = x + np.asarray(at, x.dtype) * direction
        new, now = function(moved)
        there = float(direction @ now)
        if new <= value + noise and abs(there) <= -FLATTER * slope:
            return moved, new, now
        if there < 0 and new <= value + noise:
            low, low_slope = at, there
        else:
            high, high_slope = at, there
        if np.isinf(high):
            at *= 4
        elif high_slope > 0:  # where a line through the two slopes is 0, not too near to either end
            secant = low - low_slope * (high - low) / (high_slope - low_slope)
            at = min(max(secant, low + 0.1 * (high - low)), high - 0.1 * (high - low))
        else:
            at = (low + high) / 2
    return None
