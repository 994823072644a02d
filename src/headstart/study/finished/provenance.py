"""What a study was made of: weights and how they were loaded, its own pre-trainings, its data and their notes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.config.sets import FolderSet, TableSet, WorldSet
from headstart.config.study import Study, WeightsEntry
from headstart.store.files import read_json
from headstart.study.finished.jobs import FinishedJobs
from headstart.study.jobs import Expansion, Trial, digest
from headstart.study.plan import Planner
from headstart.weights import native
from headstart.weights.cards import WeightsSpec


@dataclass(frozen=True)
class Provenance:
    """Reads what finished jobs of a study say of where their inputs are from."""

    planner: Planner
    finished: FinishedJobs
    expansion: Expansion

    def weights(self, entry: WeightsEntry, trials: list[Trial]) -> dict[str, Any]:
        """Of one candidate: what it is, and how it was loaded."""
        facts: dict[str, Any] = {"name": entry.name, "default": entry.default, "load": self._load_report(entry, trials)}
        if entry.start != "backbone":
            facts["start"] = entry.start
        if entry.made_by:
            made = self._made(entry.made_by, self.planner.study.seeds[0])
            lineage, licence, digest = (made.lineage, made.licence, made.digest) if made else ([], "", "")
            facts |= {"lineage": lineage, "licence": licence, "digest": digest}
            return facts | {"pretraining": entry.made_by}
        spec = self.planner.jobs.spec(entry)
        return facts | {
            "uri": _without_folders(spec.uri if _told_by_spec(entry, spec) else entry.uri or ""),
            "lineage": list(spec.lineage),
            "licence": spec.licence,
            "digest": spec.digest,
        }

    def starts(self, trials: list[Trial]) -> list[dict[str, Any]]:
        """What was copied into the models of each candidate and task, by part: of the first seed, equal for all."""
        first: dict[tuple[str, str], Trial] = {}
        for trial in trials:
            if trial.transfers and trial.transfers[0].kind == "transfer":
                first.setdefault((trial.weights, trial.task), trial)
        return [
            {"weights": weights, "task": task, **read_json(path)["start"]}
            for (weights, task), trial in first.items()
            if (path := self.finished.store.path(trial.transfers[0].name) / "load.json").is_file()
        ]

    def _made(self, name: str, seed: int) -> native.CheckpointFacts | None:
        """What the checkpoint of a finished pre-training says of itself."""
        job = self.planner.origins.job(name, seed)
        folder = self.finished.store.find(job.name, job.key)
        return native.read_facts(folder / native.FILE) if folder else None

    def pretrainings(self) -> list[dict[str, Any]]:
        """Every finished origin: its name and seed, where its weights are, what they learned from."""
        rows = []
        for name in self.planner.study.pretraining:
            for seed in self.planner.study.seeds:
                job, made = self.planner.origins.job(name, seed), self._made(name, seed)
                metrics = self.finished.of(job)
                if made and metrics:
                    row = {"name": name, "seed": seed, "dir": job.name, "backbone": made.backbone}
                    rows.append(row | {"lineage": made.lineage, "digest": made.digest, "metrics": metrics.metrics})
        return rows

    def notes(self) -> list[str]:
        """What readers and splits had to say of the data, with paths from the data set's own folder on."""
        found: list[str] = []
        for job in {j.key: j for j in self.expansion.known if j.kind == "split"}.values():
            path = self.finished.store.path(job.name) / "notes.json"
            root = Path(job.place.root)
            if path.is_file():
                found += [note.replace(str(root), root.name) for note in read_json(path)]
        for job in {j.key: j for j in self.expansion.known if j.kind == "prepare"}.values():
            path = self.finished.store.path(job.name) / "skipped.json"
            for entry in read_json(path) if path.is_file() else []:
                found.append(f"left out: {entry['path']}: image {entry['image_id']!r} cannot be used")
        return list(dict.fromkeys(found))

    def _load_report(self, entry: WeightsEntry, trials: list[Trial]) -> dict[str, Any]:
        for trial in trials:
            for job in (*trial.transfers, *trial.evaluate.inputs.values()):
                path = self.finished.store.path(job.name) / "load.json"
                if trial.weights == entry.name and path.is_file():
                    return {name: value for name, value in read_json(path).items() if name != "start"}
        return {}


def _told_by_spec(entry: WeightsEntry, spec: WeightsSpec) -> bool:
    """Whether what was loaded is said better by the weights than by the study: with a commit, or random instead."""
    return entry.start == "random" or spec.uri.startswith("hf:")


def study_digest(study: Study) -> str:
    """Identity of a study whatever the places of its files, and whatever makes its batches: results do not change."""
    values = study.model_dump(mode="json", exclude={"data", "stand_ins", "sources", "published"})
    if study.screen is None:  # a study of before there were screens is the same
        del values["screen"]
    values["sets"] = {name: set_facts(s) for name, s in study.sets.items()}
    values["backbone"] = study.backbone and _without_folders(f"random:{study.backbone}")
    for wanted in values["pretraining"].values():
        wanted["start"] = _without_folders(wanted["start"])
        wanted["proposals"] = Path(wanted["proposals"]).name
        del wanted["loaders"]
    for entry in values["weights"]:
        entry["uri"] = entry["uri"] and _without_folders(entry["uri"])
    return digest(values)


def _without_folders(uri: str) -> str:
    """A weights URI without the folders of its files: results say what was used, not where it lay."""
    has_files = uri.startswith(("file:", "random:")) or uri.endswith(".toml")
    return re.sub(r"[^:@]*/", "", uri) if has_files else uri


def set_facts(images: WorldSet | FolderSet | TableSet) -> dict[str, Any]:
    """Settings of a set, without where its folder lies, which is nobody's result."""
    facts = images.model_dump(mode="json")
    if isinstance(images, FolderSet | TableSet):
        facts["path"] = Path(images.path).name
    return facts
