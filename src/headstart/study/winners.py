"""The model that a finished study would have you use: of the best candidate of a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import StudyError, UsageError
from headstart.store.files import read_json


@dataclass(frozen=True)
class Winner:
    """A task model. seed, folds: it is one of those that were trained; the first of both."""

    task: str
    weights: str
    folder: Path
    seed: int
    folds: int

    def words(self) -> str:
        """Which one it is, such as "detect from boxes, seed 0: runs/x/store/transfer-..."."""
        fold = f", fold 1 of {self.folds}" if self.folds > 1 else ""
        return f"{self.task} from {self.weights}, seed {self.seed}{fold}: {self.folder}"


def winner(summary: dict[str, Any], task: str, run: Path) -> Winner | None:
    """The best candidate's model of a task, by its first ranking, in the store of `run`; None where none is trained."""
    first = next((r for r in summary["rankings"] if r["task"] == task), None)
    if first is None:
        return None
    of_task = [t for t in summary["trials"] if t["task"] == task and t["weights"] == first["best"]]
    trial = next((t for t in of_task if t["transfer_keys"]), None)
    if trial is None:
        return None
    keys = trial["transfer_keys"]
    return Winner(task, first["best"], run / "store" / keys[0], trial["seed"], len(keys))


def winning_model(run: Path, task: str | None = None) -> Winner | None:
    """The best model of a run; of `task`, where it trained several.

    None for a run that ranks nothing, such as one that only pre-trains. Raises UsageError that names the tasks where
    it has to be said which, and StudyError where the run has no results yet.
    """
    if not (run / "metrics.json").is_file():
        if not read_json(run / "study.json")["tasks"]:
            return None
        raise StudyError(f"{run}: a run without results yet. Finish it first: headstart run {run}")
    summary = read_json(run / "metrics.json")
    names = list(dict.fromkeys(ranking["task"] for ranking in summary["rankings"]))
    found = {name: best for name in names if (best := winner(summary, name, run))}
    if task is not None and task not in found:
        untrained = f" {task} trains none: it is read off frozen features." if task in names else ""
        raise UsageError(f"{run}: no model of a task {task!r}.{untrained} Models were trained for: {_listed(found)}.")
    if len(found) > 1 and task is None:
        raise UsageError(
            f"{run}: has models of {len(found)} tasks. Say which with --task: "
            + "; ".join(f"{name} (best: {best.weights})" for name, best in found.items())
        )
    return found[task] if task is not None else next(iter(found.values()), None)


def _listed(found: dict[str, Winner]) -> str:
    return ", ".join(found) or "none"
