"""How long work tells where it is: one callable, whoever shows it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the fraction done, 0..1, and a few words such as "update 120 of 900"."""
Counted = Callable[[int, int], None]
"""Called with the number done and the number of all, where the words are the caller's."""


def silent(fraction: float, message: str) -> None:
    """Tells nobody."""


def part(progress: Progress, first: float, last: float, before: str = "") -> Progress:
    """Progress of a piece of the work that goes from `first` to `last` of the whole; `before` stands in front."""
    return lambda fraction, message: progress(first + (last - first) * fraction, before + message)
