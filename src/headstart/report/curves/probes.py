"""Probes of frozen features: other classifiers, every stage, few images of each class."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from headstart.names import metric
from headstart.page.lines import Axes, Line, legend, line_chart
from headstart.page.numbers import finite, fixed
from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render
from headstart.report.words import capital, metric_words, task_words

LAST = "last"
FEW = "-a-class"
ENDS = ("mean", "lo", "hi")


def section(run: RunDir) -> Section | None:
    """None where no task asks for further probes, or none is finished."""
    found = [task for task in run.metrics.get("probes") or [] if task["rows"]]
    if not found:
        return None
    names = [(name, run.series(name)) for name in run.weights]
    tasks = [_task(run, task) for task in found]
    return Section("probes", "Frozen features", render("curves/probes", tasks=tasks, legend=legend(names)))


def _task(run: RunDir, found: dict[str, Any]) -> dict[str, Any]:
    rows = found["rows"]
    names = [name for name in run.weights if any(name in row["values"] for row in rows)]
    table = [
        {"words": capital(_words(row)), "cells": [row["values"].get(name) for name in names]}
        for row in rows
        if row["measure"] != "log_loss"
    ]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    few = {row["of"] for row in rows if str(row["of"]).endswith(FEW)}
    stages = {row["of"] or LAST for row in rows if row["of"] not in few}
    charts = [c for kind in kinds for places in (few, stages) if (c := _chart(run, rows, kind, places, names=names))]
    return {"heading": capital(task_words(run, found["task"])), "names": names, "rows": table, "charts": charts}


def _words(row: dict[str, Any]) -> str:
    return metric_words(metric("probe", row["measure"], by=row["kind"], of=row["of"]))


def _chart(run: RunDir, rows: list[dict[str, Any]], kind: str, places: set[str], *, names: list[str]) -> Markup | None:
    """Top-1 by stage, or by images of each class; None for fewer than two of them."""
    of = {row["of"] or LAST: row["values"] for row in rows if row["kind"] == kind and row["measure"] == "top1"}
    shown = sorted((p for p in places if p in of), key=lambda p: (len(p), p) if p != LAST else (99, p))
    if len(shown) < 2:
        return None
    x = [float(k) for k in range(len(shown))]
    lines = []
    for name in names:
        cells = [of[place].get(name) or {} for place in shown]
        mean, lo, hi = ([None if (v := finite(c.get(end))) is None else 100 * v for c in cells] for end in ENDS)
        lines.append(Line(name, x, mean, run.series(name), lo=lo, hi=hi))
    few = shown[0].endswith(FEW)
    axes = Axes(
        "images of each class" if few else "stage",
        "top-1, points",
        x_ticks=[(k, place.removesuffix(FEW)) for k, place in zip(x, shown, strict=True)],
    )
    said = "; ".join(f"{ln.label} {', '.join(fixed(v) for v in ln.y)}" for ln in lines)
    title = capital(metric_words(metric("probe", "top1", by=kind)))
    return line_chart(lines, title, f"By {axes.x_label}: {said}.", axes)
