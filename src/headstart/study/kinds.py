"""Whether a study's tasks fit the kinds of task there are (`headstart.tasks.table`), which its settings do not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headstart.config.study import Study
from headstart.errors import StudyError
from headstart.tasks.protocol import TrainedTask
from headstart.tasks.table import TASKS, nearest


def faults_of_kinds(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Faults of a study as its file has it, whatever else is wrong there: like pydantic's, with loc, msg and input."""
    tasks = values.get("tasks")
    entries = enumerate(tasks if isinstance(tasks, list | tuple) else ())
    return [
        {"type": "kind", "loc": ("tasks", k, *place), "msg": message, "input": value}
        for k, entry in entries
        if isinstance(entry, dict)
        for place, message, value in _faults(entry)
    ]


def _faults(entry: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    kind, recipe = entry.get("kind"), entry.get("recipe")
    if not isinstance(kind, str):
        return
    task = TASKS.get(kind)
    if entry.get("inference") is not None and task is not None and not getattr(task, "has_looks", False):
        said = " or ".join(name for name, other in TASKS.items() if getattr(other, "has_looks", False))
        yield ("inference",), f"a task of kind {kind!r} looks at its images once; `inference` is of {said}", None
    if task is None:
        yield ("kind",), f"there is no such task; {nearest(kind)}", kind
    elif entry.get("own_sizes") is not None:
        if kind != "detect":
            yield (
                ("own_sizes",),
                f"a task of kind {kind!r} has images of one size; those of `detect` may keep their own",
                None,
            )
    elif not isinstance(task, TrainedTask):
        if recipe is not None:
            yield ("recipe",), f"a task of kind {kind!r} takes no recipe: it trains no model", None
    elif recipe is None:
        yield (), f"a task of kind {kind!r} needs a recipe", None
    elif isinstance(recipe, dict) and (head := recipe.get("head")) in sorted(_heads() - {*task.heads}):
        said = f"recipe {recipe.get('name')!r}: head {head!r} cannot {kind}; use {' or '.join(task.heads)}"
        yield ("recipe", "head"), said, None


def _heads() -> set[str]:
    return {head for task in TASKS.values() for head in task.heads}


def require_kinds(study: Study) -> None:
    """Raises StudyError that names every task that fits no kind."""
    faults = faults_of_kinds(study.model_dump(mode="json"))
    if faults:
        lines = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults]
        raise StudyError(f"study {study.name}: " + "; ".join(lines))
