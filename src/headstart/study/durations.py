"""How long the candidates of a task are trained: by a rule on held-out images, the same for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from headstart.config.study import Task
from headstart.stats.convergence import ARM_SHARE, convergence
from headstart.stats.reach import GENEROUS, LUCK, reach
from headstart.study.jobs import Job
from headstart.study.lengths import Found, scores_of, still_falling
from headstart.tasks.table import trained_task

Transfers = Callable[[int], tuple[tuple[Job, ...], ...] | None]
"""Of a candidate with the seeds that are asked, one a fold, by how often they are doubled; None while their rate is
searched, empty where that search failed."""


@dataclass(frozen=True)
class Aside:
    """A candidate that cannot win, but has not converged (`headstart.stats.reach`). doublings: how often its trainings
    were doubled; why: for the reader."""

    doublings: int
    why: str


@dataclass(frozen=True)
class Duration:
    """doublings: how often all trainings of the task go on for as many updates again; None while that is not known.
    jobs: those that it is told from. aside: candidates that no longer count. near: while it is not
    known, those that are trained with further seeds in any case, as often doubled as `least`, at least."""

    doublings: int | None
    jobs: tuple[Job, ...]
    aside: Mapping[str, Aside] = field(default_factory=dict)
    near: Set[str] = frozenset()
    least: int = 0


def duration(
    task: Task,
    arms: Mapping[str, Transfers],
    found: Found,
    *,
    margin: float,
    lost: Callable[[Job], bool],
    ranked: Set[str] = frozenset(),
) -> Duration:
    """While a candidate is still moving (`headstart.stats.convergence`, by the metric that tasks rank by first),
    all are doubled, as long as they stay within the task's `most_updates`. So they are below its `least_updates`; with
    these a candidate is moving, too, while it still gains with every doubling.

    All candidates are asked at the same length, and one that needs longer makes it longer for all, but for those of
    `ranked` that are far behind. Where only such ones are moving, they go on alone: all are doubled if one comes near,
    and who does not is set aside. A candidate that failed (`lost`) is not waited for.
    """
    asked = _Asked(task, arms, found, margin, lost, ranked)
    near: Set[str] = frozenset()
    doubled, least, most = 0, doublings_needed(task), doublings_left(task, 0)
    while doubled < most:
        curves = asked.curves(doubled, [name for name in arms if name not in asked.aside])
        if curves is None:
            return Duration(None, tuple(asked.seen), asked.aside, near, doubled)
        moving = asked.moving(curves, doubled)
        if least and doubled:
            moving = asked.gaining(curves, doubled) | dict(moving)
        far = asked.far(curves)
        near = curves.keys() & ranked - far
        asked.set_aside(curves, moving, doubled)
        left = (moving.keys() if doubled >= least else curves.keys()) - asked.aside.keys()
        if not left:
            break
        needed = [doubled + 1]
        if left <= far:
            alone = [asked.alone(name, curves, doubled) for name in sorted(left)]
            if None in alone:
                return Duration(None, tuple(asked.seen), asked.aside, near, doubled)
            needed = [length for length in alone if length]
        if not needed:
            break
        doubled = min(needed)
    return Duration(doubled, tuple(asked.seen), asked.aside)


Curves = dict[str, np.ndarray]
"""Candidate -> its scores (3, S) with the seeds that are asked."""


@dataclass
class _Asked:
    """Looks at trainings of the seeds asked; remembers which (`seen`), and who was set aside."""

    task: Task
    arms: Mapping[str, Transfers]
    found: Found
    margin: float
    lost: Callable[[Job], bool]
    ranked: Set[str]
    seen: list[Job] = field(default_factory=list)
    aside: dict[str, Aside] = field(default_factory=dict)
    falling: dict[tuple[str, int], list[bool]] = field(default_factory=dict)

    def curves(self, doubled: int, names: Sequence[str]) -> Curves | None:
        """Of those that did not fail; None while one is not known."""
        metric = trained_task(self.task.kind).ranked_by(self.task.protocol)[0]
        jobs = {name: self.arms[name](doubled) for name in names}
        known = {name: of for name, of in jobs.items() if of and not any(map(self.lost, chain(*of)))}
        named = [job for of_seeds in known.values() for job in chain(*of_seeds)]
        self.seen += named
        if None in jobs.values() or any(self.found(job) is None for job in named):
            return None
        for name, of_seeds in known.items():
            self.falling[name, doubled] = [still_falling(of_folds, self.found) for of_folds in of_seeds]
        return {name: scores_of(of_seeds, metric, self.found) for name, of_seeds in known.items()}

    def moving(self, curves: Curves, doubled: int) -> Mapping[str, str]:
        return convergence(curves, {name: self.falling[name, doubled] for name in curves}, self.margin).moving

    def gaining(self, curves: Curves, doubled: int) -> dict[str, str]:
        """Those whose last doubling still gained much, and why that is said of them."""
        before = self.curves(doubled - 1, list(curves)) or {}
        gains = {name: (_end(before[name]), _end(now)) for name, now in curves.items() if name in before}
        return {
            name: f"{name} still gains with the last doubling of its updates ({100 * first:.1f} to {100 * last:.1f})"
            for name, (first, last) in gains.items()
            if last - first > max(self.margin, ARM_SHARE * abs(last))
        }

    def far(self, curves: Curves) -> set[str]:
        """Those of `ranked` that are further behind the best than luck may have made."""
        best = self._best(curves)
        return {name for name in curves.keys() & self.ranked if best and _end(curves[name]) < _end(curves[best]) - LUCK}

    def set_aside(self, curves: Curves, moving: Mapping[str, str], doubled: int) -> None:
        """Set aside those that are moving and cannot win by their forecast."""
        if best := self._best(curves):
            others = sorted(moving.keys() & self.ranked - {best})
            self.aside |= beyond_reach(
                self.task, curves, {name: moving[name] for name in others}, best=best, doublings=doubled
            )

    def alone(self, name: str, curves: Curves, doubled: int) -> int | None:
        """How often the trainings of a candidate that goes on alone are doubled when it comes near the best of the
        others; 0 where it does not, and is set aside, or failed. None while that is not known."""
        best, now = self._best(curves), doubled
        while True:
            now += 1
            own = self.curves(now, [name])
            if not own:
                return None if own is None else 0
            behind = _end(curves[best]) - _end(own[name])
            if not behind > LUCK:
                return now
            left = doublings_left(self.task, now)
            forecast = reach(own[name], curves[best], left)
            if left and not (forecast and forecast.is_out):
                continue
            scores = ", ".join(f"{score:.1f}" for score in 100 * own[name].mean(1))
            self.aside[name] = Aside(
                now,
                f"with the first seed it was trained on alone, to {2 ** (now - doubled)} times the updates of the "
                f"others, and on held-out images it still scores {100 * behind:.1f} points less than {best} does with "
                f"theirs ({scores} at a third, two thirds and the end)",
            )
            return 0

    def _best(self, curves: Curves) -> str:
        """The candidate with the highest score; "" where none is known."""
        known = [name for name in curves if name in self.ranked and not np.isnan(_end(curves[name]))]
        return max(known, key=lambda name: _end(curves[name]), default="")


def _end(curve: np.ndarray) -> float:
    return float(curve[2].mean())


def doublings_needed(task: Task) -> int:
    """How often trainings are doubled in any case, for the task's `least_updates`."""
    assert task.recipe
    return math.ceil(math.log2(max(1.0, (task.least_updates or 0) / task.recipe.updates)))


def doublings_left(task: Task, doublings: int) -> int:
    """How often trainings that were doubled so often may be doubled yet, within the task's `most_updates`."""
    assert task.recipe
    left = 0
    while task.most_updates and task.recipe.updates * 2 ** (doublings + left + 1) <= task.most_updates:
        left += 1
    return left


def beyond_reach(
    task: Task, curves: Mapping[str, np.ndarray], whys: Mapping[str, str], *, best: str, doublings: int
) -> dict[str, Aside]:
    """Those candidates that cannot win by the forecast from their scores (3, S) at this length. whys: candidate -> why
    it has not converged; of those that are asked. best: who they would have to reach."""
    left, aside = doublings_left(task, doublings), {}
    for name, why in whys.items():
        forecast = reach(curves[name], curves[best], left) if {name, best} <= curves.keys() else None
        if forecast is None or not forecast.is_out:
            continue
        by = f"to reach {best} it would have to gain {100 * forecast.behind:.1f} points"
        if left:
            rise = f"gained {100 * forecast.gain:.1f} at most with each doubling of its updates"
            by += f" within {left} doublings, and {rise}: {GENEROUS:g} times that would not do"
        else:
            by += ", and its updates are as many as the budget allows"
        aside[name] = Aside(doublings, f"{why}; {by}")
    return aside
