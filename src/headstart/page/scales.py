"""Axes: round tick marks, linear and logarithmic scales."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from headstart.page.numbers import MINUS, finite


@dataclass(frozen=True)
class Scale:
    """From data to positions: `lo`..`hi` of the data fall on `start`..`end` (pixels or percent)."""

    lo: float
    hi: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Position of a value. On a logarithmic scale values at or below 0 fall on the lower end."""
        if self.log:
            value = max(value, self.lo)
            part = (math.log(value) - math.log(self.lo)) / (math.log(self.hi) - math.log(self.lo))
        else:
            part = (value - self.lo) / (self.hi - self.lo)
        return self.start + part * (self.end - self.start)


def step(span: float, parts: int) -> float:
    """The round step (1, 2 or 5 times a power of ten) that cuts `span` into at most about `parts` parts."""
    raw = span / max(parts, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next((m * power for m in (1, 2, 5) if m * power >= raw * 0.999), 10 * power)


def ticks(lo: float, hi: float, parts: int = 5) -> list[float]:
    """Round values within lo..hi, both ends included."""
    size = step(hi - lo, parts)
    first, last = math.ceil(lo / size - 1e-9), math.floor(hi / size + 1e-9)
    return [0.0 if k == 0 else k * size for k in range(first, last + 1)]


def log_ticks(lo: float, hi: float) -> list[float]:
    """1, 2 and 5 times powers of ten within lo..hi; the powers alone when that would be too many."""
    exponents = range(math.floor(math.log10(lo)), math.ceil(math.log10(hi)) + 1)
    marks = [m * 10.0**e for e in exponents for m in (1, 2, 5) if lo * 0.999 <= m * 10.0**e <= hi * 1.001]
    return marks if len(marks) <= 6 else [m for m in marks if math.isclose(math.log10(m) % 1, 0, abs_tol=1e-9)]


def domain(values: Iterable[object], pad: float = 0.06, include: Sequence[float] = ()) -> tuple[float, float]:
    """Lowest and highest of the finite values, widened by `pad` of the span; (0, 1) where there is none."""
    present = [v for v in map(finite, values) if v is not None] + list(include)
    if not present:
        return 0.0, 1.0
    lo, hi = min(present), max(present)
    span = hi - lo or abs(hi) * 0.2 or 1.0
    return lo - span * pad, hi + span * pad


def tick_text(values: Sequence[float]) -> list[str]:
    """Texts of tick marks, all with the decimals that their step needs."""
    gaps = [b - a for a, b in pairwise(values) if b > a]
    smallest = min(gaps) if gaps else (abs(values[0]) if values and values[0] else 1.0)
    places = max(0, min(6, -math.floor(math.log10(smallest) + 1e-9)))
    return [f"{v:.{places}f}".replace("-", MINUS) for v in values]
