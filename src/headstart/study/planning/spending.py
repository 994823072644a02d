"""How many seeds each candidate of an adaptive study gets: a pure function of finished jobs.

After the second seed and each one after it a job decides (`headstart.study.runners.deciding`) who is shown to be worse
than the best, and whether more seeds are worth running; until it is done, nothing further is known of the task. So a
run that is killed and goes on takes the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headstart.config.study import Study, Task
from headstart.stats.sequential import FIRST, UNLIKELY, levels
from headstart.study.durations import Aside, beyond_reach, doublings_needed
from headstart.study.jobs import Job, Trial
from headstart.study.lengths import Found, convergence_of
from headstart.study.search import MOST_EXTENSIONS
from headstart.study.settings import DecideSettings
from headstart.tasks.table import trained_task

TrialOf = Callable[[int], Trial]
"""Of one candidate, by seed."""


@dataclass(frozen=True)
class Spending:
    """seeds: candidate -> how many seeds it gets, as far as that is known. jobs: decisions that are known. waits:
    whether one of them is not done. aside: candidates that no longer count though nothing is said of them."""

    seeds: Mapping[str, int]
    jobs: tuple[Job, ...]
    waits: bool
    aside: Mapping[str, Aside] = field(default_factory=dict)


@dataclass(frozen=True)
class Trainings:
    """How many an adaptive study has, one that goes on for more updates counted once.

    fewest: where the first seeds of each candidate decide and no search goes on beyond its rates. most: those of all
    seeds and folds. searching: at most, further ones that search rates; tried: those of `fewest`. shortest: times the
    updates that trainings begin with, that those of seeds go on to at least.
    """

    fewest: int
    most: int
    searching: int
    tried: int = 0
    shortest: float = 1.0

    @property
    def least(self) -> float:
        """The fewest, as so many of the length that trainings begin with."""
        return (self.fewest - self.tried) * self.shortest + self.tried

    @property
    def all_run(self) -> float:
        """All there can be, none longer than `shortest`, as so many of the length that trainings begin with."""
        return self.most * self.shortest + self.searching

    @property
    def middle(self) -> float:
        """Between the two: what is expected while nothing is known."""
        return (self.least + self.all_run) / 2

    def text(self, each: float, longest: float) -> str:
        """One line for the terminal. each: CPU seconds of one, 0 where that is not known. longest: times the updates
        that they begin with, that those of seeds go on to at most."""
        most = self.most + self.searching
        counts = f"  {self.fewest} to {most} trainings (a job for each length), searches of rates among them"
        if not each:
            return counts
        numbers = (self.middle, self.least, self.all_run, self.most * longest + self.searching)
        middle, fewest, all_run, all_on = (f"{number * each / 60:.1f}" for number in numbers)
        said = f"{middle} CPU minutes ({fewest} if {FIRST} seeds of each candidate decide, {all_run} if all are run"
        return f"{counts}: about {said}" + (
            f", {all_on} if all go on to the longest)" if longest > self.shortest else ")"
        )


def is_adaptive(study: Study, task: Task) -> bool:
    """Whether candidates of a task may get unlike numbers of seeds."""
    return study.adaptive and task.recipe is not None and len(study.seeds) > FIRST


def trainings_of(study: Study) -> Trainings | None:
    """Of all adaptive tasks; None where there is none."""
    tasks = [task for task in study.tasks if is_adaptive(study, task)]
    if not tasks:
        return None
    fewest, most, searching, tried, shortest = 0, 0, 0, 0, 0.0
    for task in tasks:
        assert task.recipe
        runs = len(task.only or study.weights) * len(task.train)  # candidates and folds
        searches = runs // (len(task.train) if study.search == "shared" else 1)
        rates = task.recipe.rates
        tried += searches * max(0, len(rates) - 1)
        fewest += runs * FIRST
        most += runs * len(study.seeds)
        shortest += runs * len(study.seeds) * 2 ** doublings_needed(task)
        searching += searches * (len(rates) + MOST_EXTENSIONS - 1) if rates else 0
    return Trainings(fewest + tried, most, searching, tried, shortest / most)


def spending(
    study: Study,
    task: Task,
    arms: Mapping[str, TrialOf],
    found: Found,
    *,
    lost: Callable[[Job], bool],
    doublings: int,
    sets_aside: bool,
) -> Spending:
    """Of the candidates `arms`, all of whose rates and lengths are known. One that failed (`lost`) is not waited for.

    A candidate is dropped by the metric that the task is ranked by first, and only where its comparison with the best
    has converged on held-out images; else it is set aside where it cannot win however long it is trained, if
    `sets_aside`, or stays, and is no reason to run more seeds. doublings: of all trainings by now.
    """
    left, spent, jobs = list(arms), dict.fromkeys(arms, len(study.seeds)), []
    aside: dict[str, Aside] = {}
    for now in levels(len(study.seeds)):
        spent |= dict.fromkeys(left, now)
        trials = {name: [arms[name](seed) for seed in study.seeds[:now]] for name in left}
        left = [name for name in left if not any(lost(trial.evaluate) for trial in trials[name])]
        if now == len(study.seeds) or len(left) < 2:
            break
        job = _decision(study, task, {name: trials[name] for name in left})
        jobs.append(job)
        verdict = found(job)
        if verdict is None:
            return Spending(spent, tuple(jobs), True, aside)
        best = left[int(verdict["best"] or 0)]
        dropped = [name for k, name in enumerate(left) if verdict[f"dropped/{k}"]]
        own = [trial for name in left for trial in trials[name]]
        by_metric = convergence_of(task, own, found, seeds=study.seeds[:now], margin=study.margin)
        of = by_metric[job.settings.metric]
        unsettled = {name: why for name in dropped if (why := of.of_pair(name, best))}
        if sets_aside:
            aside |= beyond_reach(task, of.scores, unsettled, best=best, doublings=doublings)
        left = [name for name in left if name not in aside and (name not in dropped or name in unsettled)]
        if len(left) < 2 or (verdict["chance"] or 0.0) < UNLIKELY:
            break
    return Spending(spent, tuple(jobs), False, aside)


def _decision(study: Study, task: Task, trials: Mapping[str, list[Trial]]) -> Job:
    count = len(next(iter(trials.values())))
    inputs = {
        f"arm{k}_{number}": trial.evaluate
        for k, of_arm in enumerate(trials.values())
        for number, trial in enumerate(of_arm)
    }
    metric = trained_task(task.kind).ranked_by(task.protocol)[0]
    settings = DecideSettings(metric, arms=len(trials), seeds=count, most=len(study.seeds))
    return Job("decide", settings, inputs, None, label=f"{task.name}: who is left after {count} seeds", cost=1.0)
