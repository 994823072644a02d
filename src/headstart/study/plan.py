"""From a study to its jobs: a pure function of the study and of what the store already holds.

It is asked again whenever a job ends. Jobs that depend on a choice not yet made (the best rate) appear once it can
be made, so resuming, extending and planning are the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from headstart.config.study import Study, Task, WeightsEntry
from headstart.study.durations import duration
from headstart.study.jobs import Expansion, Job, Trial
from headstart.study.kinds import require_kinds
from headstart.study.origins import Origins
from headstart.study.planning.chains import collect
from headstart.study.planning.explaining import Explaining
from headstart.study.planning.making import JobMaker
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
    def origins(self) -> Origins:
        """The study's own pre-trainings."""
        return Origins(self.study, self.base, self.sets, self.device, offline=self.offline)

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
        hidden = 0
        for task in self.study.tasks:
            entries = [entry for entry in self.study.weights if not task.only or entry.name in task.only]
            doublings = self._doublings(task, entries, lookup, known)
            for entry in entries:
                now, later = self._trials(task, entry, doublings, lookup, known=known)
                trials += now
                hidden += later
        explain = Explaining(self.jobs).jobs()
        pairs = self.pairs.of(trials, lookup, self._lost, bool(self.failed))
        hidden += pairs.hidden
        times = timing_jobs(self.origins, trials)
        made = [self.origins.job(name, seed) for name in self.study.pretraining for seed in self.study.seeds]
        explaining = [job for _, _, job in explain] + [job for pair in pairs.pairs for job in pair.jobs]
        for job in made + [t.evaluate for t in trials] + explaining + list(times.values()):
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
            times=times,
            hidden=hidden,
            done=frozenset(done),
            again=frozenset(known[key].name for key in lacking),
        )

    def _doublings(self, task: Task, entries: list[WeightsEntry], lookup: Lookup, known: dict[str, Job]) -> int | None:
        """How often the trainings of a task go on for as many updates again, by its own rule and by `extended`; None
        while the rule waits for the first seed. What it waits for goes into `known`."""
        if task.recipe is None:
            return 0

        first = self.study.seeds[0]

        def transfers(entry: WeightsEntry, doublings: int) -> tuple[Job, ...] | None:
            rates, _ = self._rates(task, entry, first, lookup, known=known)
            if rates is not None:
                return self.jobs.transfers(task, entry, first, rates, doublings=doublings)
            searches = [self._search(task, entry, first, fold, lookup=lookup) for fold in range(len(task.train))]
            return () if any(self._lost(job) for search in searches for job in search.jobs) else None

        arms = [partial(transfers, entry) for entry in entries]
        found = duration(task, arms, lookup, margin=self.study.margin, lost=self._lost)
        for job in found.jobs:
            collect(job, known)
        return None if found.doublings is None else found.doublings + self.extended.get(task.name, 0)

    def _lost(self, job: Job) -> bool:
        """Whether a job failed, or one that it needs."""
        return bool(self.failed) and (job.key in self.failed or any(map(self._lost, job.inputs.values())))

    def _rates(
        self, task: Task, entry: WeightsEntry, seed: int, lookup: Lookup, *, known: dict[str, Job]
    ) -> tuple[tuple[float, ...] | None, bool]:
        """The rate of each fold (None while they are searched), and whether one is at the edge of its search."""
        searches = [self._search(task, entry, seed, fold, lookup=lookup) for fold in range(len(task.train))]
        for job in [job for s in searches for job in s.jobs]:
            collect(job, known)
        rates = tuple(s.rate for s in searches if s.rate is not None)
        return (rates if len(rates) == len(searches) else None), any(s.at_edge for s in searches)

    def _trials(
        self, task: Task, entry: WeightsEntry, doublings: int | None, lookup: Lookup, *, known: dict[str, Job]
    ) -> tuple[list[Trial], int]:
        """Trials of a candidate on a task; jobs of searches under way go into `known`; the number still hidden."""
        seeds = self.study.seeds
        if task.own_sizes:
            return [self.jobs.of_own_sizes(task, entry, seed) for seed in seeds], 0
        if task.recipe is None:  # nothing is trained: it is a probe of frozen features
            return [
                Trial(entry.name, task.name, s, self.jobs.probe(task, entry, s), transfers=(), rates=(), at_edge=False)
                for s in seeds
            ], 0
        trials, hidden = [], 0
        for seed in seeds:
            searcher = seed if self.study.search == "each" else seeds[0]
            rates, edge = self._rates(task, entry, searcher, lookup, known=known)
            if rates is None or doublings is None:
                hidden += 1 if seed == searcher else 2
                continue
            transfers = self.jobs.transfers(task, entry, seed, rates, doublings=doublings)
            trials.append(
                Trial(
                    entry.name,
                    task.name,
                    seed,
                    self.jobs.evaluate(task, entry, seed, transfers),
                    transfers=transfers,
                    rates=rates,
                    at_edge=edge,
                )
            )
        return trials, hidden

    def _search(self, task: Task, entry: WeightsEntry, seed: int, fold: int, *, lookup: Lookup) -> Search:
        """The rate of one fold, searched in the same way for every candidate."""
        recipe = task.recipe
        assert recipe
        if recipe.lr is not None:
            return Search(recipe.lr, False, ())
        return search_rate(task, recipe.rates, lambda lr: self.jobs.transfer(task, entry, seed, fold, lr=lr), lookup)
