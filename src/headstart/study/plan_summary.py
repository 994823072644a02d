"""What a study would do and what it could find, as values and as lines for a terminal; nothing is run.

Imports no torch. What it could find are differences, with the variances of finished runs, or else with a spread of the
seeds that is assumed, and said.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.config.study import Study, Task
from headstart.stats.arms import FEW, Arms
from headstart.stats.parts import Parts
from headstart.stats.power import detectable, power
from headstart.stats.spread import foreseen_df
from headstart.store.store import Store
from headstart.study.jobs import Expansion, Job
from headstart.study.plan import Planner
from headstart.study.planning.measured import Rate
from headstart.study.planning.operations import heavier
from headstart.study.planning.spending import Trainings, trainings_of
from headstart.study.results import Results
from headstart.tasks.table import TASKS
from headstart.train.devices import ON_CPU, Devices, precision_on, usual_precision

SPREAD = 0.015
"""Standard deviation over seeds that is assumed: 1.5 points."""
OF_ONE_IMAGE = 0.5
"""Standard deviation over images that is assumed for the difference of two arms, half of it different for each seed."""
LARGE, SELDOM = 8.0, 0.8
"""A design that finds a difference of so many standard errors less often than this is said to be blind."""
ALPHA = 0.05
TIMED = ("pretrain", "transfer", "evaluate")
"""Kinds of jobs that `--calibrate` times."""


@dataclass(frozen=True)
class Foreseen:
    """The differences that are found in 80 % of such studies, as fractions; None where none can be.

    between: of any two of the weights, all pairs at once; first: at the first step of the family of findings that the
    task is evidence for (`family`, of `tests`). measured: of finished runs, else assumed.
    """

    task: str
    test_images: int
    between: float | None
    first: float | None
    family: str
    tests: int
    measured: bool
    weights: int | None = None
    """That are trained on the task; None: all of the study."""

    def text(self, weights: int) -> str:
        """One line for the terminal. weights: of the study."""
        weights = self.weights or weights
        found = []
        if self.between is not None and weights > 1:
            found.append(f"{100 * self.between:.1f} points between two of {weights} weights")
        if self.first is not None:
            found.append(f"{100 * self.first:.1f} points as the first of {self.tests} tests of {self.family}")
        how = "as finished runs vary" if self.measured else "assumed"
        return f"{self.task}: {'; '.join(found) or 'nothing'} ({self.test_images:,} test images; {how})"


@dataclass(frozen=True, repr=False)
class Plan:
    """What a study would do. jobs: of every kind, how many wait, and the CPU seconds that they are expected to take.

    hidden: jobs at least that follow once rates and lengths are chosen. known, done: jobs that are known by now, and
    finished ones.
    foreseen: what each task can find. faults: why the design can give no verdict or ranking.
    """

    out: Path
    name: str
    weights: int
    tasks: int
    seeds: int
    devices: str
    jobs: dict[str, tuple[int, float]]
    hidden: int
    known: int
    done: int
    foreseen: tuple[Foreseen, ...] = ()
    faults: tuple[str, ...] = ()
    explaining: float = 0.0
    """CPU seconds of explanations whose pair is chosen once all candidates are tested."""
    measured: tuple[str, ...] = ()
    """Kinds of waiting jobs whose seconds are those that finished ones of the study took."""
    disk: float | None = None
    """Bytes that the waiting jobs of these kinds will take; None where nothing was measured."""
    calibrated: str = ""
    """When trainings and tests of this study were timed on this machine last; "": never."""
    stays: float | None = None
    """Bytes of these that stay once all is done; None where all do."""
    tree: tuple[str, ...] = ()
    """The jobs as a tree, where that was asked for."""
    trainings: Trainings | None = None
    """Of an adaptive study; None: those of others are known."""
    longest: float = 1.0
    """Times the updates that they begin with, that trainings of seeds go on to at most."""
    needs: tuple[str, ...] = ()
    """Lines: what has to be there, what it costs; settings and published numbers with their sources."""

    def __repr__(self) -> str:
        return f"<plan of {self.name} in {self.out}: {self.known - self.done} jobs wait, {self.done} are done>"

    @property
    def most_seconds(self) -> float:
        """CPU seconds of all waiting jobs. Those that are not known yet are taken to be trainings and tests as long as
        the known ones, and as many as there can be at most."""
        trainings, seconds = self.jobs.get("transfer", (0, 0.0))
        of = self.trainings
        most = of.all_run if of else trainings + self.hidden
        each = (seconds + self.jobs.get("evaluate", (0, 0.0))[1]) / max(trainings, 1)
        return sum(s for _, s in self.jobs.values()) + self.explaining + each * max(0, most - trainings)

    def _how(self, kind: str) -> str:
        if kind in self.measured:
            return " (measured)"
        return f" (timed {self.calibrated})" if self.calibrated and kind in TIMED else ""

    def text(self) -> str:
        """As `headstart plan` prints it."""
        lines = [
            f"run directory: {self.out}",
            f"{self.name}: {self.weights} weights x {_counted(self.tasks, 'task')} x {_counted(self.seeds, 'seed')}",
            f"networks run on: {self.devices}",
            *(f"  {kind:<12} {n:4d} jobs, {_cpu_minutes(s)}{self._how(kind)}" for kind, (n, s) in self.jobs.items()),
        ]
        if self.hidden:
            lines.append(f"  and at least {self.hidden} jobs more once rates and lengths are chosen on held-out images")
        if self.trainings:
            count, seconds = self.jobs.get("transfer", (0, 0.0))
            lines.append(self.trainings.text(seconds / count if count else 0.0, self.longest))
        if self.explaining:
            said = "once the best is known, its explanations (compare: --no-explain leaves them out)"
            lines.append(f"  {said}: {_cpu_minutes(self.explaining)}")
        lines.append(f"  {self.done} of {self.known} known jobs are done")
        if self.disk:
            others = sorted(set(self.jobs) - set(self.measured))
            said = f"  disk: about {self.disk / 1e6:,.1f} MB more, as finished jobs take"
            if self.stays is not None:
                said += f"; {self.stays / 1e6:,.1f} MB of it stay once all is done, or all with --keep all"
            lines.append(said + (f" (not known yet of {', '.join(others)})" if others else ""))
        lines += [f"  {line}" for line in self.tree]
        if self.foreseen:
            how = "" if all(one.measured for one in self.foreseen) else f", if seeds spread by {100 * SPREAD:g} points"
            lines.append(f"differences that it finds in 8 of 10 such studies{how}:")
            lines += [f"  {one.text(self.weights)}" for one in self.foreseen]
        return "\n".join([*lines, *self.needs, *(f"note: {fault}" for fault in self.faults)])


def plan_summary(
    study: Study,
    out: Path,
    expansion: Expansion,
    devices: Devices = ON_CPU,
    *,
    foreseen: tuple[Foreseen, ...] = (),
    explaining: float = 0.0,
    needs: tuple[str, ...] = (),
    rates: Mapping[str, Rate] | None = None,
    tree: tuple[str, ...] = (),
    keep: str = "needed",
    calibrated: str = "",
) -> Plan:
    """Trials, jobs, devices and expected time of a study in the run directory `out`, and what it can find.

    rates: what finished jobs of a kind took (`headstart.study.planning.measured`). keep: what stays of them
    (`headstart.study.planning.keeping`); of tasks that may not converge it is taken that they do.
    calibrated: when the speeds that costs follow from were measured last; "" where none were.
    """
    rates = rates or {}
    jobs: dict[str, tuple[int, float]] = {}
    waiting = [job for job in expansion.known if job.key not in expansion.done]
    of_network = {} if calibrated else heavier(waiting)
    for job in waiting:
        count, seconds = jobs.get(job.kind, (0, 0.0))
        slower = rates[job.kind].slower if job.kind in rates else of_network.get(job.key, 1.0)
        jobs[job.kind] = (count + 1, seconds + job.cost * slower)
    measured = tuple(kind for kind in jobs if kind in rates)
    return Plan(
        out,
        study.name,
        len(study.weights),
        len(study.tasks),
        seeds=len(study.seeds),
        devices=f"{devices}; {_precisions(study, devices)}",
        jobs=jobs,
        hidden=expansion.hidden,
        known=len(expansion.known),
        done=len(expansion.known) - len(waiting),
        foreseen=foreseen,
        faults=tuple(faults_of_design(study)),
        explaining=0.0 if expansion.pairs else explaining,
        measured=measured,
        calibrated=calibrated,
        disk=sum(rates[kind].size * jobs[kind][0] for kind in measured) if measured else None,
        stays=_staying(study, waiting, rates) if measured and keep != "all" else None,
        tree=tree,
        trainings=trainings_of(study),
        longest=max((t.most_updates / t.recipe.updates for t in study.tasks if t.recipe and t.most_updates), default=1),
        needs=needs,
    )


def _staying(study: Study, waiting: Sequence[Job], rates: Mapping[str, Rate]) -> float:
    """Bytes of waiting jobs that stay: of each trained task one model, of the others what is small."""
    models = {kind: sum(job.kind == kind for job in waiting) for kind in ("transfer", "finetune")}
    trained = {"transfer": 0, "finetune": 0}
    for task in study.tasks:
        if task.recipe or task.own_sizes:
            trained["finetune" if task.own_sizes else "transfer"] += 1
    best = sum(
        min(trained[kind], models[kind]) * (rates[kind].size - rates[kind].kept) for kind in models if kind in rates
    )
    return best + sum(rates[job.kind].kept for job in waiting if job.kind in rates)


def _precisions(study: Study, devices: Devices) -> str:
    """In which precision networks are trained there, and which recipes state another."""
    usual = usual_precision(devices.kind)
    stated = {p.recipe.name: p.recipe.training.precision for p in study.pretraining.values()}
    stated |= {t.recipe.name: t.recipe.precision for t in study.tasks if t.recipe}
    stated |= {t.own_sizes.name: t.own_sizes.training.precision for t in study.tasks if t.own_sizes}
    resolved = {name: precision_on(devices.kind, precision) for name, precision in stated.items()}
    others = {f"{name} in {precision}" for name, precision in resolved.items() if precision != usual}
    return ", ".join([f"trained in {usual}", *sorted(others)])


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number != 1 else "")


def _cpu_minutes(seconds: float) -> str:
    return f"about {seconds / 60:6.1f} CPU minutes" if seconds >= 3 else "a few CPU seconds"


def foreseen(planner: Planner, store: Store | None, expansion: Expansion) -> tuple[Foreseen, ...]:
    """What each task can find. store: where finished jobs are."""
    study = planner.study
    results = Results(planner, store, expansion) if store else None
    tests, found = family_sizes(study), []
    for task in study.tasks:
        images = sum(planner.sets.count(name) for name in task.test)
        weights = len(task.only or study.weights)
        measured = results and _measured(results, task, len(study.seeds))
        parts = measured or assumed(len(study.seeds), weights, images)
        asked = study.explain is not None and task.trains_both(study.explain)
        family = TASKS[task.kind].finding[:2] if asked else ""
        steps = tests.get(family, 0)
        pairs = weights * (weights - 1) // 2
        between = _finite(detectable(parts, ALPHA / pairs)) if pairs else None
        first = _finite(detectable(parts, ALPHA / steps)) if steps else None
        found.append(Foreseen(task.name, images, between, first, family, steps, bool(measured), weights))
    return tuple(found)


def faults_of_design(study: Study) -> list[str]:
    """Why no verdict or ranking can come of a study, and what would help; empty where one can."""
    asked = ["verdict"] if study.explain else []
    asked += ["ranking"] if study.tasks and len(study.weights) > 1 else []
    seeds = len(study.seeds)
    if not asked:
        return []
    if seeds == 1:
        return [f"one seed gives no {' and no '.join(asked)}: it speaks of these trained models only. Three seeds can"]
    weights = len(study.weights)
    steps = max(family_sizes(study).values(), default=1) if study.explain else weights * (weights - 1) // 2
    now, three = (_power(count, weights, steps) for count in (seeds, 3))
    if now >= SELDOM:
        return []
    return [
        f"{seeds} seeds find a difference of {LARGE:g} standard errors in {now:.0%} of studies at the first step "
        f"of {steps} tests, three seeds in {three:.0%}. Add seeds"
    ]


def assumed(seeds: int, weights: int, images: int) -> Parts:
    """Parts of the variance of a difference of two arms, before anything is known."""
    of_images = OF_ONE_IMAGE**2 / max(images, 1)
    arms = weights if seeds > FEW else 2
    return Parts(of_images / 2, 2 * SPREAD**2, of_images / 2, seeds, foreseen_df(seeds - 1, max(arms, 2)))


def family_sizes(study: Study) -> dict[str, int]:
    """F1 to F4 -> how many primary tests the study asks there."""
    if study.explain is None:
        return {}
    both = [task for task in study.tasks if task.trains_both(study.explain)]
    of = {finding: [t for t in both if TASKS[t.kind].finding == finding] for finding in ("F1", "F2a", "F2b")}
    sizes: dict[tuple[str, str], set[float | None]] = {}
    for task in of["F1"]:
        sizes.setdefault((task.test[0], task.protocol), set()).add(task.limit)
    probes = [t for t in of["F2b"] if t.name != study.explain.probe or len(of["F2b"]) == 1]
    counts = {
        "F1": sum(3 if len(limits) > 1 else 2 for limits in sizes.values()),
        "F2": len(of["F2a"]) + len(probes),
        "F3": 1,
        "F4": 3 if study.explain.probe else 1,
    }
    return {family: count for family, count in counts.items() if count}


def _power(seeds: int, weights: int, steps: int) -> float:
    """Of finding `LARGE` standard errors, six tenths of whose variance are the seeds'."""
    arms = weights if seeds > FEW else 2
    parts = Parts(0.2, 0.6 * seeds, 0.2 * seeds, seeds, foreseen_df(seeds - 1, max(arms, 2)))
    return power(LARGE * math.sqrt(parts.total), parts, ALPHA / max(steps, 1))


def _measured(results: Results, task: Task, seeds: int) -> Parts | None:
    """Mean over all pairs of weights with two finished seeds or more, with the seeds that are planned."""
    metric = TASKS[task.kind].ranked_by(task.protocol)[0]
    trials = [t for t in results.expansion.trials if t.task == task.name and results.finished.of(t.evaluate)]
    values, replicates = results.by_weights(trials, task.name, metric)
    names = [n for n, column in values.items() if len(column) > 1 and np.isfinite(column).all()]
    if len(names) < 2:
        return None
    arms = Arms({n: values[n] for n in names}, {n: replicates[n] for n in names})
    found = [pair[1] for a, b in itertools.combinations(names, 2) if (pair := arms.error({a: 1, b: -1}))]
    if not found or any(math.isinf(parts.df) for parts in found):
        return None
    images, of_seeds, both = (float(np.mean([getattr(p, part) for p in found])) for part in ("images", "seeds", "both"))
    return Parts(images, of_seeds, both, found[0].num_seeds, found[0].df).with_seeds(seeds)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
