"""Finished jobs of one run, each read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from headstart.store.arrays import load_arrays
from headstart.store.files import read_json
from headstart.store.store import Store
from headstart.study.jobs import Job, Trial


@dataclass(frozen=True)
class Finished:
    """Metrics and replicates of one finished job."""

    metrics: dict[str, float | None]
    replicates: dict[str, np.ndarray]


@dataclass(frozen=True)
class FinishedJobs:
    """What the jobs of a store found."""

    store: Store
    _read: dict[str, Finished | None] = field(default_factory=dict, repr=False)

    def of(self, job: Job) -> Finished | None:
        """What a job found; None when it failed or has not run."""
        if job.key not in self._read:
            folder = self.store.find(job.name, job.key)
            self._read[job.key] = None if folder is None else _finished(folder)
        return self._read[job.key]

    def metrics(self, job: Job) -> dict[str, float | None] | None:
        """The same, of metrics alone."""
        found = self.of(job)
        return found.metrics if found else None

    def images(self, trial: Trial) -> tuple[float | None, float | None]:
        """So many a finished trial was trained on and tested on; None where its jobs do not say it."""
        tested = self.metrics(trial.evaluate) or {}
        trained = next((found for job in trial.transfers if (found := self.metrics(job)) is not None), tested)
        return trained.get("train/images"), tested.get("test/images")


def _finished(folder: Path) -> Finished:
    metrics, path = read_json(folder / "metrics.json"), folder / "replicates.npz"
    return Finished(metrics, load_arrays(path) if path.is_file() else {})
