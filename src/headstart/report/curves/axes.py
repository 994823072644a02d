"""Scores along the axes of a study, and the effects of its factorial."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from headstart.page.lines import Axes, Line, legend, line_chart
from headstart.page.numbers import finite, fixed
from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render
from headstart.report.words import capital, metric_words, task_words
from headstart.study.finished.told_axes import effect_words, point_words, question_words

ENDS = ("mean", "lo", "hi")
WORDS = {"limit": "images trained on", "lr": "rate", "updates": "updates", "freeze": "frozen parts", "images": "images"}


def section(run: RunDir) -> Section | None:
    """None where the study has no axis and no factorial, or nothing of them is finished."""
    along = [_axis(run, row) for row in run.metrics.get("axes") or []]
    tables = [_factorial(run, row) for row in run.metrics.get("factorial") or []]
    if not along and not tables:
        return None
    names = [(name, run.series(name)) for name in run.weights]
    return Section("axes", "Along the axes", render("curves/axes", axes=along, tables=tables, legend=legend(names)))


def _axis(run: RunDir, row: dict[str, Any]) -> dict[str, Any]:
    shown = [point_words(value, row["setting"]) for value in row["points"]]
    x = [float(k) for k in range(len(shown))]
    lines = []
    for of in row["rows"]:
        cells = [cell or {} for cell in of["values"]]
        mean, lo, hi = ([None if (v := finite(c.get(end))) is None else 100 * v for c in cells] for end in ENDS)
        lines.append(Line(of["weights"], x, mean, run.series(of["weights"]), lo=lo, hi=hi))
    said = "; ".join(f"{ln.label} {', '.join(fixed(v) for v in ln.y)}" for ln in lines)
    word = WORDS.get(row["setting"].rpartition(".")[2], row["setting"])
    axes = Axes(word, "points", x_ticks=list(zip(x, shown, strict=True)))
    of = f", pre-training {row['pretraining']}" if row["pretraining"] else ""
    title = f"{capital(task_words(run, row['task']))}: {metric_words(row['metric'])}{of}"
    steps = [
        {"weights": r["weights"], "from": shown[s["from"]], "to": shown[s["to"]]}
        | {k: s[k] for k in ("effect", "lo", "hi")}
        for r in row["rows"]
        for s in r["steps"]
    ]
    chart: Markup = line_chart(lines, title, f"By {word}: {said}.", axes)
    return {"chart": chart, "title": title, "word": word, "steps": steps, "question": question_words(row)}


def _factorial(run: RunDir, row: dict[str, Any]) -> dict[str, Any]:
    first, second = row["factors"]
    columns = list(next(iter(row["cells"].values())))
    named = [effect | {"what": effect_words(row, effect)} for effect in row["effects"]]
    title = f"{capital(task_words(run, row['task']))}: {metric_words(row['metric'])}"
    return {"title": title, "factors": (first, second), "columns": columns, "cells": row["cells"], "effects": named}
