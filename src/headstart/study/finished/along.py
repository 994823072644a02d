"""Scores along the axes of a study, and the effects of its factorial, from finished trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from headstart.config.axes import Axis
from headstart.config.study import Study, Task
from headstart.stats.arms import Arms
from headstart.stats.factorial import effects
from headstart.stats.intervals import Interval, finite
from headstart.study.jobs import Trial
from headstart.tasks.table import TASKS

ByWeights = Callable[[list[Trial], str, str], tuple[dict, dict]]
"""Values (S,) and replicates (S, B) by candidate of trials, a task and a metric."""
Complete = Callable[[Task], Mapping[str, int]]
"""Seeds that each candidate of a task has when it is complete."""


@dataclass(frozen=True)
class Along:
    """Reads what trials measured. of: see `ByWeights`; wanted: see `Complete`."""

    study: Study
    trials: list[Trial]
    of: ByWeights
    wanted: Complete

    def axes(self) -> list[dict[str, Any]]:
        """For every axis, task and metric that ranks it: `points` (the values, ascending where they are numbers; None
        for all images), `rows`: of each candidate its mean at every point (None where it is not finished) and the
        `steps` from each point to the next; and of a share of the data the `question`."""
        return [
            row for axis in self.study.axes for row in (self._of_task(axis) if axis.task else self._of_origin(axis))
        ]

    def _of_task(self, axis: Axis) -> list[dict[str, Any]]:
        tasks = {task.name: task for task in self.study.tasks}
        base = tasks[str(axis.task)]
        points = _ordered([(_own(base, axis), base.name), *((v, axis.variant(base.name, v)) for v in axis.values)])
        found = []
        for metric in TASKS[base.kind].ranked_by(base.protocol):
            cells = {name: self._complete(tasks[name], metric) for _, name in points}
            names = [w.name for w in self.study.weights if any(w.name in of for of in cells.values())]
            table = {n: [cells[point].get(n) for _, point in points] for n in names}
            told = self._told(axis, base, metric, points, table=table)
            found += [told] if told else []
        return found

    def _of_origin(self, axis: Axis) -> list[dict[str, Any]]:
        wanted = self.study.pretraining[str(axis.pretraining)]
        bases = [w.name for w in self.study.weights if w.pretraining == axis.pretraining]
        own = wanted.images if axis.setting == "images" else _at(wanted.recipe, axis.setting)
        points = _ordered([(own, ""), *((v, str(v)) for v in axis.values)])
        found = []
        for task in self.study.tasks:
            for metric in TASKS[task.kind].ranked_by(task.protocol):
                cells = self._complete(task, metric)
                table = {b: [cells.get(axis.variant(b, v) if name else b) for v, name in points] for b in bases}
                told = self._told(axis, task, metric, points, table=table)
                found += [told] if told else []
        return found

    def _complete(self, task: Task, metric: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        values, replicates = self.of(self.trials, task.name, metric)
        wanted = self.wanted(task)
        return {n: (v, replicates[n]) for n, v in values.items() if len(v) == wanted.get(n)}

    def _told(
        self, axis: Axis, task: Task, metric: str, points: list[tuple[Any, str]], *, table: Mapping[str, list[Any]]
    ) -> dict[str, Any] | None:
        """table: candidate -> at each point its values and replicates."""
        known = {(n, k): cell for n, row in table.items() for k, cell in enumerate(row) if cell is not None}
        if len({k for _, k in known}) < 2:
            return None
        names = {key: f"{key[0]}/{key[1]}" for key in known}
        arms = Arms(
            {names[key]: values for key, (values, _) in known.items()},
            {names[key]: drawn for key, (_, drawn) in known.items()},
        )
        rows = []
        for name in table:
            at = [k for k in range(len(points)) if (name, k) in known]
            cells = [_mean(arms.mean(names[name, k])) if (name, k) in known else None for k in range(len(points))]
            pairs = pairwise(at)
            steps = [{"from": a, "to": b} | arms.difference(names[name, b], names[name, a]).to_json() for a, b in pairs]
            rows.append({"weights": name, "values": cells, "steps": steps})
        told: dict[str, Any] = {
            "task": task.name,
            "pretraining": axis.pretraining,
            "setting": axis.setting,
            "metric": metric,
        }
        told |= {"points": [value for value, _ in points], "rows": rows}
        is_data = axis.setting == "limit" and axis.task is not None
        return told | ({"question": self._question(rows, arms, names, last=len(points) - 1)} if is_data else {})

    def _question(
        self, rows: list[dict[str, Any]], arms: Arms, names: Mapping[tuple[str, int], str], *, last: int
    ) -> dict[str, Any] | None:
        """Label more, or change weights? Of the default candidate, or the first: what the last step along the data
        brought, and what the best other candidate brings with all of them. None where either is not known."""
        default = next((w.name for w in self.study.weights if w.default), None)
        row = next((r for r in rows if r["weights"] == default), rows[0])
        others = [r for r in rows if r is not row and r["values"][last] and r["values"][last]["mean"] is not None]
        step = next((s for s in row["steps"] if s["to"] == last), None)
        if not others or step is None:
            return None
        best = max(others, key=lambda r: r["values"][last]["mean"])
        change = arms.difference(names[best["weights"], last], names[row["weights"], last])
        return {"weights": row["weights"], "more": step, "best": best["weights"], "change": change.to_json()}

    def factorial(self) -> list[dict[str, Any]]:
        """For every task and metric that ranks it where all cells are finished: the cells' means, and the effects."""
        wanted, found = self.study.factorial, []
        if wanted is None:
            return []
        names = [name for row in wanted.cells.values() for name in row.values()]
        for task in self.study.tasks:
            for metric in TASKS[task.kind].ranked_by(task.protocol):
                cells = self._complete(task, metric)
                if not set(names) <= set(cells):
                    continue
                arms = Arms({n: cells[n][0] for n in names}, {n: cells[n][1] for n in names})
                means = {r: {c: _mean(arms.mean(n)) for c, n in row.items()} for r, row in wanted.cells.items()}
                told = [
                    {"first": e.first, "second": e.second} | e.interval.to_json() for e in effects(arms, wanted.cells)
                ]
                facts = {"task": task.name, "metric": metric, "factors": list(wanted.factors)}
                found.append(facts | {"cells": means, "effects": told})
        return found


def added_tasks(study: Study) -> set[str]:
    """Names of tasks that axes add with other settings than the number of images: no evidence for findings."""
    own = [axis for axis in study.axes if axis.task and axis.setting != "limit"]
    return {axis.variant(str(axis.task), value) for axis in own for value in axis.values}


def _mean(interval: Interval) -> dict[str, float | None]:
    return {"mean": finite(interval.effect), "lo": finite(interval.lo), "hi": finite(interval.hi)}


def _own(task: Task, axis: Axis) -> Any:
    return _at(task, axis.setting)


def _at(settings: Any, place: str) -> Any:
    """The value at a dotted place, as JSON has it."""
    value = settings.model_dump(mode="json")
    for key in place.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _ordered(points: list[tuple[Any, str]]) -> list[tuple[Any, str]]:
    """Numbers ascending, None (all images) last; shares before numbers of images; other values as they come."""
    if all(value is None or isinstance(value, int | float) for value, _ in points):
        return sorted(points, key=lambda point: np.inf if point[0] is None else float(point[0]))
    return points
