"""How long the candidates of a task are trained: by a rule on held-out images, the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

import numpy as np

from headstart.config.study import Task
from headstart.stats.convergence import Convergence, convergence
from headstart.stats.reach import GENEROUS, reach
from headstart.study.jobs import Job
from headstart.study.lengths import Found, scores_of, still_falling
from headstart.tasks.table import trained_task

Transfers = Callable[[int], tuple[Job, ...] | None]
"""Of a candidate with the first seed, one a fold, by how often they are doubled; None while their rate is searched,
empty where that search failed."""


@dataclass(frozen=True)
class Aside:
    """A candidate that cannot win, but has not converged (`headstart.stats.reach`). doublings: how often its trainings
    were doubled; why: for the reader."""

    doublings: int
    why: str


@dataclass(frozen=True)
class Duration:
    """doublings: how often all trainings of the task go on for as many updates again; None while that is not known.
    jobs: those of the first seed that it is told from. aside: candidates that no longer count."""

    doublings: int | None
    jobs: tuple[Job, ...]
    aside: Mapping[str, Aside] = field(default_factory=dict)


def duration(
    task: Task,
    arms: Mapping[str, Transfers],
    found: Found,
    *,
    margin: float,
    lost: Callable[[Job], bool],
    ranked: Set[str] = frozenset(),
) -> Duration:
    """While a candidate is still moving with the first seed (`headstart.stats.convergence`, by the metric that the task
    is ranked by first), all are doubled, as long as they stay within the task's `most_updates`.

    All candidates are asked at the same length, and one that needs longer makes it longer for all, but for those of
    `ranked` that cannot win however long they are trained: they are set aside. A candidate that failed (`lost`) is not
    waited for.
    """
    assert task.recipe
    metric, seen, doubled, aside = trained_task(task.kind).ranked_by(task.protocol)[0], [], 0, dict[str, Aside]()
    while doublings_left(task, doubled):
        jobs = {name: arm(doubled) for name, arm in arms.items() if name not in aside}
        known = {name: of_folds for name, of_folds in jobs.items() if of_folds and not any(map(lost, of_folds))}
        seen += [job for of_folds in known.values() for job in of_folds]
        if None in jobs.values() or any(found(job) is None for of_folds in known.values() for job in of_folds):
            return Duration(None, tuple(seen), aside)
        scores = {name: scores_of([of_folds], metric, found) for name, of_folds in known.items()}
        falling = {name: [still_falling(of_folds, found)] for name, of_folds in known.items()}
        of = convergence(scores, falling, margin)
        aside |= beyond_reach(task, of, ranked & of.moving.keys(), ranked, doublings=doubled)
        if of.moving.keys() <= aside.keys():
            break
        doubled += 1
    return Duration(doubled, tuple(seen), aside)


def doublings_left(task: Task, doublings: int) -> int:
    """How often trainings that were doubled so often may be doubled yet, within the task's `most_updates`."""
    assert task.recipe
    left = 0
    while task.most_updates and task.recipe.updates * 2 ** (doublings + left + 1) <= task.most_updates:
        left += 1
    return left


def beyond_reach(
    task: Task, of: Convergence, asked: Set[str], ranked: Set[str], *, doublings: int, best: str | None = None
) -> dict[str, Aside]:
    """Those of the candidates `asked` that cannot win, by their scores at this length. best: that of `ranked` which
    they would have to reach; None: the one with the highest score."""
    known = {name: float(of.scores[name].mean(1)[2]) for name in of.scores if name in ranked}
    known = {name: score for name, score in known.items() if not np.isnan(score)}
    if best is None:
        best = max(known, key=lambda name: known[name], default=None)
    if best not in known or task.recipe is None:
        return {}
    left, aside = doublings_left(task, doublings), {}
    for name in sorted(asked - {best}):
        forecast = reach(of.scores[name], of.scores[best], left)
        if forecast is None or not forecast.is_out:
            continue
        why = of.of_pair(name, best) or of.moving.get(name, "")
        by = f"to reach {best} it would have to gain {100 * forecast.behind:.1f} points"
        if left:
            rise = f"gained {100 * forecast.gain:.1f} at most with each doubling of its updates"
            by += f" within {left} doublings, and {rise}: {GENEROUS:g} times that would not do"
        else:
            by += ", and its updates are as many as the budget allows"
        aside[name] = Aside(doublings, f"{why}; {by}")
    return aside
