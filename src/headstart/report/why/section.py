"""Why one candidate is ahead of another: sentences, numbers, curves, and the explorer of the images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from markupsafe import Markup

from headstart.page.embedded import data_block
from headstart.page.lines import Axes, Line, legend, line_chart
from headstart.page.numbers import count, finite, fixed, significant
from headstart.report.composition import bin_names
from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render
from headstart.report.why.alike import stages_alike
from headstart.report.why.choices import choices
from headstart.report.why.images import PICTURES, image_data, open_images
from headstart.report.why.pair import pair_data
from headstart.report.why.words import numbers, sentences
from headstart.report.why.wrong import errors
from headstart.report.words import capital, metric_words, primary_metric, task_words

BINNINGS = (("count", "objects in the image"), ("area", "mean share of the image that an object covers"))


def section(run: RunDir) -> Section | None:
    """All explained pairs, each with the images that it was explained on; None without any."""
    explained = run.metrics.get("pairs") or []
    if not explained:
        return None
    of_sets = {facts["images_dir"]: None for facts in explained}
    opened = {job: open_images(run, job) for job in of_sets}
    there = [job for job, images in opened.items() if images is not None]
    counts = {job: max(_explained(f) for f in explained if f["images_dir"] == job) for job in of_sets}
    blocks = {
        job: image_data(images, min(len(images), counts[job]), PICTURES / max(len(there), 1))
        for job, images in opened.items()
        if images is not None
    }
    pairs = [_pair(run, facts, blocks, there) for facts in explained]
    body = render("why/pairs", pairs=pairs, images=[data_block("image-data", block) for block in blocks.values()])
    return Section("why", "Why", body, scripted=bool(blocks))


def _explained(facts: dict[str, Any]) -> int:
    """Number of images that a pair was explained on."""
    effects = facts.get("effects") or {}
    return int((effects.get("look/images/a") or effects.get("imbalance/n_images") or [0])[0])


def _pair(run: RunDir, facts: dict[str, Any], blocks: dict[str, Any], there: list[str]) -> dict[str, Any]:
    block = blocks.get(facts["images_dir"])
    names = [facts["a"], facts["b"]]
    task = facts["why"] if facts["why"] in run.tasks else ""
    metric = primary_metric(run, task) if task else None
    return {
        "a": facts["a"],
        "b": facts["b"],
        "heading": capital(task_words(run, task)) if task else "",
        "images": _explained(facts),
        "metric": metric_words(metric) if metric else "",
        "sentences": sentences(facts),
        "said": facts.get("said") or [],
        "numbers": numbers(facts),
        "wrong": errors(facts),
        "choices": choices(facts),
        "alike": stages_alike(run, facts),
        "binned": by_content(run, facts),
        "ranked": ranks(run, facts),
        "legend": legend([(name, run.series(name)) for name in names]),
        "set": there.index(facts["images_dir"]) if block else None,
        "data": data_block("pair-data", pair_data(run, facts, block["ids"])) if block else "",
    }


def by_content(run: RunDir, facts: dict[str, Any]) -> list[Markup]:
    """Scores by number and by size of objects, the difference of both with its interval."""
    job = facts.get("contents_dir")
    arrays = run.arrays(job, "contents.npz", ()) if job else None
    if not arrays or "curve/count/edges" not in arrays:
        return []
    arms = [(facts[role], run.series(facts[role])) for role in "ab"]
    return [chart for binning, words in BINNINGS for chart in _by_content(arrays, binning, words, arms=arms)]


def ranks(run: RunDir, facts: dict[str, Any]) -> list[Markup]:
    """The curve of ranks."""
    near = run.arrays(facts["pair_dir"], "neighbors.npz", ())
    if not near or "curve/rank" not in near:
        return []
    return [_ranks(near, [(facts[role], run.series(facts[role])) for role in "ab"])]


def _ranks(near: dict[str, np.ndarray], arms: list[tuple[str, int]]) -> Markup:
    ranks = near["curve/rank"].astype(float)
    x = [math.log10(rank) for rank in ranks]
    last = float(ranks[-1])
    marks = (1, 10, 100, 1000) if last >= 50 else (1, 2, 5, 10, 20)
    ticks = [(math.log10(v), count(v)) for v in marks if v <= last]
    (a, of_a), (b, of_b) = arms
    lines = [
        Line(f"nearest for {a}", x, [100 * float(v) for v in near["curve/a_to_b"]], of_a),
        Line(f"nearest for {b}", x, [100 * float(v) for v in near["curve/b_to_a"]], of_b),
        Line("chance", x, [100 * float(r) / last for r in ranks], 2),
    ]
    axes = Axes(
        "rank for the other network, at most", "images, %", ticks, y_limits=(0.0, 100.0), y_zero=True, markers=False
    )
    said = "; ".join(f"{line.label}: {fixed(line.y[0])} % at rank 1" for line in lines)
    return line_chart(
        lines, "Where an image’s nearest neighbor stands for the other", f"Curves of ranks. {said}.", axes
    )


def _by_content(
    arrays: dict[str, np.ndarray], binning: str, words: str, *, arms: list[tuple[str, int]]
) -> list[Markup]:
    """Scores of both, and their difference."""
    column = {key: arrays[f"curve/{binning}/{key}"] for key in ("n", "a", "b", "lo", "hi")}
    edges = arrays[f"curve/{binning}/edges"].tolist()
    names = bin_names(edges, binning) if binning == "count" else [f"≥{significant(100 * e, 2)} %" for e in edges[:-1]]
    x = [float(k) for k in range(len(names))]
    points = {key: [_points(v) for v in column[key]] for key in ("a", "b", "lo", "hi")}
    notes = [f"{'n ' if k == 0 else ''}{count(n)}" for k, n in enumerate(column["n"])]
    ticks = list(zip(x, names, strict=True))
    what = "number" if binning == "count" else "size"
    lines = [Line(name, x, points[role], series) for role, (name, series) in zip("ab", arms, strict=True)]
    said = "; ".join(f"{line.label} {', '.join(fixed(v) for v in line.y)}" for line in lines)
    scores = line_chart(lines, f"Scores by {what} of objects", said, Axes(words, "points", ticks, notes, y_zero=True))
    apart = [None if p is None or q is None else p - q for p, q in zip(points["a"], points["b"], strict=True)]
    line = Line(f"{arms[0][0]} less {arms[1][0]}", x, apart, arms[0][1], points["lo"], points["hi"])
    title = f"{arms[0][0]} less {arms[1][0]}, by {what}"
    said = ", ".join(f"{name}: {fixed(v)}" for name, v in zip(names, apart, strict=True))
    return [scores, line_chart([line], title, said, Axes(words, "points", ticks, notes, y_zero=True))]


def _points(value: float) -> float | None:
    number = finite(value)
    return None if number is None else 100 * number
