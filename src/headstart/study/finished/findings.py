"""What a study of boxes against labels finds, from the jobs that explain it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.config.study import Explain, Study, Task
from headstart.explain.findings import Measured, TaskFacts, findings
from headstart.stats.convergence import Convergence
from headstart.study.finished.along import added_tasks
from headstart.study.finished.jobs import Finished, FinishedJobs
from headstart.study.jobs import Expansion, Trial
from headstart.study.scope import fixed_of, with_fixed


@dataclass(frozen=True)
class Findings:
    """Reads the finished jobs of a study. convergence: of each task, by metric."""

    study: Study
    finished: FinishedJobs
    expansion: Expansion
    convergence: Mapping[str, Mapping[str, Convergence]]

    def of(self, trials: list[Trial]) -> list[dict[str, Any]]:
        """From finished trials; none where the study does not ask."""
        explain = self.study.explain
        if explain is None:
            return []
        roles = {"boxes": explain.boxes, "labels": explain.labels, "random": explain.random}
        roles["scratch"] = explain.scratch
        found = {role: self._role(role, name, trials) for role, name in roles.items() if name}
        found["pair"] = measured([self._explained(seed, "") for seed in self.study.seeds], len(self.study.seeds))
        arms = explain.boxes, explain.labels
        ablations = added_tasks(self.study)
        told = [t for t in self.study.tasks if t.trains_both(explain) and not self._only_explains(t)]
        told = [t for t in told if t.name not in ablations]
        tasks = [facts for t in told if (facts := self._facts(t, trials, arms))]
        answers = [dict(f) for f in findings(found, tasks, self._origins(explain))]
        for finding in answers:  # F1 and F2 are of tasks, the others of the weights alone
            of = [task for task in self.study.tasks if str(finding["id"]).startswith(("F1", "F2"))]
            fixed = [what for task in of for what in fixed_of(self.study, task, arms)] or fixed_of(
                self.study, None, arms
            )
            finding["scope"] = with_fixed(str(finding["scope"]), fixed, len(self.study.seeds))
        return answers

    def _facts(self, task: Task, trials: list[Trial], arms: tuple[str, str]) -> TaskFacts | None:
        own = next((t for t in trials if t.task == task.name), None)
        if own is None:
            return None
        train, test = (int(count or 0) for count in self.finished.images(own))
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
        explain = self.study.explain
        others = [t for t in self.study.tasks if t.kind == task.kind and t.name != task.name]
        return explain is not None and task.name == explain.probe and not explain.new_classes and bool(others)

    def _role(self, role: str, name: str, trials: list[Trial]) -> Measured:
        rows = []
        for seed in self.study.seeds:
            own = [t for t in trials if t.weights == name and t.seed == seed]
            row = {f"{t.task}/": found for t in own if (found := self.finished.of(t.evaluate))}
            rows.append(row | self._explained(seed, f"{role}/"))
        return measured(rows, len(self.study.seeds))

    def _explained(self, seed: int, role: str) -> dict[str, Finished]:
        """What the explanations of one seed say of a role; of the pair where `role` is empty."""
        merged: dict[str, Finished] = {}
        for kind, of_seed, job in self.expansion.explain:
            found = self.finished.of(job)
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
