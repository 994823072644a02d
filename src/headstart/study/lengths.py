"""How the candidates of a study did on held-out images as their trainings went on, and whether they have converged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from headstart.config.study import Task
from headstart.names import validation
from headstart.stats.convergence import Convergence, convergence
from headstart.stats.intervals import finite
from headstart.study.jobs import Job, Trial
from headstart.tasks.table import TASKS

Found = Callable[[Job], dict[str, float | None] | None]
"""Metrics of a finished job."""


def convergence_of(
    task: Task, trials: Sequence[Trial], found: Found, *, seeds: Sequence[int], margin: float
) -> dict[str, Convergence]:
    """By metric that the task is ranked by, for the candidates that all seeds were trained for; nothing for a task that
    trains no model. Scores of folds are averaged."""
    if not task.is_trained:
        return {}
    by_arm: dict[str, list[Trial]] = {}
    for trial in trials:
        by_arm.setdefault(trial.weights, []).append(trial)
    complete = {name: sorted(own, key=lambda t: t.seed) for name, own in by_arm.items() if len(own) == len(seeds)}
    transfers = {name: [trial.transfers for trial in own] for name, own in complete.items()}
    falling = {name: [still_falling(jobs, found) for jobs in own] for name, own in transfers.items()}
    return {
        metric: convergence({name: scores_of(own, metric, found) for name, own in transfers.items()}, falling, margin)
        for metric in TASKS[task.kind].ranked_by(task.protocol)
    }


def as_rows(task: Task, by_metric: dict[str, Convergence], updates: int) -> list[dict[str, Any]]:
    """What `metrics.json` has of it under `convergence`: an entry for each metric. updates: of each training."""
    return [
        {
            "task": task.name,
            "metric": metric,
            "updates": updates,
            "scores": {name: [[*map(finite, row)] for row in scores.tolist()] for name, scores in of.scores.items()},
            "moving": dict(of.moving),
            "unsettled": [[a, b, why] for (a, b), why in of.unsettled.items()],
            **({"epochs": task.own_sizes.epochs} if task.own_sizes else {}),
        }
        for metric, of in by_metric.items()
        if of.scores
    ]


def scores_of(transfers: Sequence[Sequence[Job]], metric: str, found: Found) -> np.ndarray:
    """(3, S) at a third, two thirds and the end of the transfers of S seeds: the mean over one a fold, nan where a fold
    has none."""
    names = [validation(metric, thirds) for thirds in (1, 2, 3)]
    columns = []
    for jobs in transfers:
        folds = [found(job) or {} for job in jobs]
        values = [[np.nan if (value := of.get(name)) is None else value for of in folds] for name in names]
        columns.append(np.mean(values, axis=1))
    return np.stack(columns, axis=1)


def still_falling(transfers: Sequence[Job], found: Found) -> bool:
    """Whether the training loss of a fold was still falling at the end."""
    return any(bool((found(job) or {}).get("train/not_converged")) for job in transfers)
