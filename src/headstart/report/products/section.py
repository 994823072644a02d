"""Which start, as a product: every candidate that detects, whatever its network, with what it costs."""

from __future__ import annotations

from statistics import median
from typing import Any

from headstart.models.whole.families import split_whole
from headstart.places.times import read_time
from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render
from headstart.report.words import metric_words, task_words
from headstart.study.planning.whole_candidates import PRODUCT


def section(run: RunDir) -> Section | None:
    """One table over all tasks of detection; None for studies without whole detectors."""
    first: dict[str, dict[str, Any]] = {}
    for ranking in run.metrics.get("rankings") or []:
        if ranking.get("kind") == "detect" and ranking.get("rows"):
            first.setdefault(ranking["task"], ranking)
    wholes = [task for task, ranking in first.items() if ranking.get("question") == PRODUCT]
    if not wholes:
        return None
    records = {record["dir"]: record for record in run.job_records()}
    rows = [
        _row(run, ranking, row, records) | {"whole": task in wholes}
        for task, ranking in first.items()
        for row in ranking["rows"]
    ]
    rows.sort(key=lambda row: -row["mean"])
    metric = first[wholes[0]]["metric"]
    others = [task_words(run, task) for task in first if task not in wholes]
    body = render("products/candidates", rows=rows, metric=metric_words(metric), others=others, unit="points")
    return Section("products", "Which start, as a product", body)


def _row(
    run: RunDir, ranking: dict[str, Any], row: dict[str, Any], records: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """What the table says of one candidate: its score, its network, and what its trainings took."""
    cost = row.get("cost") or {}
    trials = run.trials(ranking["task"], row["weights"])
    done = [records[key] for trial in trials for key in trial["transfer_keys"] if key in records]
    told = done[0]["settings"] if done else {}
    recipe = told.get("recipe") or {}
    job = cost.get("time")
    timed = read_time(path) if job and (path := run.file(job, "time.json")) else None
    return {
        "weights": row["weights"],
        "mean": row["mean"],
        "lo": row["lo"],
        "hi": row["hi"],
        "network": _network(told, recipe),
        "input": _input(run, ranking["task"], told),
        "images": recipe["updates"] * recipe["batch_size"] if recipe else None,
        "seconds": median(record["seconds"] for record in done) if done else None,
        "rates": _rates(run, ranking["task"]),
        "parameters": cost.get("parameters"),
        "gflops": cost.get("gflops"),
        "ms": timed.ms_per_image if timed else None,
        "licence": cost.get("licence"),
    }


def _backbone(told: dict[str, Any]) -> str:
    return str(((told.get("weights") or {}).get("identity") or {}).get("backbone") or "")


def _network(told: dict[str, Any], recipe: dict[str, Any]) -> str:
    """A family of whole detectors, or a head on a backbone."""
    whole = split_whole(f"config.json:{_backbone(told)}")
    if whole:
        return whole.family.words
    return f"{recipe.get('head', '')} on {_backbone(told) or 'a backbone of this study'}" if recipe else ""


def _input(run: RunDir, task: str, told: dict[str, Any]) -> str:
    whole = split_whole(f"config.json:{_backbone(told)}")
    if whole:
        size = whole.input
        return f"{size.shortest} × {size.shortest}" if not size.longest else f"{size.shortest} to {size.longest}"
    tested = next((t["test"][0] for t in run.study.get("tasks") or [] if t["name"] == task), "")
    images = (run.study.get("sets") or {}).get(tested) or {}
    height, width = images.get("size_hw") or (images.get("size"), images.get("size"))
    return f"{width} × {height}" if width else ""


def _rates(run: RunDir, task: str) -> int | None:
    """How many are tried at least: one more where the best is at an edge, for every candidate alike."""
    recipe = next((t.get("recipe") or {} for t in run.study.get("tasks") or [] if t["name"] == task), {})
    return len(recipe.get("rates") or ()) or (1 if recipe else None)
