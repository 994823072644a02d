"""Tasks whose transfers go on from where they ended, since a comparison of theirs has not converged.

All candidates of a task go on together, each for as many updates again: a comparison is of trainings of one length. How
often stands in the run's `extended.json`, so that the study stays what it is and a run that is stopped goes on.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path

from headstart.errors import StoreError
from headstart.stats.convergence import Convergence
from headstart.store.files import read_json, write_json

FILE = "extended.json"


def read_extended(out: Path) -> dict[str, int]:
    """Task -> how often it was extended. Raises StoreError where the file cannot be read."""
    path = out / FILE
    if not path.is_file():
        return {}
    there = read_json(path)
    if not isinstance(there, dict) or not all(isinstance(times, int) and times >= 0 for times in there.values()):
        raise StoreError(
            f"{path}: not how often tasks were extended. Delete it; trainings that were extended are kept."
        )
    return there


def extend(
    out: Path, convergence: Mapping[str, Mapping[str, Convergence]], aside: Container[str] = frozenset()
) -> list[str]:
    """Write down that the tasks that have not converged by some metric are extended once more; their names. aside:
    tasks of which a candidate was set aside since it has not."""
    moving = [
        task
        for task, by_metric in convergence.items()
        if task in aside or any(not_converged(of) for of in by_metric.values())
    ]
    times = read_extended(out)
    if moving:
        write_json(out / FILE, times | {task: times.get(task, 0) + 1 for task in moving})
    return moving


def not_converged(of: Convergence) -> bool:
    """Whether an arm is still moving, or a comparison has not settled."""
    return bool(of.moving or of.unsettled)
