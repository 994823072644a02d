"""From finished jobs to the study's answer: trials, rankings, findings. Reads the store; needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from headstart.config.study import Task
from headstart.names import ceiling
from headstart.recipes.schema import WholeRecipe
from headstart.stats.contrasts import ranking
from headstart.stats.convergence import Convergence
from headstart.stats.sequential import FIRST
from headstart.stats.sequential_ranking import sequential_ranking
from headstart.store.store import Store
from headstart.study.finished.along import Along
from headstart.study.finished.findings import Findings
from headstart.study.finished.jobs import FinishedJobs
from headstart.study.finished.probed import further_probes
from headstart.study.finished.provenance import Provenance, set_facts, study_digest
from headstart.study.finished.screened import screened
from headstart.study.jobs import Expansion, Trial
from headstart.study.lengths import as_rows, convergence_of
from headstart.study.plan import Planner
from headstart.study.planning.spending import is_adaptive
from headstart.study.planning.whole_candidates import PRODUCT
from headstart.study.scope import fixed_of, with_fixed
from headstart.study.why.change import change
from headstart.study.why.told import pair_facts
from headstart.tasks.table import TASKS


class Results:
    """Reads the finished jobs of one run."""

    def __init__(self, planner: Planner, store: Store, expansion: Expansion) -> None:
        self.planner = planner
        self.study = planner.study
        self.finished = FinishedJobs(store)
        self.expansion = expansion
        self.aside = {task: of for task, of in expansion.aside.items() if of}
        """Task -> candidates that were set aside, and why."""
        trials = [t for t in expansion.trials if self.finished.of(t.evaluate)]
        self.convergence = {task.name: self._convergence(task, trials) for task in self.study.tasks}

    def _convergence(self, task: Task, trials: list[Trial]) -> dict[str, Convergence]:
        """Of all candidates' seeds; in an adaptive study of those that all of them have who were not set aside."""
        aside = self.aside.get(task.name, {})
        wanted = {name: count for name, count in self._wanted(task).items() if name not in aside}
        seeds = self.study.seeds[: min(wanted.values(), default=None)]
        own = [t for t in trials if t.task == task.name and t.seed in seeds and t.weights not in aside]
        return convergence_of(task, own, self.finished.metrics, seeds=seeds, margin=self.study.margin)

    def _wanted(self, task: Task) -> dict[str, int]:
        """Candidate -> seeds that it is trained for, as far as that is known."""
        planned = Counter(t.weights for t in self.expansion.trials if t.task == task.name)
        return dict(planned) if is_adaptive(self.study, task) else dict.fromkeys(planned, len(self.study.seeds))

    def _updates(self, task: Task) -> int:
        """Of each training of a task, by now, but of candidates that were set aside."""
        aside = self.aside.get(task.name, {})
        own = [t for t in self.expansion.trials if t.task == task.name and t.weights not in aside]
        transfers = [t.transfers for t in own]
        if not transfers or not transfers[0]:
            return 0
        job = transfers[0][0]
        said = (
            (self.finished.metrics(job) or {}).get("train/updates") if task.own_sizes else job.settings.recipe.updates
        )
        return int(said or 0)

    def summary(self) -> dict[str, Any]:
        """The study's metrics.json: no times, no paths."""
        finished = self.finished
        trials = [t for t in self.expansion.trials if finished.of(t.evaluate)]
        made_of = Provenance(self.planner, finished, self.expansion)
        screen = {"screen": screened(self.planner.jobs, finished)} if self.study.screen else {}
        probed = [self._probed(task, trials) for task in self.study.tasks if task.further]
        along = Along(self.study, trials, self.by_weights, self._wanted)
        asked = {"probes": probed, "axes": along.axes(), "factorial": along.factorial()}
        return (
            screen
            | {name: found for name, found in asked.items() if found}
            | {
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
                "findings": Findings(self.study, finished, self.expansion, self.convergence).of(trials),
                "pretrainings": made_of.pretrainings(),
                "weights": [made_of.weights(w, trials) for w in self.study.weights],
                "starts": made_of.starts(trials),
                "sets": {name: set_facts(s) for name, s in self.study.sets.items()},
                "notes": made_of.notes(),
                "pairs": [
                    f for pair in self.expansion.pairs if (f := pair_facts(pair, finished.metrics, finished.store.path))
                ],
                "explain": [
                    {"kind": kind, "seed": seed, "dir": job.name}
                    for kind, seed, job in self.expansion.explain
                    if finished.of(job)
                ],
            }
        )

    def _trial(self, trial: Trial) -> dict[str, Any]:
        found = self.finished.of(trial.evaluate)
        assert found
        trained_on, tested_on = self.finished.images(trial)
        why = self.aside.get(trial.task, {}).get(trial.weights)
        return ({"set_aside": why} if why else {}) | {
            "weights": trial.weights,
            "task": trial.task,
            "seed": trial.seed,
            "lr": list(trial.rates),
            "edge": trial.at_edge,
            "metrics": found.metrics,
            "not_converged": bool(
                why or [m for m in self.convergence[trial.task].values() if trial.weights in m.moving]
            ),
            "train_images": trained_on,
            "test_images": tested_on,
            "transfer_keys": [job.name for job in trial.transfers],
            "evaluate_key": trial.evaluate.name,
        }

    def _probed(self, task: Task, trials: list[Trial]) -> dict[str, Any]:
        """What further probes found."""
        found = [self.finished.of(t.evaluate) for t in trials if t.task == task.name]
        names = list(dict.fromkeys(name for f in found if f for name in f.replicates))
        return further_probes(self.study, task, trials, self.by_weights, names=names)

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
        wanted, aside = self._wanted(task), self.aside.get(task.name, {})
        names = [n for n, v in values.items() if len(v) == wanted[n] and n not in longer and n not in aside]
        if not names:
            return None
        costs = {n: self._cost(n, task, trials) for n in names}
        default = next((w.name for w in self.study.weights if w.default and w.name in names), None)
        known = {n: cost["gflops"] for n, cost in costs.items() if cost["gflops"] is not None}
        sequential = is_adaptive(self.study, task) and min(wanted[n] for n in names) >= FIRST
        rank = partial(sequential_ranking, seeds=len(self.study.seeds)) if sequential else ranking
        ranked = rank(
            {n: values[n] for n in names}, {n: replicates[n] for n in names}, self.study.margin, known, default=default
        )
        if sequential:
            ranked["sequential"] |= self._saved(task, wanted)
        if ranked["rows"][0]["mean"] is not None and ranked["rows"][0]["mean"] <= self.study.margin:
            # One that finds nothing at all would be as adequate as the best.
            ranked |= {"at_floor": True, "cheapest_adequate": None}
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
            reached = [
                v for t in own if (v := (self.finished.metrics(t.evaluate) or {}).get(ceiling(metric))) is not None
            ]
            row["ceiling"] = float(np.mean(reached)) if reached else None
            if row["lo"] is not None:  # these metrics are fractions, and t intervals do not know it
                row["lo"], row["hi"] = max(0.0, row["lo"]), min(1.0, row["hi"])
        facts: dict[str, Any] = {"task": task.name, "kind": task.kind, "metric": metric, "unit": "points"}
        if isinstance(task.recipe, WholeRecipe):
            facts["question"] = PRODUCT
        facts["test_images"] = int(self.finished.images(trials[0])[1] or 0)
        seeds = len(self.study.seeds)
        ranked["scope"] = with_fixed(ranked["scope"], fixed_of(self.study, task, names), seeds)
        if all(row.get("same_for_all_seeds") for row in ranked["rows"]):
            ranked["scope"] = "these weights and this probe, which no seed changes"
        facts["not_ranked"] = {
            n: f"trained {longer[n]:g} times as long" if n in longer else f"{len(v)} of {wanted[n]} seeds were finished"
            for n, v in values.items()
            if n not in names and n not in aside
        }
        facts |= {"set_aside": dict(aside)} if aside else {}
        return facts | ranked

    def _saved(self, task: Task, wanted: Mapping[str, int]) -> dict[str, int]:
        """Trainings of all seeds and folds, and how many of them the looks have saved; searches come on top."""
        most = len(self.study.seeds)
        folds = len(task.train)
        return {"trainings": folds * most * len(wanted), "not_run": folds * sum(most - n for n in wanted.values())}

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
            found = self.finished.of(trial.evaluate)
            if trial.task == task and found and metric in found.replicates:
                value = found.metrics[metric]
                values.setdefault(trial.weights, []).append(np.nan if value is None else value)
                replicates.setdefault(trial.weights, []).append(found.replicates[metric])
        return {n: np.array(v) for n, v in values.items()}, {n: np.stack(r) for n, r in replicates.items()}

    def _cost(self, name: str, task: Task, trials: list[Trial]) -> dict[str, Any]:
        """Of the backbone at the size that the task uses; time: the job that has its milliseconds, no result."""
        jobs = [j for t in trials if t.weights == name for j in (*t.transfers, *t.evaluate.inputs.values())]
        found = [f for f in map(self.finished.of, jobs) if f and "cost/gflops" in f.metrics]
        facts = found[0].metrics if found else {}
        entry = next(w for w in self.study.weights if w.name == name)
        licence = "" if entry.made_by else self.planner.jobs.spec(entry).licence
        cost = {"parameters": facts.get("cost/parameters"), "gflops": facts.get("cost/gflops"), "licence": licence}
        return cost | {"time": self.expansion.times[name, task.name].name}
