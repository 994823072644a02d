"""The tasks there are. A new one is a file of this folder with a `TASK`, and its name here."""

from __future__ import annotations

import difflib
from importlib import import_module

from headstart.errors import UsageError
from headstart.tasks.protocol import Task, TrainedTask

FILES = (
    "detect",
    "segment",
    "classify",
    "probe",
)
"""In the order in which they are offered."""

TASKS: dict[str, Task] = {name: import_module(f"headstart.tasks.{name}").TASK for name in FILES}
"""By kind."""


def task_of(kind: str) -> Task:
    """The task of a kind. Raises UsageError that names the nearest."""
    if kind not in TASKS:
        raise UsageError(f"no task of kind {kind!r}; {nearest(kind)}.")
    return TASKS[kind]


def nearest(kind: str) -> str:
    """What to write instead of a kind that there is not."""
    near = difflib.get_close_matches(kind, TASKS, 1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"There are {', '.join(TASKS)}"


def trained_tasks() -> dict[str, TrainedTask]:
    """Those whose models are trained, by kind."""
    return {kind: task for kind, task in TASKS.items() if isinstance(task, TrainedTask)}


def trained_task(kind: str) -> TrainedTask:
    """The task of a kind that is trained. Raises UsageError where it is not."""
    task = task_of(kind)
    if not isinstance(task, TrainedTask):
        raise UsageError(f"a task of kind {kind!r} trains no model; {', '.join(trained_tasks())} do.")
    return task
