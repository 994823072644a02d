"""How both probes fare by the number of instances and by their area."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup

from headstart.explain.composition import AREA_EDGES, COUNT_EDGES
from headstart.page.lines import Axes, Line, legend, line_chart
from headstart.page.numbers import count, finite, mean, measured
from headstart.report.arms import arm, arm_words, numbers_of
from headstart.report.curves.composed import smooth_charts, two_way
from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render

BINNINGS = (("count", "instances of the class"), ("area", "mean area of an instance, share of the image"))
EDGES = {"count": COUNT_EDGES, "area": AREA_EDGES}
MEASURES = (("top1", "Top-1 accuracy", "points"), ("log_loss", "Log-loss", "nats"))


def section(run: RunDir) -> Section | None:
    """The mean over seeds with the range of seeds; None without curves."""
    seeds = [run.arrays(job, "examples.npz", ()) or {} for _, job in run.explained("composition")]
    curves = [of_seed for arrays in seeds if (of_seed := _curves(arrays))]
    charts = [
        chart
        for binning, x_label in BINNINGS
        for measure in MEASURES
        if (chart := _chart(run, [c[binning] for c in curves if c.get(binning)], x_label, measure))
    ]
    if not charts:
        return None
    items = [(arm_words(run, role), arm(run, role)[1]) for role in ("boxes", "labels")]
    body = render(
        "composition",
        charts=charts,
        smooth=smooth_charts(run, seeds),
        tables=two_way(seeds, {key: bin_names(edges, key) for key, edges in EDGES.items()}),
        arms=[words for words, _ in items],
        legend=legend(items),
        several=len(curves) > 1,
        numbers=numbers_of(run, "composition"),
    )
    return Section("composition", "How many, and how large", body)


def _curves(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Curves of one seed: {binning: {"names", "n", "boxes": {measure: [..]}, "labels": ..}}, None in empty bins."""
    curves: dict[str, Any] = {}
    for binning, _ in BINNINGS:
        columns = {k.split("/")[2]: v for k, v in arrays.items() if k.startswith(f"curve/{binning}/")}
        if "edges" not in columns or "n" not in columns:
            continue
        filled = np.flatnonzero(columns["n"])
        shown = slice(int(filled[0]), int(filled[-1]) + 1) if len(filled) else slice(0)  # no empty bins at the ends
        names = bin_names(columns["edges"].tolist(), binning)[shown]
        curves[binning] = {"names": names, "n": columns["n"][shown].tolist()} | {
            role: {key: columns[f"{key}_{role}"][shown].tolist() for key, *_ in MEASURES if f"{key}_{role}" in columns}
            for role in ("boxes", "labels")
        }
    return curves


def bin_names(edges: Sequence[float], binning: str) -> list[str]:
    """Names of bins from their edges (bins + 1; a bin owns its lower edge): "1", "5+"; "<1/128", "≥1/128"."""
    names = []
    for lo, hi in pairwise(float(e) for e in edges):
        if binning == "count":
            names.append(f"{lo:g}+" if math.isinf(hi) else f"{lo:g}" if hi - lo <= 1 else f"{lo:g}–{hi - 1:g}")
        elif lo <= 0:
            names.append(f"<{_share(hi)}")
        else:
            names.append(f"≥{_share(lo)}")
    return names


def _share(value: float) -> str:
    """1/8 for 0.125; three digits for what is no such fraction."""
    inverse = 1 / value if value else math.inf
    return f"1/{inverse:.0f}" if inverse > 1 and abs(inverse - round(inverse)) < 1e-6 else f"{value:.3g}"


def _chart(run: RunDir, curves: Sequence[dict[str, Any]], x_label: str, measure: tuple[str, str, str]) -> Markup | None:
    key, title, unit = measure
    if not curves:
        return None
    names = [str(name) for name in curves[0]["names"]]
    curves = [c for c in curves if [str(n) for n in c["names"]] == names]
    lines = [
        line for role in ("boxes", "labels") if (line := _line(run, curves, role, key, bins=len(names), unit=unit))
    ]
    if not lines:
        return None
    numbers = [round(n) if (n := mean([c["n"][i] for c in curves])) else 0 for i in range(len(names))]
    said = "; ".join(_said(line, names, unit) for line in lines)
    axes = Axes(
        x_label,
        unit,
        [(float(i), name) for i, name in enumerate(names)],
        [f"{'n ' if i == 0 else ''}{count(n)}" for i, n in enumerate(numbers)],
        y_zero=unit != "points",
    )
    what = "instances" if x_label.startswith("instances") else "area"
    return line_chart(lines, f"{title} by {what}", f"{title} by {x_label}. {said}.", axes)


def _line(run: RunDir, curves: Sequence[dict[str, Any]], role: str, key: str, *, bins: int, unit: str) -> Line | None:
    columns = [[_drawn(c[role][key][i], unit) for c in curves if key in c.get(role, {})] for i in range(bins)]
    middle = [mean(column) for column in columns]
    if all(v is None for v in middle):
        return None
    present = [[v for v in column if v is not None] for column in columns]
    band = len(curves) > 1
    lo = [min(c) if c else None for c in present] if band else ()
    hi = [max(c) if c else None for c in present] if band else ()
    return Line(arm_words(run, role), [float(i) for i in range(bins)], middle, arm(run, role)[1], lo, hi)


def _said(line: Line, names: Sequence[str], unit: str) -> str:
    values = [measured(_stored(v, unit), unit) for v in line.y]
    return f"{line.label}: " + ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def _drawn(value: object, unit: str) -> float | None:
    number = finite(value)
    return None if number is None else number * (100 if unit == "points" else 1)


def _stored(value: float | None, unit: str) -> float | None:
    return None if value is None else value / (100 if unit == "points" else 1)
