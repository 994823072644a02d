"""What a report is made from: one run directory, read without trusting that everything is there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import StoreError, StudyError
from headstart.store.arrays import load_arrays
from headstart.store.files import read_json

JOB_NAME = re.compile(r"[A-Za-z0-9_]+-[0-9a-f]{6,64}")


@dataclass(frozen=True)
class RunDir:
    """A run directory. `notes` collects what was looked for and not found; the report says it."""

    path: Path
    metrics: dict[str, Any]
    study: dict[str, Any]
    env: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """Read metrics.json (needed), study.json and env.json (not needed).

        Raises StudyError where there are no results to report, StoreError where metrics.json is damaged.
        """
        if not (path / "metrics.json").is_file():
            raise StudyError(
                f"{path}: no metrics.json, so there are no results to report. "
                "Give the directory of a finished run, or finish this one with `headstart run`."
            )
        metrics = read_json(path / "metrics.json")
        if not isinstance(metrics, dict) or not isinstance(metrics.get("trials"), list):
            raise StoreError(
                f"{path / 'metrics.json'}: not the results of a study (no list `trials`). "
                "Delete the file and run the study again; finished jobs are kept."
            )
        run = cls(path, metrics, {}, {})
        return cls(path, metrics, run._optional("study.json"), run._optional("env.json"), notes=run.notes)

    def _optional(self, name: str) -> dict[str, Any]:
        try:
            value = read_json(self.path / name)
        except StoreError:
            self.notes.append(f"{name} is missing or unreadable.")
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def seeds(self) -> list[int]:
        """Seeds of the study."""
        return list(self.metrics.get("seeds") or [])

    @property
    def weights(self) -> list[str]:
        """Names of all weights, in the order of the study."""
        named = [w["name"] for w in self.metrics.get("weights") or []]
        return list(dict.fromkeys(named + [t["weights"] for t in self.metrics["trials"]]))

    def series(self, weights: str) -> int:
        """Index of the color and dash of some weights, the same in every chart."""
        names = self.weights
        return names.index(weights) if weights in names else len(names)

    def trials(self, task: str, weights: str | None = None) -> list[dict[str, Any]]:
        """Trials of one task, of one candidate where named."""
        return [t for t in self.metrics["trials"] if t["task"] == task and weights in (None, t["weights"])]

    @property
    def tasks(self) -> list[str]:
        """Names of all tasks with trials, in the order of the study."""
        planned = [t["name"] for t in self.study.get("tasks") or []]
        present = list(dict.fromkeys(t["task"] for t in self.metrics["trials"]))
        return sorted(present, key=lambda n: planned.index(n) if n in planned else len(planned))

    def explained(self, kind: str) -> list[tuple[int, str]]:
        """(seed, directory name) of the explanations of one kind."""
        return [(e["seed"], e["dir"]) for e in self.metrics.get("explain") or [] if e.get("kind") == kind]

    def file(self, job: str, name: str) -> Path | None:
        """A file of a stored job; None, and a note, where it is not there."""
        path = self.path / "store" / job / name
        if not JOB_NAME.fullmatch(job) or not path.is_file():
            self.notes.append(f"{job}/{name} is not in the store; what it shows was left out.")
            return None
        return path

    def arrays(self, job: str, name: str, needed: Sequence[str]) -> dict[str, np.ndarray] | None:
        """Arrays of an .npz file of a stored job; None, and a note, where one of `needed` cannot be read."""
        path = self.file(job, name)
        if path is None:
            return None
        try:
            arrays = load_arrays(path)
        except StoreError as error:
            self.notes.append(f"{job}/{name} cannot be read ({error}); what it shows was left out.")
            return None
        absent = [key for key in needed if key not in arrays]
        if absent:
            self.notes.append(f"{job}/{name} holds no {', '.join(absent)}; what it shows was left out.")
            return None
        return arrays

    def json(self, job: str, name: str) -> dict[str, Any] | None:
        """A JSON object of a stored job; None, and a note, where it cannot be read."""
        path = self.file(job, name)
        if path is None:
            return None
        try:
            value = read_json(path)
        except StoreError:
            value = None
        if not isinstance(value, dict):
            self.notes.append(f"{job}/{name} cannot be read; what it shows was left out.")
            return None
        return value

    def job_records(self) -> list[dict[str, Any]]:
        """`job.json` of every job in the store, in the order of their names; unreadable ones are left out."""
        records = []
        for path in sorted((self.path / "store").glob("*/job.json")):
            try:
                record = read_json(path)
            except StoreError:
                continue
            if isinstance(record, dict):
                records.append(record | {"dir": path.parent.name})
        return records
