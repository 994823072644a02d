"""Learning rates over a training."""

from __future__ import annotations

import math


def warmup_cosine(step: int, updates: int, warmup: int) -> float:
    """Factor of the rate at `step` (0-based): linear up over `warmup` updates, then half a cosine down to 0."""
    warmup = min(warmup, updates // 2)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, updates - warmup)))
