"""The search for a learning rate: the same for every candidate, on validation images only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from headstart.config.study import Task
from headstart.names import parse, validation
from headstart.study.jobs import Job
from headstart.tasks.table import trained_task

MOST_EXTENSIONS = 2
"""How often the grid grows when its best rate is at an edge."""


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
    """The validation metrics that the task says a rate is chosen by; losses are turned round."""
    values = []
    for name in trained_task(task.kind).chosen_by(task.protocol):
        value, parts = metrics.get(validation(name)), parse(name)
        turn = 1 if parts is None or parts.higher_is_better else -1
        values.append(-math.inf if value is None else turn * value)
    return tuple(values)
