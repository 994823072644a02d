"""From a study to its jobs: a pure function of the study and of what the store already holds.

It is asked again whenever a job ends. Jobs that depend on a choice not yet made (the best rate) appear once it can
be made, so resuming, extending and planning are the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from headstart.config.study import Study, Task, WeightsEntry
from headstart.recipes.schema import Recipe
from headstart.study.durations import duration
from headstart.study.jobs import Expansion, Job, Trial
from headstart.study.kinds import require_kinds
from headstart.study.origins import PIXELS_PER_SECOND, Origins
from headstart.study.planning.chains import collect, longer
from headstart.study.planning.once import once
from headstart.study.planning.own_sizes import own_sizes_trial
from headstart.study.search import Search, search_rate
from headstart.study.sets import Sets
from headstart.study.settings import (
    ActivationsSettings,
    CompositionSettings,
    EvaluateSettings,
    FeaturesSettings,
    NeighborsSettings,
    ProbeSettings,
    TransferPlace,
    TransferSettings,
)
from headstart.study.timing import timing_jobs
from headstart.study.why.pairs import Pairs
from headstart.tasks.possible_starts import require_starts
from headstart.train.devices import precision_on
from headstart.weights.cards import WeightsSpec, head_digest
from headstart.weights.starts import BEYOND, CopySettings, StartPlace, StartSettings

Lookup = Callable[[Job], dict[str, float | None] | None]
"""Metrics of a finished job, None while it is not finished."""


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
    remembered: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)
    """Jobs that were asked for before."""
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
    def pairs(self) -> Pairs:
        """The pairs of candidates that the study explains."""
        return Pairs(self.study, self.sets, self.start, self.device)

    def __post_init__(self) -> None:
        require_kinds(self.study)
        require_starts(self.study)

    def expand(self, lookup: Lookup) -> Expansion:
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
        explain = self._explain()
        pairs = self.pairs.of(trials, lookup, self._lost, bool(self.failed))
        hidden += pairs.hidden
        times = timing_jobs(self.origins, trials)
        made = [self.origins.job(name, seed) for name in self.study.pretraining for seed in self.study.seeds]
        explaining = [job for _, _, job in explain] + [job for pair in pairs.pairs for job in pair.jobs]
        for job in made + [t.evaluate for t in trials] + explaining + list(times.values()):
            collect(job, known)
        done = {key for key, job in known.items() if lookup(job) is not None}
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
        )

    def spec(self, entry: WeightsEntry) -> WeightsSpec:
        """Facts of a candidate that is not pre-trained by the study."""
        if entry.start == "random":
            return self.origins.spec(f"random:{self.origins.architecture(entry)[0]}")
        assert entry.uri
        return self.origins.spec(entry.uri)

    @once
    def start(
        self, entry: WeightsEntry, seed: int, early: bool = False
    ) -> tuple[StartSettings, dict[str, Job], StartPlace]:
        """How a job is told its starting weights: settings, inputs, and the place."""
        if entry.made_by:
            return self.origins.made_here(entry.made_by, seed, early)
        return self.origins.of_weights(self.spec(entry), seed)

    @once
    def copied(self, entry: WeightsEntry) -> CopySettings:
        """What its transfers copy."""
        if entry.start not in BEYOND:
            return CopySettings()
        head = "" if entry.made_by else head_digest(self.spec(entry))
        return CopySettings(entry.start, entry.class_rows, head)

    @once
    def is_given(self, entry: WeightsEntry) -> bool:
        """Whether its weights are the same for every seed: neither made by the study nor random."""
        return entry.made_by is None and self.spec(entry).kind != "random"

    def _doublings(self, task: Task, entries: list[WeightsEntry], lookup: Lookup, known: dict[str, Job]) -> int | None:
        """How often the trainings of a task go on for as many updates again, by its own rule and by `extended`; None
        while the rule waits for the first seed. What it waits for goes into `known`."""
        if task.recipe is None:
            return 0

        first = self.study.seeds[0]

        def transfers(entry: WeightsEntry, doublings: int) -> tuple[Job, ...] | None:
            rates, _ = self._rates(task, entry, first, lookup, known=known)
            if rates is not None:
                return self._transfers(task, entry, first, rates, doublings=doublings)
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

    def _transfers(
        self, task: Task, entry: WeightsEntry, seed: int, rates: tuple[float, ...], *, doublings: int
    ) -> tuple[Job, ...]:
        """One a fold."""
        first = [self.transfer(task, entry, seed, fold, lr=rate) for fold, rate in enumerate(rates)]
        return tuple(longer(job, doublings) for job in first)

    @once
    def _of_own_sizes(self, task: Task, entry: WeightsEntry, seed: int) -> Trial:
        """A trial whose images keep their sizes."""
        return own_sizes_trial(self.origins, task, entry, seed, begin=self.start(entry, seed))

    def _trials(
        self, task: Task, entry: WeightsEntry, doublings: int | None, lookup: Lookup, *, known: dict[str, Job]
    ) -> tuple[list[Trial], int]:
        """Trials of a candidate on a task; jobs of searches under way go into `known`; the number still hidden."""
        seeds = self.study.seeds
        if task.own_sizes:
            return [self._of_own_sizes(task, entry, seed) for seed in seeds], 0
        if task.recipe is None:  # nothing is trained: it is a probe of frozen features
            return [
                Trial(entry.name, task.name, s, self._probe(task, entry, s), transfers=(), rates=(), at_edge=False)
                for s in seeds
            ], 0
        trials, hidden = [], 0
        for seed in seeds:
            searcher = seed if self.study.search == "each" else seeds[0]
            rates, edge = self._rates(task, entry, searcher, lookup, known=known)
            if rates is None or doublings is None:
                hidden += 1 if seed == searcher else 2
                continue
            transfers = self._transfers(task, entry, seed, rates, doublings=doublings)
            trials.append(
                Trial(
                    entry.name,
                    task.name,
                    seed,
                    self._evaluate(task, entry, seed, transfers),
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
        return search_rate(task, recipe.rates, lambda lr: self.transfer(task, entry, seed, fold, lr=lr), lookup)

    @once
    def transfer(self, task: Task, entry: WeightsEntry, seed: int, fold: int, *, lr: float) -> Job:
        """Job that trains one task model."""
        weights, inputs, start = self.start(entry, seed)
        assert task.recipe
        settings = TransferSettings(
            weights=weights,
            copied=self.copied(entry),
            task=task.kind,
            recipe=self._recipe(task, lr, entry.times),
            seed=seed,
            limit=task.limit,
            protocol=task.protocol,
            resize=getattr(self.study.sets[task.train[fold]], "resize", "stretch"),
            threads=self.study.threads,
            device=self.device,
        )
        inputs = inputs | {"train": self.sets.job(task.train[fold], seed)}
        if task.val:
            inputs["val"] = self.sets.job(task.val[fold], seed)
        place = TransferPlace(start, self.sets.masks((task.val or task.train)[fold]))
        where = f", fold {fold + 1}" if len(task.train) > 1 else ""
        label = f"{task.name} from {entry.name}, seed {seed}{where}, rate {lr:.2g}"
        return Job(
            "transfer", settings, inputs, place, label=label, cost=self._train_cost(settings.recipe, task.train[fold])
        )

    @once
    def _evaluate(self, task: Task, entry: WeightsEntry, seed: int, transfers: tuple[Job, ...]) -> Job:
        inputs = {f"model{k}": job for k, job in enumerate(transfers)}
        inputs |= {f"test{k}": self.sets.job(name, seed) for k, name in enumerate(task.test)}
        settings = EvaluateSettings(
            task.kind, task.protocol, self.study.bootstrap, self.study.threads, device=self.device
        )
        cost = sum(self._pixels(name) for name in task.test) / (3 * PIXELS_PER_SECOND) + 2
        label = f"test {task.name} from {entry.name}, seed {seed}"
        return Job("evaluate", settings, inputs, self.sets.masks(task.test[0]), label=label, cost=cost)

    @once
    def features(self, entry: WeightsEntry, images: str, seed: int, early: bool = False, *, statistics: str) -> Job:
        """Pooled features of a set, with batch norms re-estimated on the set `statistics`; one job for all seeds where
        the weights are given."""
        weights, inputs, place = self.start(entry, seed, early)
        settings = FeaturesSettings(weights, self.study.threads, self.device)
        whose = "" if self.is_given(entry) and not self.sets.dealt([images]) else f", seed {seed}"
        label = f"features of {images} from {entry.name}{' (early)' if early else ''}{whose}"
        cost = self._pixels(images) / (3 * PIXELS_PER_SECOND)
        inputs = inputs | {"images": self.sets.job(images, seed), "statistics": self.sets.job(statistics, seed)}
        return Job("features", settings, inputs, place, label=label, cost=cost)

    def _probe(self, task: Task, entry: WeightsEntry, seed: int) -> Job:
        """One job for all seeds where the weights are given and no seed draws the training images: a probe draws only
        the split that its strength is chosen on, which is then that of the study's first seed."""
        inputs = {}
        seed, whose = self._drawn_by(task, [entry], seed)
        for k, (train, test) in enumerate(zip(task.train, task.test, strict=True)):
            inputs[f"train{k}"] = self.features(entry, train, seed, statistics=train)
            inputs[f"test{k}"] = self.features(entry, test, seed, statistics=train)
            for role, images in (("train", train), ("test", test)):
                inputs[f"{role}_images{k}"] = self.sets.job(images, seed)
        settings = ProbeSettings(seed, task.limit, self.study.bootstrap, self.study.threads)
        return Job("probe", settings, inputs, None, label=f"{task.name} from {entry.name}{whose}", cost=3.0)

    def _drawn_by(self, task: Task, entries: Iterable[WeightsEntry], seed: int) -> tuple[int, str]:
        """The seed that probes of these weights draw by, and how a label says it; the study's first where all weights
        are given and no seed draws the training images."""
        if task.limit is None and not self.sets.dealt(task.train) and all(map(self.is_given, entries)):
            return self.study.seeds[0], ""
        return seed, f", seed {seed}"

    def _explain(self) -> list[tuple[str, int, Job]]:
        explain = self.study.explain
        if explain is None:
            return []
        entries = {w.name: w for w in self.study.weights}
        roles = {"boxes": entries[explain.boxes], "labels": entries[explain.labels]}
        if explain.random:
            roles["random"] = entries[explain.random]
        drawn = self.study.bootstrap, self.study.threads
        jobs = []
        for seed in self.study.seeds:
            images = {"images": self.sets.job(explain.images, seed)}
            others = explain.statistics
            features = {
                role: self.features(entry, explain.images, seed, statistics=others) for role, entry in roles.items()
            }
            labels = roles["labels"]
            if labels.pretraining and self.study.pretraining[labels.pretraining].early:
                features["early"] = self.features(labels, explain.images, seed, early=True, statistics=others)
            label = f"neighbors{self._whose(roles.values(), seed)}"
            near = Job("neighbors", NeighborsSettings(*drawn), features | images, None, label=label, cost=8)
            jobs += [("neighbors", seed, near), *(("activations", seed, job) for job in self._activations(roles, seed))]
            if explain.probe:
                task = next(t for t in self.study.tasks if t.name == explain.probe)
                probes = {role: self._probe(task, roles[role], seed) for role in ("boxes", "labels")}
                composed = self._composition(task, [roles["boxes"], roles["labels"]], probes, seed)
                jobs.append(("composition", seed, composed))
        return jobs

    def _composition(self, task: Task, entries: list[WeightsEntry], probes: dict[str, Job], seed: int) -> Job:
        """Of two probes, one of which is fitted on fewer images besides: so their features are needed, too."""
        inputs = dict(probes)
        for role, of_role in probes.items():
            inputs |= {f"{role}_{part}": of_role.inputs[f"{part}0"] for part in ("train", "test")}
            inputs |= {"images": of_role.inputs["test_images0"], "train_images": of_role.inputs["train_images0"]}
        seed, whose = self._drawn_by(task, entries, seed)
        settings = CompositionSettings(seed, task.limit, self.study.bootstrap, self.study.threads)
        return Job("composition", settings, inputs, None, label=f"composition{whose}", cost=8)

    def _whose(self, entries: Iterable[WeightsEntry], seed: int) -> str:
        """The seed as a label says it; nothing where it changes nothing."""
        return "" if all(self.is_given(entry) for entry in entries) else f", seed {seed}"

    def _activations(self, roles: dict[str, WeightsEntry], seed: int) -> list[Job]:
        """One job; two where the control alone is random: what the seed does not change is then computed once."""
        arms = {role: entry for role, entry in roles.items() if role != "random"}
        if len(arms) < len(roles) and all(self.is_given(entry) for entry in arms.values()):
            return [self._maps(arms, seed), self._maps({"random": roles["random"]}, seed)]
        return [self._maps(roles, seed)]

    def _maps(self, roles: dict[str, WeightsEntry], seed: int) -> Job:
        assert self.study.explain
        weights: dict[str, StartSettings] = {}
        inputs: dict[str, Job] = {}
        places: dict[str, StartPlace] = {}
        for role, entry in roles.items():
            weights[role], made, places[role] = self.start(entry, seed)
            inputs |= {f"weights_{role}": job for job in made.values()}
        inputs["images"] = self.sets.job(self.study.explain.images, seed)
        inputs["statistics"] = self.sets.job(self.study.explain.statistics, seed)
        of = "" if len(roles) > 1 else " of random values"
        label = f"activation maps{of}{self._whose(roles.values(), seed)}"
        settings = ActivationsSettings(weights, self.study.bootstrap, self.study.threads, device=self.device)
        return Job("activations", settings, inputs, places, label=label, cost=5 * len(roles))

    def _pixels(self, name: str) -> float:
        return self.sets.count(name) * self.sets.pixels(name)

    @once
    def _recipe(self, task: Task, lr: float, times: float) -> Recipe:
        """The recipe as a job is told it: with the precision that it has on this kind of device."""
        recipe = task.recipe
        assert recipe
        precision = precision_on(self.device, recipe.precision)
        updates = round(times * recipe.updates)
        return recipe.model_copy(update={"precision": precision, "lr": lr, "rates": (), "updates": updates})

    def _train_cost(self, recipe: Recipe, images: str) -> float:
        return recipe.updates * recipe.batch_size * self.sets.pixels(images) / PIXELS_PER_SECOND
