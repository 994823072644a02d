"""How long the candidates of a task are trained: by a rule on held-out images, the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headstart.config.study import Task
from headstart.stats.convergence import convergence
from headstart.study.jobs import Job
from headstart.study.lengths import Found, scores_of, still_falling
from headstart.tasks.table import trained_task

Transfers = Callable[[int], tuple[Job, ...] | None]
"""Of a candidate with the first seed, one a fold, by how often they are doubled; None while their rate is searched,
empty where that search failed."""


@dataclass(frozen=True)
class Duration:
    """doublings: how often all trainings of the task go on for as many updates again; None while that is not known.
    jobs: those of the first seed that it is told from."""

    doublings: int | None
    jobs: tuple[Job, ...]


def duration(
    task: Task, arms: Sequence[Transfers], found: Found, *, margin: float, lost: Callable[[Job], bool]
) -> Duration:
    """While a candidate is still moving with the first seed (`headstart.stats.convergence`, by the metric that the task
    is ranked by first), all are doubled, as long as they stay within the task's `most_updates`.

    All candidates are asked at the same length, and one that needs longer makes it longer for all. A candidate that
    failed (`lost`) is not waited for.
    """
    assert task.recipe
    metric, seen, doubled = trained_task(task.kind).ranked_by(task.protocol)[0], [], 0
    while task.most_updates and task.recipe.updates * 2 ** (doubled + 1) <= task.most_updates:
        jobs = [arm(doubled) for arm in arms]
        known = {str(k): of_folds for k, of_folds in enumerate(jobs) if of_folds and not any(map(lost, of_folds))}
        seen += [job for of_folds in known.values() for job in of_folds]
        if None in jobs or any(found(job) is None for of_folds in known.values() for job in of_folds):
            return Duration(None, tuple(seen))
        scores = {name: scores_of([of_folds], metric, found) for name, of_folds in known.items()}
        falling = {name: [still_falling(of_folds, found)] for name, of_folds in known.items()}
        if not convergence(scores, falling, margin).moving:
            break
        doubled += 1
    return Duration(doubled, tuple(seen))
