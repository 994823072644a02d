"""What a study would do, as values and as lines for a terminal; nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headstart.config.study import Study
from headstart.study.jobs import Expansion
from headstart.train.devices import ON_CPU, Devices, precision_on, usual_precision


@dataclass(frozen=True, repr=False)
class Plan:
    """What a study would do. jobs: of every kind, how many wait, and the CPU seconds that they are expected to take.

    hidden: jobs at least that follow once rates and lengths are chosen. known, done: jobs that are known by now, and
    finished ones.
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

    def __repr__(self) -> str:
        return f"<plan of {self.name} in {self.out}: {self.known - self.done} jobs wait, {self.done} are done>"

    def text(self) -> str:
        """As `headstart plan` prints it."""
        lines = [
            f"run directory: {self.out}",
            f"{self.name}: {self.weights} weights x {self.tasks} tasks x {self.seeds} seeds",
            f"networks run on: {self.devices}",
            *(f"  {kind:<12} {n:4d} jobs, {_cpu_minutes(seconds)}" for kind, (n, seconds) in self.jobs.items()),
        ]
        if self.hidden:
            lines.append(f"  and at least {self.hidden} jobs more once rates and lengths are chosen on held-out images")
        return "\n".join([*lines, f"  {self.done} of {self.known} known jobs are done"])


def plan_summary(study: Study, out: Path, expansion: Expansion, devices: Devices = ON_CPU) -> Plan:
    """Trials, jobs, devices and expected time of a study in the run directory `out`."""
    jobs: dict[str, tuple[int, float]] = {}
    waiting = [job for job in expansion.known if job.key not in expansion.done]
    for job in waiting:
        count, seconds = jobs.get(job.kind, (0, 0.0))
        jobs[job.kind] = (count + 1, seconds + job.cost)
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
    )


def _precisions(study: Study, devices: Devices) -> str:
    """In which precision networks are trained there, and which recipes state another."""
    usual = usual_precision(devices.kind)
    stated = {p.recipe.name: p.recipe.training.precision for p in study.pretraining.values()}
    stated |= {t.recipe.name: t.recipe.precision for t in study.tasks if t.recipe}
    resolved = {name: precision_on(devices.kind, precision) for name, precision in stated.items()}
    others = {f"{name} in {precision}" for name, precision in resolved.items() if precision != usual}
    return ", ".join([f"trained in {usual}", *sorted(others)])


def _cpu_minutes(seconds: float) -> str:
    return f"about {seconds / 60:6.1f} CPU minutes" if seconds >= 3 else "a few CPU seconds"
