"""The pre-trainings of a study as jobs: one a seed, from random values, from given weights, or from another one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.config.pretraining import Pretraining
from headstart.config.sets import FolderSet, TableSet, WorldSet
from headstart.config.study import Study, WeightsEntry
from headstart.models.backbones.naming import trained_by
from headstart.places.paths import absolute
from headstart.pretraining.settings import (
    PretrainPlace,
    PretrainSettings,
    ProposalsSettings,
    ResizeSettings,
    TableSettings,
)
from headstart.readers.place import DataPlace
from headstart.recipes.pretraining import PretrainingRecipe
from headstart.recipes.sampling import FixedSampling, ScaledSampling, ScaleSettings
from headstart.study.jobs import Job
from headstart.study.planning.once import once
from headstart.study.planning.speeds import Speeds, Training
from headstart.study.sets import Sets
from headstart.train.devices import precision_on
from headstart.weights.cards import WeightsSpec, file_digest, resolve
from headstart.weights.starts import StartPlace, StartSettings

PIXELS_PER_SECOND = 2.3e6
"""Pixels a small network is trained on in a CPU second, for the first estimate of the time left."""
INPUTS_PER_IMAGE = {1: 1.0, 2: 2.0, 3: 5.0}
"""Chips of an image by the number of scales, for the same (4.55 of images of COCO at three scales)."""


Begin = tuple[StartSettings, dict[str, Job], StartPlace]
"""Where a training starts: settings, the job that makes it where there is one, and the place."""


@dataclass
class Origins:
    """The pre-trainings of one study."""

    study: Study
    base: Path
    sets: Sets
    device: str = "cpu"
    """Kind of device that networks run on."""
    offline: bool = False
    devices: tuple[str, ...] = ()
    """GPUs of the processes that make one pre-training, where a job may have several."""
    speeds: Speeds | None = None
    """What was measured of such trainings on this machine."""
    remembered: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)
    """Jobs that were asked for before."""
    _specs: dict[str, WeightsSpec] = field(default_factory=dict)

    def spec(self, uri: str) -> WeightsSpec:
        """What a URI means, asked once."""
        if uri not in self._specs:
            self._specs[uri] = resolve(uri, self.base, offline=self.offline)
        return self._specs[uri]

    def start_uri(self, name: str) -> str:
        """URI of the weights that a pre-training starts from; "" where it starts from another one of the study."""
        wanted = self.study.pretraining[name]
        if wanted.start in self.study.pretraining:
            return ""
        uri = wanted.start or wanted.recipe.weights
        return uri or f"random:{self.study.backbone or wanted.recipe.backbone}"

    @once
    def backbone(self, name: str) -> str:
        """The backbone as the pre-training of this name leaves it: with what its recipe changes."""
        wanted = self.study.pretraining[name]
        uri, training = self.start_uri(name), wanted.recipe.recipe(1)
        before = self.spec(uri).backbone if uri else self.backbone(wanted.start)
        return trained_by(training, before, f"pretraining.{name}.recipe")

    def architecture(self, entry: WeightsEntry) -> tuple[str, str]:
        """Backbone of a candidate as it is built, and the digest of a user's own code, "" for all others."""
        if entry.uri:
            spec = self.spec(entry.uri)
            return spec.backbone, spec.backbone_digest
        name = entry.pretraining or ""
        backbone = self.backbone(name)
        while not (uri := self.start_uri(name)):
            name = self.study.pretraining[name].start
        return backbone, self.spec(uri).backbone_digest

    def start(self, name: str, seed: int) -> Begin:
        """Where a pre-training starts: settings, the job that makes it where there is one, and the place."""
        uri = self.start_uri(name)
        if not uri:
            return StartSettings(), {"weights": self.job(self.study.pretraining[name].start, seed)}, self._place(None)
        return self.of_weights(self.spec(uri), seed)

    def of_weights(self, spec: WeightsSpec, seed: int) -> Begin:
        """The same for weights that the study does not make."""
        settings = StartSettings(spec.identity(), seed=seed if spec.kind == "random" else None)
        return settings, {}, self._place(spec)

    def made_here(self, name: str, seed: int, early: bool = False) -> Begin:
        """The same for weights that the pre-training of this name makes."""
        made = {"weights": self.job(name, seed)}
        return StartSettings(part="early" if early else "backbone"), made, self._place(None)

    def _place(self, spec: WeightsSpec | None) -> StartPlace:
        return StartPlace(str(self.base), spec, self.offline)

    @once
    def job(self, name: str, seed: int) -> Job:
        """Job of one origin."""
        wanted = self.study.pretraining[name]
        self.backbone(name)  # a backbone that this recipe cannot change is a fault now, not after hours
        label = f"pre-train {name}, seed {seed}"
        return self.trained(wanted, name, seed, self.start(name, seed), kind="pretrain", label=label)

    def trained(self, wanted: Pretraining, name: str, seed: int, begin: Begin, *, kind: str, label: str) -> Job:
        """A training of such images by such a recipe, whatever it is for. name: what its weights are called."""
        start, inputs, where = begin
        table, data, images = self._images(wanted, seed)
        proposals = Path(absolute(wanted.proposals, self.base)) if wanted.proposals else None
        place = PretrainPlace(
            name=name,
            data_name=self._data_name(wanted),
            start=where,
            data=data,
            proposals=proposals,
            loaders=wanted.loaders,
            processes=wanted.processes,
            devices=self.devices,
        )
        inputs = inputs | images
        cost, recipe = self._cost(wanted), self._recipe(wanted)
        if kind == "pretrain":
            cost *= self._slower(recipe, name)
        if wanted.recipe.negatives and proposals is None:
            proposing = ProposalsSettings(
                recipe, start, table, seed, threads=self.study.threads, device=self.device, noise=wanted.noise
            )
            said = f"proposals for {label.removeprefix('pre-train ')}"
            inputs["proposals"] = Job("proposals", proposing, dict(inputs), place, label=said, cost=cost / 3)
        settings = PretrainSettings(
            recipe=recipe,
            weights=start,
            table=table,
            seed=seed,
            threads=self.study.threads,
            device=self.device,
            noise=wanted.noise,
            proposals=file_digest(proposals) if proposals else "",
            early=wanted.early,
        )
        return Job(kind, settings, inputs, place, label=label, cost=cost)

    def _recipe(self, wanted: Pretraining) -> PretrainingRecipe:
        """The recipe as a job is told it: with the precision that it has on this kind of device."""
        training = wanted.recipe.training
        precision = precision_on(self.device, training.precision)
        return wanted.recipe.model_copy(update={"training": training.model_copy(update={"precision": precision})})

    def _images(self, wanted: Pretraining, seed: int) -> tuple[TableSettings | None, DataPlace | None, dict[str, Job]]:
        """Where the images come from: a table with its place, or jobs that make them; drawn ones are the seed's own."""
        images, sampling = self.study.sets[wanted.images], wanted.recipe.sampling
        if not isinstance(images, TableSet):
            jobs = {"images": self.sets.job(wanted.images, seed, for_origin=True)}
            if wanted.validation:
                jobs["validation"] = self.sets.job(wanted.validation, seed)
            return None, None, jobs
        table, place = self.sets.annotations(images), self.sets.place(images)
        settings = TableSettings(table.fingerprint, images.splits, wanted.validation, wanted.on_empty_class)
        if not isinstance(sampling, FixedSampling):
            return settings, place, {}
        jobs = {}
        parts = ["train", *(["validation"] if self._validates(settings, table.splits.tolist()) else [])]
        for part in parts:
            resized = ResizeSettings(settings, part, wanted.recipe.supervision, sampling.size)  # type: ignore[arg-type]
            label = f"resize {wanted.images} ({part})"
            jobs["images" if part == "train" else part] = Job(
                "resize", resized, {}, place, label=label, cost=len(table) / 60
            )
        return None, None, jobs

    @staticmethod
    def _validates(settings: TableSettings, splits: list[str]) -> bool:
        if settings.validation is not None:
            return bool(settings.validation)
        return "val" in splits and "val" not in settings.splits

    def _data_name(self, wanted: Pretraining) -> str:
        images = self.study.sets[wanted.images]
        if isinstance(images, WorldSet):
            return f"drawn {images.world} classes"
        return Path(images.path).name

    def _cost(self, wanted: Pretraining) -> float:
        """Expected CPU seconds."""
        sampling = wanted.recipe.sampling
        inputs = wanted.recipe.epochs * self.sets.count(wanted.images)
        pixels = float(sampling.size**2)
        if isinstance(sampling, ScaledSampling) and sampling.layout == "chips":
            inputs *= INPUTS_PER_IMAGE.get(len(sampling.scales), 5.0)
        elif isinstance(sampling, ScaledSampling):
            pixels = sum(pixels_of(scale) or pixels for scale in sampling.scales)
        return inputs * pixels / PIXELS_PER_SECOND

    def _slower(self, recipe: PretrainingRecipe, name: str) -> float:
        """Measured seconds of a pre-training for each that is guessed; 1 where nothing was measured."""
        training, pixels = recipe.recipe(1), float(recipe.sampling.size**2)
        uri, task = self.start_uri(name), "classify" if recipe.supervision == "labels" else "detect"
        if self.speeds is None or not uri:
            return 1.0
        spec = self.spec(uri)
        found = self.speeds.of(Training(spec.backbone, spec.backbone_digest, task, training, pixels))
        return found.update * PIXELS_PER_SECOND / (training.batch_size * pixels) if found else 1.0

    def prepared(self, name: str) -> bool:
        """Whether the images of a pre-training are prepared ones of this study."""
        return isinstance(self.study.sets[self.study.pretraining[name].images], FolderSet | WorldSet)


def pixels_of(scale: ScaleSettings) -> float:
    """Pixels of a photograph of 4 x 3 at a scale, about; 0 where that depends on the photograph's own size."""
    if scale.kind == "factor":
        return 0.0
    shorter = scale.value if scale.kind == "resolution" else 0.75 * scale.value
    return shorter**2 * 4 / 3
