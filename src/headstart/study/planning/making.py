"""Makes the jobs of a study's trials, each from the study alone: what it depends on, what it needs, what it costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from headstart.config.sets import FolderSet, TableSet
from headstart.config.study import Study, Task, WeightsEntry
from headstart.places.speeds import Speed
from headstart.recipes.schema import Recipe
from headstart.study.jobs import Job, Trial
from headstart.study.origins import PIXELS_PER_SECOND, Origins
from headstart.study.planning.chains import longer
from headstart.study.planning.once import once
from headstart.study.planning.own_sizes import own_sizes_trial
from headstart.study.planning.speeds import Training
from headstart.study.planning.whole import recipe_of_candidate, require_backbone
from headstart.study.sets import Sets
from headstart.study.settings import (
    EvaluateSettings,
    FeaturesSettings,
    ProbeSettings,
    ScreenPlace,
    ScreenSettings,
    TransferPlace,
    TransferSettings,
)
from headstart.train.devices import precision_on
from headstart.weights.cards import WeightsSpec, head_digest
from headstart.weights.detectors.whole import is_whole
from headstart.weights.starts import BEYOND, CopySettings, StartPlace, StartSettings

SCORING = 2.0
"""Seconds that the scores of a trial and their resampling are guessed to take."""
SCORES, MOST_HELD_OUT = 3, 200
"""How often a training is scored on held-out images, and how many these are at most (`docs/converged.md`)."""


@dataclass
class JobMaker:
    """Knows nothing of what is finished, and makes each job once."""

    study: Study
    sets: Sets
    origins: Origins
    device: str
    """Kind of device that networks run on: "cpu", "cuda"."""
    remembered: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)
    """Jobs that were asked for before."""

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
        if entry.uri and entry.start != "random" and is_whole(self.spec(entry).backbone):
            return CopySettings("detector")
        if entry.start not in BEYOND:
            return CopySettings()
        head = "" if entry.made_by else head_digest(self.spec(entry))
        return CopySettings(entry.start, entry.class_rows, head)

    @once
    def is_given(self, entry: WeightsEntry) -> bool:
        """Whether its weights are the same for every seed: neither made by the study nor random."""
        return entry.made_by is None and self.spec(entry).kind != "random"

    def transfers(
        self, task: Task, entry: WeightsEntry, seed: int, rates: tuple[float, ...], *, doublings: int
    ) -> tuple[Job, ...]:
        """One a fold."""
        first = [self.transfer(task, entry, seed, fold, lr=rate) for fold, rate in enumerate(rates)]
        return tuple(longer(job, doublings) for job in first)

    @once
    def of_own_sizes(self, task: Task, entry: WeightsEntry, seed: int) -> Trial:
        """A trial whose images keep their sizes."""
        return own_sizes_trial(self.origins, task, entry, seed, begin=self.start(entry, seed))

    @once
    def transfer(self, task: Task, entry: WeightsEntry, seed: int, fold: int, *, lr: float) -> Job:
        """Job that trains one task model."""
        weights, inputs, start = self.start(entry, seed)
        assert task.recipe
        settings = TransferSettings(
            weights=weights,
            copied=self.copied(entry),
            task=task.kind,
            recipe=self._recipe(task, entry, lr),
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
        cost = self._train_cost(task, entry, settings.recipe, fold)
        return Job("transfer", settings, inputs, place, label=label, cost=cost)

    @once
    def evaluate(self, task: Task, entry: WeightsEntry, seed: int, transfers: tuple[Job, ...]) -> Job:
        inputs = {f"model{k}": job for k, job in enumerate(transfers)}
        inputs |= {f"test{k}": self.sets.job(name, seed) for k, name in enumerate(task.test)}
        settings = EvaluateSettings(
            task.kind,
            task.protocol,
            self.study.bootstrap,
            self.study.threads,
            device=self.device,
            inference=task.inference,
        )
        cost = sum(self._test_cost(task, entry, name) for name in task.test)
        label = f"test {task.name} from {entry.name}, seed {seed}"
        return Job("evaluate", settings, inputs, self.sets.masks(task.test[0]), label=label, cost=cost)

    @once
    def features(self, entry: WeightsEntry, images: str, seed: int, early: bool = False, *, statistics: str) -> Job:
        """Pooled features of a set, with batch norms re-estimated on the set `statistics`; one job for all seeds where
        the weights are given."""
        weights, inputs, place = self.start(entry, seed, early)
        require_backbone(entry.name, self.origins.architecture(entry)[0])
        settings = FeaturesSettings(weights, self.study.threads, self.device)
        whose = "" if self.is_given(entry) and not self.sets.dealt([images]) else f", seed {seed}"
        label = f"features of {images} from {entry.name}{' (early)' if early else ''}{whose}"
        cost = self._pixels(images) / (3 * PIXELS_PER_SECOND)
        inputs = inputs | {"images": self.sets.job(images, seed), "statistics": self.sets.job(statistics, seed)}
        return Job("features", settings, inputs, place, label=label, cost=cost)

    @once
    def screen(self, entry: WeightsEntry) -> Job:
        """A look at a candidate without any training."""
        wanted, seed = self.study.screen, self.study.seeds[0]
        assert wanted
        images = self.study.sets[wanted.images]
        assert isinstance(images, FolderSet)
        weights, inputs, start = self.start(entry, seed)
        require_backbone(entry.name, self.origins.architecture(entry)[0])
        settings = ScreenSettings(
            weights=weights,
            data=self.sets.annotations(images).fingerprint,
            task=images.task,
            most=wanted.most,
            size_hw=images.size_hw,
            resize=images.resize,
            on_bad_image=images.on_bad_image,
            seed=seed,
            threads=self.study.threads,
            device=self.device,
        )
        count = min(wanted.most, self.sets.count(wanted.images))
        cost = count / 60 + count * self.sets.pixels(wanted.images) / (3 * PIXELS_PER_SECOND) + 2
        place = ScreenPlace(start, self.sets.place(images))
        return Job("screen", settings, inputs, place, label=f"screen {entry.name}", cost=cost)

    def probe(self, task: Task, entry: WeightsEntry, seed: int) -> Job:
        """One job for all seeds where the weights are given and no seed draws training images: a probe draws only
        the split that its strength is chosen on, which is then that of the study's first seed."""
        inputs = {}
        seed, whose = self.drawn_by(task, [entry], seed)
        for k, (train, test) in enumerate(zip(task.train, task.test, strict=True)):
            inputs[f"train{k}"] = self.features(entry, train, seed, statistics=train)
            inputs[f"test{k}"] = self.features(entry, test, seed, statistics=train)
            for role, images in (("train", train), ("test", test)):
                inputs[f"{role}_images{k}"] = self.sets.job(images, seed)
        settings = ProbeSettings(seed, task.limit, self.study.bootstrap, self.study.threads, task.further)
        label = f"{task.name} from {entry.name}{whose}"
        return Job("probe", settings, inputs, None, label=label, cost=30.0 if task.further else 3.0)

    def drawn_by(self, task: Task, entries: Iterable[WeightsEntry], seed: int) -> tuple[int, str]:
        """The seed that probes of these weights draw by, and how a label says it; the study's first where all weights
        are given and no seed draws the training images."""
        draws = task.limit is not None or (task.further is not None and bool(task.further.per_class))
        if not draws and not self.sets.dealt(task.train) and all(map(self.is_given, entries)):
            return self.study.seeds[0], ""
        return seed, f", seed {seed}"

    def whose(self, entries: Iterable[WeightsEntry], seed: int) -> str:
        """The seed as a label says it; nothing where it changes nothing."""
        return "" if all(self.is_given(entry) for entry in entries) else f", seed {seed}"

    def _pixels(self, name: str) -> float:
        return self.sets.count(name) * self.sets.pixels(name)

    @once
    def _recipe(self, task: Task, entry: WeightsEntry, lr: float) -> Recipe:
        """The recipe as a job is told it: with the precision that it has on this kind of device, and of a whole
        detector with what its authors say."""
        recipe = recipe_of_candidate(task, entry.name, self.origins.architecture(entry)[0])
        precision = precision_on(self.device, recipe.precision)
        updates = round(entry.times * recipe.updates)
        return recipe.model_copy(update={"precision": precision, "lr": lr, "rates": (), "updates": updates})

    def _speed(self, task: Task, entry: WeightsEntry, images: str) -> Speed | None:
        """Of the candidate's network in this task, where it was measured."""
        recipe, speeds = task.recipe, self.origins.speeds
        if recipe is None or speeds is None:
            return None
        recipe = recipe_of_candidate(task, entry.name, self.origins.architecture(entry)[0])
        recipe = recipe.model_copy(update={"precision": precision_on(self.device, recipe.precision)})
        pixels = float(self.sets.pixels(images))
        backbone, digest = self.origins.architecture(entry)
        bootstrap, classes = self.study.bootstrap, self.sets.classes(images)
        return speeds.of(Training(backbone, digest, task.kind, recipe, pixels, task.protocol, bootstrap, classes))

    def _train_cost(self, task: Task, entry: WeightsEntry, recipe: Recipe, fold: int) -> float:
        """Expected seconds, with the scores of held-out images on the way where the network was measured."""
        images = task.train[fold]
        speed = self._speed(task, entry, images)
        if speed is None:
            pixels = getattr(recipe, "crop", 0) ** 2 or self.sets.pixels(images)
            return recipe.updates * recipe.batch_size * pixels / PIXELS_PER_SECOND
        held_out = self.sets.count(task.val[fold]) if task.val else min(MOST_HELD_OUT, self.sets.count(images) // 5)
        return recipe.updates * speed.update + SCORES * held_out * speed.image

    def _looks(self, task: Task, images: str) -> float:
        """How often the network sees each test image."""
        tested = self.study.sets[images]
        if task.inference is None or isinstance(tested, TableSet):
            return 1.0
        return task.inference.looks(tested.size_hw if isinstance(tested, FolderSet) else (tested.size, tested.size))

    def _test_cost(self, task: Task, entry: WeightsEntry, images: str) -> float:
        speed, looks = self._speed(task, entry, task.train[0]), self._looks(task, images)
        if speed is None:
            return looks * self._pixels(images) / (3 * PIXELS_PER_SECOND) + SCORING / len(task.test)
        return self.sets.count(images) * (looks * speed.image + speed.score)
