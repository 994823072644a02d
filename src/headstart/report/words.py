"""Names of metrics, tasks and data as a reader says them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from headstart.names import parse
from headstart.page.numbers import count
from headstart.report.run_dir import RunDir
from headstart.tasks.protocol import Task
from headstart.tasks.table import TASKS


def metric_words(name: str, protocol: bool = True) -> str:
    """A metric's name in words: "mAP at IoU 0.7 (voc-area)", "mean IoU", "logistic probe, top-1 accuracy"."""
    parts = parse(name)
    task = next((task for task in TASKS.values() if parts and task.family == parts.family), None)
    return name if task is None or parts is None else task.metric_words(parts, protocol)


def metric_unit(name: str) -> str:
    """The unit of a metric: points for fractions, nats for log-losses."""
    parts = parse(name)
    return parts.unit if parts else "points"


def each_once(reasons: Iterable[str]) -> list[str]:
    """Of lines of reasons, each joined by "; ", every reason once: what holds of one arm is told of all its pairs."""
    return list(dict.fromkeys(reason for line in reasons for reason in line.split("; ")))


def capital(text: str) -> str:
    """First letter in upper case, the rest untouched; mAP keeps its own."""
    return text if text.startswith("mAP") else text[:1].upper() + text[1:]


def plural(number: int, word: str, words: str = "") -> str:
    """A number with its noun: "1 seed", "3 seeds"; `words` where an s is not enough."""
    return f"{number:,} {word if number == 1 else words or word + 's'}"


def task_settings(run: RunDir, task: str) -> dict[str, Any]:
    """Settings of a task from study.json; empty where they are not there."""
    return next((t for t in run.study.get("tasks") or [] if t.get("name") == task), {})


def task_kind(run: RunDir, task: str) -> str:
    """Kind of a task: from its ranking, else from study.json, else from its metrics."""
    ranked = next((r["kind"] for r in run.metrics.get("rankings") or [] if r["task"] == task), None)
    kind = ranked or task_settings(run, task).get("kind")
    if kind:
        return str(kind)
    families = {parts.family for t in run.trials(task) for name in t["metrics"] if (parts := parse(name))}
    return next((kind for kind, known in TASKS.items() if known.family in families), "")


def known_task(run: RunDir, task: str) -> Task | None:
    """What is known of a task's kind; None for a kind of another version of the package."""
    return TASKS.get(task_kind(run, task))


def set_words(settings: dict[str, Any]) -> str:
    """A set of images in words: "the drawn world (novel classes)", or the name of its folder."""
    if "world" in settings:
        return f"the drawn world ({settings['world']} classes)"
    return PurePath(str(settings.get("path", "")).replace("\\", "/")).name


def data_words(run: RunDir, task: str) -> str:
    """The data of a task in words; empty where study.json does not say."""
    names = task_settings(run, task).get("test") or []
    sets = [(run.study.get("sets") or {}).get(name) for name in names]
    return next((words for settings in sets if settings and (words := set_words(settings))), "")


def task_words(run: RunDir, task: str) -> str:
    """A task in words: "detection on voc_raccoon"; where two would read the same, with the number of images trained
    on if that tells them apart, else with the task's own name."""
    words = _kind_on_data(run, task)
    same = [other for other in run.tasks if other != task and _kind_on_data(run, other) == words]
    if not same:
        return words
    sizes = [{t.get("train_images") for t in run.trials(name)} for name in (task, *same)]
    if all(len(size) == 1 for size in sizes) and sizes[0] not in sizes[1:] and None not in sizes[0]:
        return f"{words}, trained on {count(next(iter(sizes[0])))} images"
    return f"{words}, task {task}"


def _kind_on_data(run: RunDir, task: str) -> str:
    known = known_task(run, task)
    kind = known.words if known else task_kind(run, task) or "task"
    data = data_words(run, task)
    return f"{kind} on {data}" if data else f"{kind} (task {task})"


def primary_metric(run: RunDir, task: str) -> str | None:
    """The metric that a task is ranked by; else the first headline metric that its trials have."""
    for ranking in run.metrics.get("rankings") or []:
        if ranking["task"] == task:
            return str(ranking["metric"])
    names = headline_metrics(run, task)
    return names[0] if names else None


def headline_metrics(run: RunDir, task: str) -> list[str]:
    """Metrics of a task worth a column, in the order of their names."""
    known = known_task(run, task)
    if known is None:
        return []
    every = {str(parts): parts for t in run.trials(task) for name in t["metrics"] if (parts := parse(name))}
    shown = {name: parts for name, parts in every.items() if parts.family == known.family and known.is_headline(parts)}
    return sorted(shown, key=lambda name: (not shown[name].higher_is_better, ":" in shown[name].iou, name))
