"""From finished jobs to the study's answer: trials, rankings, findings. Reads the store; needs no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.config.sets import FolderSet, TableSet, WorldSet
from headstart.config.study import Explain, Study, Task, WeightsEntry
from headstart.explain.findings import Measured, TaskFacts, findings
from headstart.names import ceiling
from headstart.stats.contrasts import ranking
from headstart.stats.convergence import Convergence
from headstart.store.arrays import load_arrays
from headstart.store.files import read_json
from headstart.store.store import Store
from headstart.study.jobs import Expansion, Job, Trial, digest
from headstart.study.lengths import as_rows, convergence_of
from headstart.study.plan import Planner
from headstart.study.scope import fixed_in_origins, fixed_in_task, with_fixed
from headstart.study.why.change import change
from headstart.study.why.told import pair_facts
from headstart.tasks.table import TASKS
from headstart.weights import native
from headstart.weights.cards import WeightsSpec


@dataclass(frozen=True)
class Finished:
    """Metrics and replicates of one finished job."""

    metrics: dict[str, float | None]
    replicates: dict[str, np.ndarray]


class Results:
    """Reads finished jobs of one run, each once."""

    def __init__(self, planner: Planner, store: Store, expansion: Expansion) -> None:
        self.planner = planner
        self.study = planner.study
        self.store = store
        self.expansion = expansion
        self._read: dict[str, Finished | None] = {}
        trials = [t for t in expansion.trials if self.of(t.evaluate)]
        self.convergence = {task.name: self._convergence(task, trials) for task in self.study.tasks}

    def of(self, job: Job) -> Finished | None:
        """What a job found; None when it failed or has not run."""
        if job.key not in self._read:
            folder = self.store.find(job.name, job.key)
            self._read[job.key] = None if folder is None else _read(folder)
        return self._read[job.key]

    def _convergence(self, task: Task, trials: list[Trial]) -> dict[str, Convergence]:
        own = [t for t in trials if t.task == task.name]
        return convergence_of(task, own, self._metrics, seeds=self.study.seeds, margin=self.study.margin)

    def _updates(self, task: Task) -> int:
        """Of each training of a task, by now."""
        transfers = [t.transfers for t in self.expansion.trials if t.task == task.name]
        if not transfers or not transfers[0]:
            return 0
        job = transfers[0][0]
        said = (self._metrics(job) or {}).get("train/updates") if task.own_sizes else job.settings.recipe.updates
        return int(said or 0)

    def _metrics(self, job: Job) -> dict[str, float | None] | None:
        found = self.of(job)
        return found.metrics if found else None

    def summary(self) -> dict[str, Any]:
        """The study's metrics.json: no times, no paths."""
        trials = [t for t in self.expansion.trials if self.of(t.evaluate)]
        return {
            "study": self.study.name,
            "title": self.study.title,
            "digest": study_digest(self.study),
            "seeds": list(self.study.seeds),
            "bootstrap": self.study.bootstrap,
            "trials": [self._trial(t) for t in trials],
            "rankings": self._rankings(trials),
            "convergence": [
                row
                for task in self.study.tasks
                for row in as_rows(task, self.convergence[task.name], self._updates(task))
            ],
            "findings": self._findings(trials),
            "pretrainings": self._pretrainings(),
            "weights": [self._weights(w, trials) for w in self.study.weights],
            "starts": self._starts(trials),
            "sets": {name: _set_facts(s) for name, s in self.study.sets.items()},
            "notes": self._notes(),
            "pairs": [f for pair in self.expansion.pairs if (f := pair_facts(pair, self._metrics, self.store.path))],
            "explain": [
                {"kind": kind, "seed": seed, "dir": job.name}
                for kind, seed, job in self.expansion.explain
                if self.of(job)
            ],
        }

    def _trial(self, trial: Trial) -> dict[str, Any]:
        found = self.of(trial.evaluate)
        assert found
        curves = [f for f in map(self.of, trial.transfers) if f]
        first = curves[0].metrics if curves else found.metrics
        return {
            "weights": trial.weights,
            "task": trial.task,
            "seed": trial.seed,
            "lr": list(trial.rates),
            "edge": trial.at_edge,
            "metrics": found.metrics,
            "not_converged": any(trial.weights in of.moving for of in self.convergence[trial.task].values()),
            "train_images": first.get("train/images"),
            "test_images": found.metrics.get("test/images"),
            "transfer_keys": [job.name for job in trial.transfers],
            "evaluate_key": trial.evaluate.name,
        }

    def _rankings(self, trials: list[Trial]) -> list[dict[str, Any]]:
        found = []
        for task in self.study.tasks:
            of_task = [t for t in trials if t.task == task.name]
            for metric in TASKS[task.kind].ranked_by(task.protocol):
                ranked = self._ranking(task, metric, of_task)
                found += [ranked] if ranked else []
        return found

    def _ranking(self, task: Task, metric: str, trials: list[Trial]) -> dict[str, Any] | None:
        """Candidates with all their seeds, ranked; those with fewer are named. None when no candidate is complete."""
        values, replicates = self.by_weights(trials, task.name, metric)
        longer = {w.name: w.times for w in self.study.weights if w.times > 1}
        names = [n for n, v in values.items() if len(v) == len(self.study.seeds) and n not in longer]
        if not names:
            return None
        costs = {n: self._cost(n, task, trials) for n in names}
        default = next((w.name for w in self.study.weights if w.default and w.name in names), None)
        known = {n: cost["gflops"] for n, cost in costs.items() if cost["gflops"] is not None}
        ranked = ranking(
            {n: values[n] for n in names}, {n: replicates[n] for n in names}, self.study.margin, known, default=default
        )
        if metric == TASKS[task.kind].ranked_by(task.protocol)[0]:
            ranked["change"] = change({n: values[n] for n in names}, {n: replicates[n] for n in names}, ranked)
        for row in ranked["rows"]:
            own = [t for t in trials if t.weights == row["weights"]]
            row["cost"] = costs[row["weights"]]
            row["lr"] = [list(t.rates) for t in own]
            row["at_edge"] = any(t.at_edge for t in own)
            row["unsettled"] = self._unsettled(task, metric, row["weights"], ranked["best"])
            row["not_converged"] = bool(row["unsettled"])
            if len(own) > 1 and len({t.evaluate.key for t in own}) == 1:
                row["per_seed"], row["same_for_all_seeds"] = row["per_seed"][:1], True
            reached = [v for t in own if (v := self._trial(t)["metrics"].get(ceiling(metric))) is not None]
            row["ceiling"] = float(np.mean(reached)) if reached else None
            if row["lo"] is not None:  # these metrics are fractions, and t intervals do not know it
                row["lo"], row["hi"] = max(0.0, row["lo"]), min(1.0, row["hi"])
        facts: dict[str, Any] = {"task": task.name, "kind": task.kind, "metric": metric, "unit": "points"}
        facts["test_images"] = int(self._trial(trials[0])["test_images"] or 0)
        seeds = len(self.study.seeds)
        ranked["scope"] = with_fixed(ranked["scope"], self._fixed(task, names), seeds)
        if all(row.get("same_for_all_seeds") for row in ranked["rows"]):
            ranked["scope"] = "these weights and this probe, which no seed changes"
        facts["not_ranked"] = {
            n: f"trained {longer[n]:g} times as long" if n in longer else f"{len(v)} of {seeds} seeds were finished"
            for n, v in values.items()
            if n not in names
        }
        return facts | ranked

    def _unsettled(self, task: Task, metric: str, name: str, best: str) -> str:
        """Why nothing can be said of a candidate against the best one; of the best itself, why it is still moving."""
        of = self.convergence[task.name].get(metric)
        if of is None:
            return ""
        return of.moving.get(name, "") if name == best else of.of_pair(name, best)

    def by_weights(self, trials: list[Trial], task: str, metric: str) -> tuple[dict, dict]:
        """Values (S,) and replicates (S, B) of a task's finished seeds, by name of the weights."""
        values: dict[str, list[float]] = {}
        replicates: dict[str, list[np.ndarray]] = {}
        for trial in trials:
            found = self.of(trial.evaluate)
            if trial.task == task and found and metric in found.replicates:
                value = found.metrics[metric]
                values.setdefault(trial.weights, []).append(np.nan if value is None else value)
                replicates.setdefault(trial.weights, []).append(found.replicates[metric])
        return {n: np.array(v) for n, v in values.items()}, {n: np.stack(r) for n, r in replicates.items()}

    def _findings(self, trials: list[Trial]) -> list[dict[str, Any]]:
        explain = self.study.explain
        if explain is None:
            return []
        roles = {"boxes": explain.boxes, "labels": explain.labels, "random": explain.random}
        roles["scratch"] = explain.scratch
        found = {role: self._role(role, name, trials) for role, name in roles.items() if name}
        found["pair"] = measured([self._explained(seed, "") for seed in self.study.seeds], len(self.study.seeds))
        arms = explain.boxes, explain.labels
        told = [t for t in self.study.tasks if t.trains_both(explain) and not self._only_explains(t)]
        tasks = [facts for t in told if (facts := self._facts(t, trials, arms))]
        answers = [dict(f) for f in findings(found, tasks, self._origins(explain))]
        for finding in answers:  # F1 and F2 are of tasks, the others of the weights alone
            of = [task for task in self.study.tasks if str(finding["id"]).startswith(("F1", "F2"))]
            fixed = [what for task in of for what in self._fixed(task, arms)] or self._fixed(None, arms)
            finding["scope"] = with_fixed(str(finding["scope"]), fixed, len(self.study.seeds))
        return answers

    def _fixed(self, task: Task | None, names: Sequence[str]) -> list[str]:
        """What all seeds of these weights have in common, on a task where one is given."""
        entries = [entry for entry in self.study.weights if entry.name in names]
        return fixed_in_origins(self.study, entries) + (fixed_in_task(self.study, task) if task else [])

    def _facts(self, task: Task, trials: list[Trial], arms: tuple[str, str]) -> TaskFacts | None:
        found = next((self._trial(t) for t in trials if t.task == task.name), None)
        if found is None:
            return None
        train, test = int(found["train_images"]), int(found["test_images"])
        whys = dict.fromkeys(of.of_pair(*arms) for of in self.convergence[task.name].values())
        return TaskFacts(
            task.name,
            task.kind,
            task.test[0],
            train,
            test_images=test,
            protocol=task.protocol,
            unsettled="; ".join(filter(None, whys)),
        )

    def _only_explains(self, task: Task) -> bool:
        """A probe on the classes of pre-training answers no finding where another probe asks for new classes: the
        labels arm was trained to tell just these apart. Composition reads it."""
        others = [t for t in self.study.tasks if t.kind == task.kind and t.name != task.name]
        return self.study.explain is not None and task.name == self.study.explain.probe and bool(others)

    def _role(self, role: str, name: str, trials: list[Trial]) -> Measured:
        rows = []
        for seed in self.study.seeds:
            own = [t for t in trials if t.weights == name and t.seed == seed]
            row = {f"{t.task}/": found for t in own if (found := self.of(t.evaluate))}
            rows.append(row | self._explained(seed, f"{role}/"))
        return measured(rows, len(self.study.seeds))

    def _explained(self, seed: int, role: str) -> dict[str, Finished]:
        """What the explanations of one seed say of a role; of the pair where `role` is empty."""
        merged: dict[str, Finished] = {}
        for kind, of_seed, job in self.expansion.explain:
            found = self.of(job)
            if of_seed != seed or not found or (kind != "neighbors") != bool(role):
                continue
            keep = [n for n in found.metrics if n.startswith(role)]
            merged[""] = Finished(
                (merged[""].metrics if merged else {}) | {n.removeprefix(role): found.metrics[n] for n in keep},
                (merged[""].replicates if merged else {})
                | {n.removeprefix(role): found.replicates[n] for n in keep if n in found.replicates},
            )
        return merged

    def _origins(self, explain: Explain) -> int:
        """Independent pre-trainings of each kind: one a seed where the study makes them, else one."""
        arms = [w for w in self.study.weights if w.name in (explain.boxes, explain.labels)]
        return len(self.study.seeds) if all(w.made_by for w in arms) else 1

    def _cost(self, name: str, task: Task, trials: list[Trial]) -> dict[str, Any]:
        """Of the backbone at the size that the task uses; time: the job that has its milliseconds, no result."""
        jobs = [j for t in trials if t.weights == name for j in (*t.transfers, *t.evaluate.inputs.values())]
        found = [f for f in map(self.of, jobs) if f and "cost/gflops" in f.metrics]
        facts = found[0].metrics if found else {}
        entry = next(w for w in self.study.weights if w.name == name)
        licence = "" if entry.made_by else self.planner.spec(entry).licence
        cost = {"parameters": facts.get("cost/parameters"), "gflops": facts.get("cost/gflops"), "licence": licence}
        return cost | {"time": self.expansion.times[name, task.name].name}

    def _weights(self, entry: WeightsEntry, trials: list[Trial]) -> dict[str, Any]:
        facts: dict[str, Any] = {"name": entry.name, "default": entry.default, "load": self._load_report(entry, trials)}
        if entry.start != "backbone":
            facts["start"] = entry.start
        if entry.made_by:
            made = self._made(entry.made_by, self.study.seeds[0])
            lineage, licence, digest = (made.lineage, made.licence, made.digest) if made else ([], "", "")
            facts |= {"lineage": lineage, "licence": licence, "digest": digest}
            return facts | {"pretraining": entry.made_by}
        spec = self.planner.spec(entry)
        return facts | {
            "uri": _without_folders(spec.uri if _told_by_spec(entry, spec) else entry.uri or ""),
            "lineage": list(spec.lineage),
            "licence": spec.licence,
            "digest": spec.digest,
        }

    def _starts(self, trials: list[Trial]) -> list[dict[str, Any]]:
        """What was copied into the models of each candidate and task, by part: of the first seed, equal for all."""
        first: dict[tuple[str, str], Trial] = {}
        for trial in trials:
            if trial.transfers and trial.transfers[0].kind == "transfer":
                first.setdefault((trial.weights, trial.task), trial)
        return [
            {"weights": weights, "task": task, **read_json(path)["start"]}
            for (weights, task), trial in first.items()
            if (path := self.store.path(trial.transfers[0].name) / "load.json").is_file()
        ]

    def _made(self, name: str, seed: int) -> native.CheckpointFacts | None:
        """What the checkpoint of a finished pre-training says of itself."""
        job = self.planner.origins.job(name, seed)
        folder = self.store.find(job.name, job.key)
        return native.read_facts(folder / native.FILE) if folder else None

    def _pretrainings(self) -> list[dict[str, Any]]:
        """Every finished origin: its name and seed, where its weights are, what they learned from."""
        rows = []
        for name in self.study.pretraining:
            for seed in self.study.seeds:
                job, made = self.planner.origins.job(name, seed), self._made(name, seed)
                metrics = self.of(job)
                if made and metrics:
                    row = {"name": name, "seed": seed, "dir": job.name, "backbone": made.backbone}
                    rows.append(row | {"lineage": made.lineage, "digest": made.digest, "metrics": metrics.metrics})
        return rows

    def _notes(self) -> list[str]:
        """What readers and splits had to say of the data, with paths from the data set's own folder on."""
        found: list[str] = []
        for job in {j.key: j for j in self.expansion.known if j.kind == "split"}.values():
            path = self.store.path(job.name) / "notes.json"
            root = Path(job.place.root)
            if path.is_file():
                found += [note.replace(str(root), root.name) for note in read_json(path)]
        for job in {j.key: j for j in self.expansion.known if j.kind == "prepare"}.values():
            path = self.store.path(job.name) / "skipped.json"
            for entry in read_json(path) if path.is_file() else []:
                found.append(f"left out: {entry['path']}: image {entry['image_id']!r} cannot be used")
        return list(dict.fromkeys(found))

    def _load_report(self, entry: WeightsEntry, trials: list[Trial]) -> dict[str, Any]:
        for trial in trials:
            for job in (*trial.transfers, *trial.evaluate.inputs.values()):
                path = self.store.path(job.name) / "load.json"
                if trial.weights == entry.name and path.is_file():
                    return {name: value for name, value in read_json(path).items() if name != "start"}
        return {}


def _told_by_spec(entry: WeightsEntry, spec: WeightsSpec) -> bool:
    """Whether what was loaded is said better by the weights than by the study: with a commit, or random instead."""
    return entry.start == "random" or spec.uri.startswith("hf:")


def measured(rows: list[dict[str, Finished]], study_seeds: int) -> Measured:
    """Stack what every seed measured: rows[s] maps a prefix to the finished job of seed s."""
    values: dict[str, list[float]] = {}
    replicates: dict[str, list[np.ndarray]] = {}
    for row in rows:
        for prefix, found in row.items():
            for name, value in found.metrics.items():
                values.setdefault(prefix + name, []).append(np.nan if value is None else value)
            for name, drawn in found.replicates.items():
                replicates.setdefault(prefix + name, []).append(drawn)
    return Measured(
        {n: np.array(v) for n, v in values.items() if len(v) == study_seeds},
        {n: np.stack(r) for n, r in replicates.items() if len(r) == study_seeds},
    )


def study_digest(study: Study) -> str:
    """Identity of a study whatever the places of its files, and whatever makes its batches: results do not change."""
    values = study.model_dump(mode="json", exclude={"data", "stand_ins", "sources", "published"})
    values["sets"] = {name: _set_facts(s) for name, s in study.sets.items()}
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


def _set_facts(images: WorldSet | FolderSet | TableSet) -> dict[str, Any]:
    facts = images.model_dump(mode="json")
    if isinstance(images, FolderSet | TableSet):
        facts["path"] = Path(images.path).name  # where the folder lies is nobody's result
    return facts


def _read(folder: Path) -> Finished:
    metrics, path = read_json(folder / "metrics.json"), folder / "replicates.npz"
    return Finished(metrics, load_arrays(path) if path.is_file() else {})
