"""What is right by count and area: smooth curves with bands, and both at once in tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from headstart.page.lines import Axes, Line, line_chart
from headstart.page.numbers import NO_VALUE, count, fixed
from headstart.report.arms import arm, arm_words
from headstart.report.run_dir import RunDir

ARMS = ("boxes", "labels")
Arrays = Mapping[str, np.ndarray]
CURVES = (
    ("count", "Number of instances, their total area the same", "instances of the class"),
    ("count_free", "Number of instances, each of the same area", "instances of the class"),
    ("area", "Area of an instance, their number the same", "area of an instance, share of the image"),
)
TABLES = (("mean", "mean area"), ("total", "total area"))
DRAWN = 3
"""Of so many places on a curve one is drawn: dots and dashes tell arms apart without color."""
FEW = 5
"""Images below which a cell of a table says no more than its number."""


def smooth_charts(run: RunDir, seeds: Sequence[Arrays]) -> list[Markup]:
    """Of each curve both arms, and their difference with its band, means over seeds; none for runs of before."""
    charts = []
    for curve, title, label in CURVES:
        own = [arrays for arrays in seeds if f"smooth/{curve}/x" in arrays]
        own = [arrays for arrays in own if np.array_equal(arrays[f"smooth/{curve}/x"], own[0][f"smooth/{curve}/x"])]
        if not own:
            continue
        x = np.log2(own[0][f"smooth/{curve}/x"])[::DRAWN].tolist()
        mean = {
            whose: np.mean([arrays[f"smooth/{curve}/{whose}"] for arrays in own], axis=0)[:, ::DRAWN].tolist()
            for whose in (*ARMS, "difference")
        }
        lines = [Line(arm_words(run, role), x, mean[role][0], arm(run, role)[1]) for role in ARMS]
        axes = Axes(label, "log-odds", _ticks(x[0], x[-1], curve == "area"))
        charts.append(line_chart(lines, title, _said(lines), axes))
        words = " less ".join(arm_words(run, role) for role in ARMS)
        middle, lo, hi = mean["difference"]
        apart = Line(words, x, middle, arm(run, "boxes")[1], lo, hi)
        axes = Axes(label, "", axes.x_ticks, y_zero=True)
        charts.append(line_chart([apart], f"The same, {words}", _said([apart]), axes))
    return charts


def two_way(seeds: Sequence[Arrays], names: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """A table for each kind of area: `words`, `columns`, `rows` (count, cells (of boxes, of labels, number)), points,
    means over seeds, without empty rows and columns. names: of the bins of `count` and `area`."""
    tables = []
    for key, words in TABLES:
        own = [arrays for arrays in seeds if f"table/{key}/n" in arrays]
        if not own:
            continue
        n = np.mean([arrays[f"table/{key}/n"] for arrays in own], axis=0)
        right = [np.mean([arrays[f"table/{key}/{role}"] for arrays in own], axis=0) for role in ARMS]
        columns, rows = np.flatnonzero(n.sum(0)).tolist(), np.flatnonzero(n.sum(1)).tolist()
        cells = [(names["count"][i], [_cell(n[i, j], *(of[i, j] for of in right)) for j in columns]) for i in rows]
        tables.append({"words": words, "columns": [names["area"][j] for j in columns], "rows": cells})
    return tables


def _cell(n: float, of_boxes: float, of_labels: float) -> tuple[str, str, str]:
    if not n:
        return "", "", ""
    if n < FEW or not math.isfinite(of_boxes + of_labels):
        return NO_VALUE, "", f"n {count(round(n))}"
    return fixed(100 * of_boxes), fixed(100 * of_labels), f"n {count(round(n))}"


def _ticks(lo: float, hi: float, shares: bool) -> list[tuple[float, str]]:
    """At powers of two."""
    first, last = math.ceil(lo - 1e-9), math.floor(hi + 1e-9)
    step = max(1, math.ceil((last - first) / 5))
    return [(float(k), f"1/{2**-k}" if shares and k < 0 else f"{2**k}") for k in range(first, last + 1, step)]


def _said(lines: Sequence[Line]) -> str:
    return "; ".join(f"{line.label}: from {fixed(line.y[0], 2)} to {fixed(line.y[-1], 2)}" for line in lines)
