"""From a study to its jobs: a pure function of the study and of what the store already holds.

It is asked again whenever a job ends. Jobs that depend on a choice not yet made (the best rate) appear once it can
be made, so resuming, extending and planning are the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from headstart.config.study import Study, Task, WeightsEntry
from headstart.stats.sequential import FIRST
from headstart.study.durations import Duration, duration
from headstart.study.jobs import Expansion, Job, Trial
from headstart.study.kinds import require_kinds
from headstart.study.origins import Origins
from headstart.study.planning.chains import collect
from headstart.study.planning.explaining import Explaining
from headstart.study.planning.making import JobMaker
from headstart.study.planning.speeds import Speeds
from headstart.study.planning.spending import Spending, is_adaptive, spending
from headstart.study.search import Search, search_rate
from headstart.study.sets import Sets
from headstart.study.timing import timing_jobs
from headstart.study.why.pairs import Pairs
from headstart.tasks.possible_starts import require_starts

Lookup = Callable[[Job], dict[str, float | None] | None]
"""Metrics of a finished job, None while it is not finished."""
Again = Callable[[Mapping[str, Job], set[str]], set[str]]
"""Of all jobs by key, inputs first, and the keys of finished ones: which of these have to be made again
(`headstart.study.planning.keeping`)."""


@dataclass
class Planner:
    """Expands one study. Data sets and weights are looked at once and remembered."""

    study: Study
    base: Path
    """Folder that relative paths in the study are relative to."""
    offline: bool = False
    device: str = "cpu"
    """Kind of device that networks run on: "cpu", "cuda"."""
    extended: Mapping[str, int] = field(default_factory=dict)
    """How often the transfers of a task go on for as many updates again (`headstart.study.extending`)."""
    failed: set[str] = field(default_factory=set)
    """Keys of jobs that failed in this run: nobody waits for them."""
    without_data: bool = False
    """See `Sets.without_data`."""

    @cached_property
    def sets(self) -> Sets:
        """The study's sets of images."""
        return Sets(self.study, self.base, without_data=self.without_data)

    @cached_property
    def speeds(self) -> Speeds:
        """What was measured of such trainings on this machine."""
        return Speeds(self.device, self.study.threads)

    @cached_property
    def origins(self) -> Origins:
        """The study's own pre-trainings."""
        return Origins(self.study, self.base, self.sets, self.device, offline=self.offline, speeds=self.speeds)

    @cached_property
    def jobs(self) -> JobMaker:
        """Makes the jobs of trials."""
        return JobMaker(self.study, self.sets, self.origins, self.device)

    @cached_property
    def pairs(self) -> Pairs:
        """The pairs of candidates that the study explains."""
        return Pairs(self.study, self.sets, self.jobs.start, self.device)

    def __post_init__(self) -> None:
        require_kinds(self.study)
        require_starts(self.study)

    def expand(self, lookup: Lookup, again: Again = lambda known, done: set()) -> Expansion:
        """All jobs that can be named now, the ready ones among them, the trials and explanations."""
        known: dict[str, Job] = {}
        trials: list[Trial] = []
        aside: dict[str, dict[str, str]] = {}
        hidden, unknown = 0, set()
        for task in self.study.tasks:
            entries = [entry for entry in self.study.weights if not task.only or entry.name in task.only]
            length = self._length(task, entries, lookup, known)
            spent = self._spending(task, entries, length, lookup)
            aside[task.name] = {name: one.why for name, one in [*length.aside.items(), *spent.aside.items()]}
            for job in spent.jobs:
                collect(job, known)
            for entry in entries:
                seeds = self.study.seeds[: spent.seeds.get(entry.name)]
                own = length.aside.get(entry.name, length).doublings
                now, later = self._trials(task, entry, own, lookup, seeds=seeds, known=known)
                trials += now
                hidden += later
                unknown |= {task.name} if later or spent.waits else set()
        explain = Explaining(self.jobs).jobs()
        counted = [trial for trial in trials if trial.weights not in aside[trial.task]]
        pairs = self.pairs.of(counted, lookup, self._lost, set() if self.failed else unknown)
        hidden += pairs.hidden
        times = timing_jobs(self.origins, trials)
        screens = [self.jobs.screen(entry) for entry in self.study.weights if self.study.screen]
        made = [self.origins.job(name, seed) for name in self.study.pretraining for seed in self.study.seeds]
        explaining = [job for _, _, job in explain] + [job for pair in pairs.pairs for job in pair.jobs]
        for job in [*made, *(t.evaluate for t in trials), *explaining, *times.values(), *screens]:
            collect(job, known)
        done = {key for key, job in known.items() if lookup(job) is not None}
        lacking = again(known, done)
        done -= lacking
        ready = [
            job for key, job in known.items() if key not in done and all(j.key in done for j in job.inputs.values())
        ]
        return Expansion(
            list(known.values()),
            ready,
            not hidden and len(done) == len(known),
            trials,
            explain=explain,
            pairs=pairs.pairs,
            aside=aside,
            times=times,
            hidden=hidden,
            done=frozenset(done),
            again=frozenset(known[key].name for key in lacking),
        )

    def _length(self, task: Task, entries: list[WeightsEntry], lookup: Lookup, known: dict[str, Job]) -> Duration:
        """How often the trainings of a task go on for as many updates again, by its own rule and by `extended`; None
        while the rule waits for the seeds that it asks. What it waits for goes into `known`."""
        if task.recipe is None:
            return Duration(0, ())

        def transfers(entry: WeightsEntry, doublings: int) -> tuple[tuple[Job, ...], ...] | None:
            found = []
            for seed in self._asked(task):
                searcher = self._searcher(seed)
                rates, _ = self._rates(task, entry, searcher, lookup, known=known)
                if rates is not None:
                    found.append(self.jobs.transfers(task, entry, seed, rates, doublings=doublings))
                elif self._lost_search(task, entry, searcher, lookup):
                    return ()
            return tuple(found) if len(found) == len(self._asked(task)) else None

        arms = {entry.name: partial(transfers, entry) for entry in entries}
        by_rule = partial(duration, task, arms, lookup, margin=self.study.margin, lost=self._lost)
        ranked = {entry.name for entry in entries if entry.times == 1} if is_adaptive(self.study, task) else set()
        found, times = by_rule(ranked=ranked), self.extended.get(task.name, 0)
        if times:  # who was set aside is taken back
            whole = by_rule() if found.aside else found
            known_now = None not in (found.doublings, whole.doublings)
            longer = max(whole.doublings or 0, (found.doublings or 0) + 1) + times - 1
            found = Duration(longer if known_now else None, (*found.jobs, *whole.jobs))
        for job in found.jobs:
            collect(job, known)
        return found

    def _asked(self, task: Task) -> tuple[int, ...]:
        """Seeds whose trainings say how long a task is trained: all that are trained in any case, so the first alone
        where others may not be."""
        return self.study.seeds[:1] if is_adaptive(self.study, task) else self.study.seeds

    def _searcher(self, seed: int) -> int:
        """Whose rate a seed is trained at."""
        return seed if self.study.search == "each" else self.study.seeds[0]

    def _lost(self, job: Job) -> bool:
        """Whether a job failed, or one that it needs."""
        return bool(self.failed) and (job.key in self.failed or any(map(self._lost, job.inputs.values())))

    def _rates(
        self, task: Task, entry: WeightsEntry, seed: int, lookup: Lookup, *, known: dict[str, Job]
    ) -> tuple[tuple[float, ...] | None, bool]:
        """The rate of each fold (None while they are searched), and whether one is at the edge of its search."""
        searches = self._searches(task, entry, seed, lookup)
        for job in [job for s in searches for job in s.jobs]:
            collect(job, known)
        rates = tuple(s.rate for s in searches if s.rate is not None)
        if self.study.search == "shared":
            rates *= len(task.train)
        return (rates if len(rates) == len(task.train) else None), any(s.at_edge for s in searches)

    def _searches(self, task: Task, entry: WeightsEntry, seed: int, lookup: Lookup) -> list[Search]:
        """One a fold, or the first fold's for all."""
        folds = range(1 if self.study.search == "shared" else len(task.train))
        return [self._search(task, entry, seed, fold, lookup=lookup) for fold in folds]

    def _lost_search(self, task: Task, entry: WeightsEntry, seed: int, lookup: Lookup) -> bool:
        """Whether a training failed that the rate of a candidate would be known by."""
        return any(self._lost(job) for search in self._searches(task, entry, seed, lookup) for job in search.jobs)

    def _spending(self, task: Task, entries: list[WeightsEntry], length: Duration, lookup: Lookup) -> Spending:
        """How many seeds the candidates of a task get: all, but in an adaptive study. While rates or lengths are being
        searched, two at least."""
        arms = [entry for entry in entries if entry.times == 1]  # others are no part of the ranking
        if not is_adaptive(self.study, task) or len(arms) < 2:
            return Spending({}, (), False)
        gone = dict.fromkeys(length.aside, 1)
        first, trial_of = self.study.seeds[0], {}
        for entry in arms:
            if entry.name in gone:
                continue
            rates, edge = self._rates(task, entry, first, lookup, known={})
            if rates is None and self._lost_search(task, entry, first, lookup):
                continue
            if rates is None or length.doublings is None:
                sooner = self._sooner(task, [arm for arm in arms if arm.name in length.near], length.least, lookup)
                return Spending({arm.name: FIRST for arm in arms} | gone, sooner, True)
            own = partial(self._trial, task, entry, rates=rates, edge=edge, doublings=length.doublings)
            trial_of[entry.name] = own
        found = spending(
            self.study,
            task,
            trial_of,
            lookup,
            lost=self._lost,
            doublings=length.doublings or 0,
            sets_aside=task.name not in self.extended,
        )
        return replace(found, seeds={**found.seeds, **gone})

    def _sooner(self, task: Task, arms: list[WeightsEntry], doublings: int, lookup: Lookup) -> tuple[Job, ...]:
        """Trainings of further seeds that are needed whatever the first seed says yet: they need not wait for it."""
        found: list[Job] = []
        for entry in arms:
            rates, _ = self._rates(task, entry, self.study.seeds[0], lookup, known={})
            if rates is not None:
                for seed in self.study.seeds[1:FIRST]:
                    found += self.jobs.transfers(task, entry, seed, rates, doublings=doublings)
        return tuple(found)

    def _trials(
        self,
        task: Task,
        entry: WeightsEntry,
        doublings: int | None,
        lookup: Lookup,
        *,
        seeds: tuple[int, ...],
        known: dict[str, Job],
    ) -> tuple[list[Trial], int]:
        """Trials of a candidate on a task; jobs of searches under way go into `known`; the number still hidden."""
        if task.own_sizes:
            return [self.jobs.of_own_sizes(task, entry, seed) for seed in seeds], 0
        if task.recipe is None:  # nothing is trained: it is a probe of frozen features
            return [
                Trial(entry.name, task.name, s, self.jobs.probe(task, entry, s), transfers=(), rates=(), at_edge=False)
                for s in seeds
            ], 0
        trials, hidden = [], 0
        for seed in seeds:
            searcher = self._searcher(seed)
            rates, edge = self._rates(task, entry, searcher, lookup, known=known)
            if rates is None or doublings is None:
                named = seed == searcher or (rates is not None and seed in self._asked(task))  # its training is
                hidden += 1 if named else 2
                continue
            trials.append(self._trial(task, entry, seed, rates=rates, edge=edge, doublings=doublings))
        return trials, hidden

    def _trial(
        self, task: Task, entry: WeightsEntry, seed: int, *, rates: tuple[float, ...], edge: bool, doublings: int
    ) -> Trial:
        transfers = self.jobs.transfers(task, entry, seed, rates, doublings=doublings)
        tested = self.jobs.evaluate(task, entry, seed, transfers)
        return Trial(entry.name, task.name, seed, tested, transfers=transfers, rates=rates, at_edge=edge)

    def _search(self, task: Task, entry: WeightsEntry, seed: int, fold: int, *, lookup: Lookup) -> Search:
        """The rate of one fold, searched in the same way for every candidate."""
        recipe = task.recipe
        assert recipe
        if recipe.lr is not None:
            return Search(recipe.lr, False, ())
        return search_rate(task, recipe.rates, lambda lr: self.jobs.transfer(task, entry, seed, fold, lr=lr), lookup)
