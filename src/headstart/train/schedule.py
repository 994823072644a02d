"""Learning rates over a training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headstart.recipes.schema import Recipe


def warmup_cosine(step: int, updates: int, warmup: int) -> float:
    """Factor of the rate at `step` (0-based): linear up over `warmup` updates, then half a cosine down to 0."""
    warmup = min(warmup, updates // 2)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, updates - warmup)))


def resumed(step: int, begun: int, updates: int) -> float:
    """Further factor of the rate where a training goes on at `begun` after one that ended there, its rate at 0: linear
    up over a tenth of the updates that are added. So after a short climb the rate is that of a training of so many
    `updates` in all."""
    if step < begun or not begun:
        return 1.0
    return min(1.0, (step - begun + 1) / max(1, (updates - begun) // 10))


def warmup_steps(step: int, updates: int, warmup: int, drops: Sequence[float], *, factor: float = 0.1) -> float:
    """Factor of the rate: linear up, then constant, times `factor` from each of `drops` on (fractions of updates)."""
    warmup = min(warmup, updates // 2)
    if step < warmup:
        return (step + 1) / warmup
    return factor ** sum(step >= drop * updates for drop in drops)


def rate_factor(recipe: Recipe, step: int, begun: int = 0) -> float:
    """Of the learning rate at `step` (0-based), in a training that goes on from another's end at `begun`."""
    climb = resumed(step, begun, recipe.updates)
    if recipe.schedule == "steps":
        return climb * warmup_steps(step, recipe.updates, recipe.warmup_updates, recipe.drops)
    return climb * warmup_cosine(step, recipe.updates, recipe.warmup_updates)
