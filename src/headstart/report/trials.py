"""Results of every trial, and how the losses fell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from headstart.page.lines import Axes, Line, legend, line_chart
from headstart.page.numbers import finite, mean, significant
from headstart.report import lengths
from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render
from headstart.report.words import capital, headline_metrics, metric_unit, metric_words, primary_metric, task_words

POINTS = 80
"""Points of a learning curve: the mean loss of each stretch of updates."""


def section(run: RunDir) -> Section | None:
    """None where there is no trial."""
    if not run.metrics["trials"]:
        return None
    tasks = [_task(run, task) for task in run.tasks]
    charts = [chart for chart in (_learning(run, task) for task in run.tasks) if chart]
    names = [(name, run.series(name)) for name in run.weights]
    body = render(
        "trials",
        tasks=tasks,
        seeds=run.seeds,
        charts=charts,
        lengths=lengths.charts(run),
        dotted=legend(names),
        legend=legend(names, markers=False),
        several=len(run.seeds) > 1,
    )
    return Section("results", "Results of every trial", body)


def _task(run: RunDir, task: str) -> dict[str, Any]:
    main = primary_metric(run, task)
    others = [name for name in headline_metrics(run, task) if name != main]
    ranked = {
        row["weights"]: row
        for ranking in run.metrics.get("rankings") or []
        if ranking["task"] == task and ranking["metric"] == main
        for row in ranking["rows"]
    }
    names = [name for name in run.weights if run.trials(task, name)]
    names.sort(key=lambda name: list(ranked).index(name) if name in ranked else len(ranked))
    first = run.trials(task)[0]
    rows = [_row(run, task, name, main, others=others, ranked=ranked.get(name)) for name in names]
    return {
        "heading": capital(task_words(run, task)),
        "metric": capital(metric_words(main)) if main else "",
        "unit": metric_unit(main) if main else "points",
        "others": [(metric_words(name, protocol=False), metric_unit(name)) for name in others],
        "rows": rows,
        "train_images": first.get("train_images"),
        "test_images": first.get("test_images"),
        "rates": any(row["rates"] for row in rows),
        "remarks": any(row["not_converged"] or row["edge"] for row in rows),
    }


def _row(
    run: RunDir, task: str, weights: str, main: str | None, *, others: Sequence[str], ranked: dict[str, Any] | None
) -> dict[str, Any]:
    trials = {t["seed"]: t for t in run.trials(task, weights)}
    seeds = run.seeds or sorted(trials)
    values = [trials[s]["metrics"].get(main) if s in trials else None for s in seeds]
    rates = list(dict.fromkeys(_rate(trials[s].get("lr")) for s in seeds if s in trials))
    return {
        "weights": weights,
        "mean": ranked["mean"] if ranked else mean(values),
        "lo": ranked["lo"] if ranked else None,
        "hi": ranked["hi"] if ranked else None,
        "values": values,
        "same": bool(ranked and ranked.get("same_for_all_seeds")),
        "others": [mean([t["metrics"].get(name) for t in trials.values()]) for name in others],
        "rates": [rate for rate in rates if rate],
        "not_converged": [s for s, t in trials.items() if t.get("not_converged")],
        "edge": any(t.get("edge") for t in trials.values()),
    }


def _rate(value: object) -> str:
    """A learning rate, or those of several folds; empty for probes."""
    values = value if isinstance(value, list) else [value]
    return " / ".join(significant(v) for v in values if finite(v) is not None)


def _learning(run: RunDir, task: str) -> Markup | None:
    """Losses of the chosen transfers: thin lines for seeds, a thick one for their mean."""
    lines = []
    for name in run.weights:
        curves = [curve for t in run.trials(task, name) if (curve := _curve(run, t)) is not None]
        if not curves:
            continue
        length = min(len(losses) for _, losses in curves)
        columns = np.stack([losses[:length] for _, losses in curves])
        there = np.isfinite(columns).all(axis=0)
        middle = [float(v) if ok else None for v, ok in zip(columns.mean(axis=0), there, strict=True)]
        thin = tuple(_gaps(losses[:length]) for _, losses in curves) if len(curves) > 1 else ()
        lines.append(Line(name, [float(s) for s in curves[0][0][:length]], middle, run.series(name), thin=thin))
    if not lines:
        return None
    values = [v for line in lines for v in line.y if v is not None and v > 0]
    log = bool(values) and max(values) > 8 * min(values)
    title = capital(task_words(run, task))
    said = "; ".join(f"{ln.label} from {significant(ln.y[0])} to {significant(ln.y[-1])}" for ln in lines)
    axes = Axes("update", "loss (log)" if log else "loss", log_y=log, markers=False, y_zero=not log)
    return line_chart(lines, title, f"Training loss by update: {said}.", axes)


def _curve(run: RunDir, trial: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """(steps, losses) of a trial in at most `POINTS` stretches, the mean of its folds."""
    curves = []
    for key in trial.get("transfer_keys") or []:
        arrays = run.arrays(key, "curve.npz", ("step", "loss"))
        if arrays is not None and len(arrays["loss"]):
            parts = min(POINTS, len(arrays["loss"]))
            columns = [np.array_split(arrays[name].astype(float), parts) for name in ("step", "loss")]
            curves.append([np.array([part.mean() for part in column]) for column in columns])
    if not curves:
        return None
    length = min(len(losses) for _, losses in curves)
    return curves[0][0][:length], np.mean([losses[:length] for _, losses in curves], axis=0)


def _gaps(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]
