"""Where the differences lie: AP over the IoU threshold, and class by class."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from headstart.names import parse
from headstart.page.lines import Axes, Line, legend, line_chart
from headstart.page.numbers import finite, mean, measured
from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render
from headstart.report.words import capital, known_task, task_words

MANY = 30
"""Classes above which a table is folded away."""


def section(run: RunDir) -> Section | None:
    """None where no task has values over IoUs or for single classes."""
    drawn = {task: _over_iou(run, task) for task in run.tasks}
    charts = [chart for of_task in drawn.values() for chart in of_task]
    tables = [table for task in run.tasks for table in [_per_class(run, task)] if table]
    if not charts and not tables:
        return None
    shown = {t["weights"] for task, of_task in drawn.items() if of_task for t in run.trials(task)}
    names = [(name, run.series(name)) for name in run.weights if name in shown]
    body = render(
        "precision", charts=charts, tables=tables, legend=legend(names), several=len(run.seeds) > 1, many=MANY
    )
    if not charts:
        return Section("precision", "Class by class", body)
    return Section("precision", "AP over IoU, and class by class" if tables else "AP over IoU", body)


def _over_iou(run: RunDir, task: str) -> list[Markup]:
    """One chart for each protocol that the task was scored by."""
    by_protocol: dict[str, dict[float, str]] = {}
    for trial in run.trials(task):
        for name in trial["metrics"]:
            parts = parse(name)
            if (
                parts
                and parts.measure == "map"
                and parts.iou.startswith("0.")
                and ":" not in parts.iou
                and not parts.of
            ):
                by_protocol.setdefault(parts.by, {})[float(parts.iou)] = name
    return [_iou_chart(run, task, protocol, names) for protocol, names in sorted(by_protocol.items()) if len(names) > 1]


def _iou_chart(run: RunDir, task: str, protocol: str, names: dict[float, str]) -> Markup:
    ious = sorted(names)
    lines = []
    for weights in run.weights:
        trials = run.trials(task, weights)
        if not trials:
            continue
        seeds = [[_points(t["metrics"].get(names[iou])) for t in trials] for iou in ious]
        present = [[v for v in column if v is not None] for column in seeds]
        band = len(trials) > 1
        lines.append(
            Line(
                weights,
                ious,
                [mean(column) for column in seeds],
                run.series(weights),
                [min(c) if c else None for c in present] if band else (),
                [max(c) if c else None for c in present] if band else (),
            )
        )
    said = "; ".join(f"{ln.label} {measured(_part(ln.y[0]))} to {measured(_part(ln.y[-1]))}" for ln in lines)
    ticks = [(iou, f"{iou:.1f}") for iou in ious if abs(iou * 10 - round(iou * 10)) < 1e-6]
    description = f"mAP from IoU {ious[0]:g} to {ious[-1]:g}: {said}."
    axes = Axes("IoU threshold", "mAP, points", ticks, y_zero=True)
    return line_chart(lines, f"{capital(task_words(run, task))} ({protocol})", description, axes)


def _points(value: object) -> float | None:
    number = finite(value)
    return None if number is None else number * 100


def _part(value: object) -> float | None:
    number = finite(value)
    return None if number is None else number / 100


def _per_class(run: RunDir, task: str) -> dict[str, Any] | None:
    known = known_task(run, task)
    if known is None:
        return None
    names: dict[str, str] = {}
    for trial in run.trials(task):
        for name in trial["metrics"]:
            parts = parse(name)
            if parts and parts.of is not None and parts.family == known.family and known.is_of_class(parts):
                names.setdefault(parts.of, name)
    weights = [name for name in run.weights if run.trials(task, name)]
    rows = []
    for label in sorted(names):
        values = [mean([t["metrics"].get(names[label]) for t in run.trials(task, w)]) for w in weights]
        present = [v for v in values if v is not None]
        top = max(present) if present and max(present) > min(present) else None
        rows.append({"label": label, "cells": [(v, v is not None and v == top) for v in values]})
    if not rows:
        return None
    return {"heading": capital(task_words(run, task)), "quantity": known.of_class, "weights": weights, "rows": rows}
