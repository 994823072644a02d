"""Gain against training length: what candidates scored on held-out images as their trainings went on."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from headstart.page.lines import Axes, Line, line_chart
from headstart.page.numbers import finite, fixed
from headstart.report.run_dir import RunDir
from headstart.report.words import capital, each_once, metric_words, task_words


def charts(run: RunDir) -> list[dict[str, Any]]:
    """For each metric that a task is ranked by a chart of the gain over the default, or over the first candidate, and
    why it has not converged, where it has not; of a single candidate its score."""
    return [made for row in run.metrics.get("convergence") or [] if (made := _chart(run, row))]


def _chart(run: RunDir, row: dict[str, Any]) -> dict[str, Any] | None:
    scores = {name: np.array(values, np.float64) for name, values in row["scores"].items()}
    scores = {name: values for name, values in scores.items() if np.isfinite(values).all()}
    if not scores:
        return None
    default = next((w["name"] for w in run.metrics.get("weights") or [] if w.get("default")), None)
    reference = default if default in scores else next(iter(scores))
    alone = len(scores) == 1
    updates = [row["updates"] * thirds / 3 for thirds in (1, 2, 3)]
    lines = []
    for name, values in scores.items():
        gains = 100 * (values if alone else values - scores[reference])
        thin = tuple([finite(v) for v in column] for column in gains.T) if gains.shape[1] > 1 else ()
        lines.append(Line(name, updates, [finite(v) for v in gains.mean(1)], run.series(name), thin=thin))
    what = "score" if alone else f"gain over {reference}"
    words = metric_words(row["metric"])
    said = "; ".join(f"{ln.label} {', '.join(fixed(v) for v in ln.y if v is not None)}" for ln in lines)
    axes = Axes("updates", f"{what}, points", x_ticks=[(u, f"{u:.0f}") for u in updates])
    title = f"{capital(task_words(run, row['task']))}: {words}"
    chart: Markup = line_chart(lines, title, f"On held-out images, {what} by updates: {said}.", axes)
    whys = each_once([*row["moving"].values(), *(why for _, _, why in row["unsettled"])])
    return {"chart": chart, "task": title, "whys": whys}
