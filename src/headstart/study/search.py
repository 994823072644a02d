"""The search for a learning rate: the same for every candidate, on validation images only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from headstart.config.study import Task
from headstart.recipes.settings import TaskKind
from headstart.study.jobs import Job

MOST_EXTENSIONS = 2
"""How often the grid grows when its best rate is at an edge."""

CHOSEN_BY: dict[TaskKind, tuple[str, ...]] = {
    "detect": ("val/det/{protocol}/map@0.5", "val/det/{protocol}/map@0.5:0.95"),
    "segment": ("val/seg/miou",),
    "classify": ("val/cls/top1", "-val/cls/log_loss"),
}
"""Validation metrics that a rate is chosen by, ties by the next; a minus turns a loss round."""


@dataclass(frozen=True)
class Search:
    """State of a search. `rate` is None while trainings of it are missing."""

    rate: float | None
    at_edge: bool
    jobs: tuple[Job, ...]


def search_rate(
    task: Task, rates: tuple[float, ...], job_of: Callable[[float], Job], lookup: Callable[[Job], dict | None]
) -> Search:
    """Try every rate; while the best is the lowest or the highest, try one more beyond it, twice at most."""
    ratio = (rates[-1] / rates[0]) ** (1 / (len(rates) - 1))
    tried, extensions = list(rates), 0
    while True:
        jobs = [job_of(rate) for rate in tried]
        results = [lookup(job) for job in jobs]
        if any(r is None for r in results):
            return Search(None, False, tuple(jobs))
        scores = [_score(task, r) for r in results if r is not None]
        if len(set(scores)) == 1:  # nothing to choose by: the middle rate, and no reason to look further out
            return Search(tried[len(tried) // 2], False, tuple(jobs))
        best = max(range(len(tried)), key=lambda k: scores[k])
        at_edge = best in (0, len(tried) - 1)
        if not at_edge or extensions == MOST_EXTENSIONS:
            return Search(tried[best], at_edge, tuple(jobs))
        extensions += 1
        # Rounded to 6 digits: the rate is part of a key, which must not depend on the last bit of a division.
        tried = [_rounded(tried[0] / ratio), *tried] if best == 0 else [*tried, _rounded(tried[-1] * ratio)]


def _rounded(rate: float) -> float:
    return float(f"{rate:.6g}")


def _score(task: Task, metrics: dict[str, float | None]) -> tuple[float, ...]:
    values = []
    for name in CHOSEN_BY[task.kind]:
        value = metrics.get(name.removeprefix("-").format(protocol=task.protocol))
        value = -math.inf if value is None else -value if name.startswith("-") else value
        values.append(value)
    return tuple(values)
