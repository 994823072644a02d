"""What of a study's jobs stays once its results are complete, and which are made again since it does not.

Weights and the states that `--extend` goes on from are most of what a study takes, and nearly all of it is of models
that nobody uses. By default stay the weights of the best model of each task (`headstart predict RUN`), and all of tasks
that have not converged. Everything else of a trial is small, or is made so: predictions and features stay where their
trial takes 1 MB at most with them, or where an explanation reads them. Pre-trainings, images and explanations stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, get_args

from headstart.errors import StoreError, UsageError
from headstart.store.dropping import drop
from headstart.store.files import append_line, read_json, write_json
from headstart.store.sealing import recorded
from headstart.store.shared import close_store, needed_by_others
from headstart.store.store import Store
from headstart.study.executors.options import Keep
from headstart.study.extending import not_converged
from headstart.study.jobs import Job, Trial
from headstart.study.results import Results
from headstart.study.winners import winner

FILE = "keep.json"
"""In the run directory, where something else than the default was asked for."""

LARGE = {
    "transfer": "*.safetensors",
    "finetune": "*.safetensors",
    "evaluate": "predictions*.npz",
    "test_whole": "predictions*.npz",
    "features": "pooled.npz",
}
"""Kinds of jobs of a trial, and which of their files may be dropped."""
MOST = 1_000_000
"""Bytes of a trial up to which predictions stay, and of features."""


def kept_by(out: Path, asked: str | None = None) -> Keep:
    """What stays of the run in `out`: as asked for now, or before, else "needed". Raises UsageError for another word,
    StoreError where the file cannot be read."""
    if asked is None and not (out / FILE).is_file():
        return "needed"
    found = asked if asked is not None else (read_json(out / FILE) or {}).get("keep")
    for word in get_args(Keep):
        if word == found:
            return word
    if asked is None:
        raise StoreError(f"{out / FILE}: not what is kept of a run. Delete it, or say so: --keep all")
    raise UsageError(f"--keep {asked}: say one of {', '.join(get_args(Keep))}")


def settle_kept(out: Path, keep: Keep) -> None:
    """Let what was asked for hold for later commands, too."""
    if keep != kept_by(out):
        write_json(out / FILE, {"keep": keep})


@dataclass
class Keeping:
    """Of one run. wanted: names of jobs that are needed whole though no job that waits reads them."""

    store: Store
    keep: Keep
    wanted: set[str] = field(default_factory=set)

    def again(self, known: Mapping[str, Job], done: Set[str]) -> set[str]:
        """Keys of finished jobs that have to be made again: they lack files that are needed. known: inputs first."""
        again: set[str] = set()
        for key, job in reversed([*known.items()]):
            if key not in done or key in again:
                again |= {j.key for j in job.inputs.values() if j.key in done and self.store.lacks(j.name)}
            elif (self.keep == "all" or job.name in self.wanted) and self.store.lacks(job.name):
                again.add(key)
        return again

    def decide(self, results: Results, summary: dict[str, Any]) -> bool:
        """Want the best models of complete results; whether one was dropped before, and has to be made again."""
        best = (winner(summary, task.name, self.store.root) for task in results.study.tasks)
        self.wanted = {model.folder.name for model in best if model}
        return any(map(self.store.lacks, self.wanted))

    def drop(self, results: Results, summary: dict[str, Any]) -> int:
        """Delete what nobody needs of complete results; returns the bytes that are free then."""
        known, freed = results.expansion.known, 0
        if self.keep == "all":
            stays = {job.name for job in known}
        else:
            stays = self.wanted | _read_later(results, summary, self.store, extended=self.keep == "needed")
        close_store(self.store, stays)  # says what this run needs, for others that share the store
        try:
            for job in known:
                if job.kind in LARGE and job.name not in stays and (files := large_files(job, self.store)):
                    gone = drop(self.store, job.name, files, partial(needed_by_others, self.store, job.name))
                    freed += gone
                    if gone:
                        append_line(self.store.root / "log.txt", f"dropped {', '.join(files)} of {job.name}")
        finally:
            close_store(self.store, stays)
        return freed


def large_files(job: Job, store: Store) -> dict[str, int]:
    """Of a finished job of a trial what may be dropped, with the bytes: features only where they are many."""
    digests = recorded(store.find_any(job.name) or Path()) or {}
    found = {n: int(of["bytes"]) for n, of in digests.items() if fnmatchcase(n, LARGE.get(job.kind, ""))}
    return {} if job.kind == "features" and sum(found.values()) <= MOST else found


def _read_later(results: Results, summary: dict[str, Any], store: Store, *, extended: bool) -> set[str]:
    """Jobs whose large files somebody reads, or that are small enough. extended: `--extend`, too."""
    moving = {
        task.name
        for task in results.study.tasks
        if task.name in results.aside
        or (task.own_sizes is None and any(not_converged(of) for of in results.convergence[task.name].values()))
    }
    found = {j.name for pair in results.expansion.pairs if pair.contents for j in pair.contents.inputs.values()}
    for trial in results.expansion.trials:
        judged = winner(summary, trial.task, store.root) is not None
        if not judged or (extended and trial.task in moving):
            found |= {job.name for job in trial.transfers}
        if not judged or _size(trial, store) <= MOST:
            found.add(trial.evaluate.name)
    return found


def _size(trial: Trial, store: Store) -> int:
    """Bytes that a trial takes beside its weights, once they are made."""
    weights = sum(sum(large_files(job, store).values()) for job in trial.transfers)
    return sum(store.entry(job.name).whole for job in (trial.evaluate, *trial.transfers)) - weights
