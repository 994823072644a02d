"""What a pre-training trains on and is evaluated on, whatever its images and its layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.batches.image_tables import table_of
from headstart.batches.label_batches import LabelBatches
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.names import is_of_images
from headstart.pretraining import images as chosen
from headstart.pretraining.noise import noisy_images
from headstart.pretraining.settings import PretrainPlace, PretrainSettings, ProposalsSettings, TableSettings
from headstart.progress import Progress, silent
from headstart.recipes.pretraining import PretrainingRecipe
from headstart.recipes.sampling import CropSampling, FixedSampling
from headstart.tasks.table import trained_task
from headstart.tasks.whole_images import detect_images, score_images
from headstart.train.distributed import World
from headstart.train.loaders import BatchSource

KINDS = {"boxes": "detect", "labels": "classify"}
"""The task that each supervision trains."""
PROTOCOL = "voc-area"
"""By which checkpoints by boxes are compared."""
REPORTED = trained_task("detect").ranked_by(PROTOCOL)


@dataclass(frozen=True, eq=False)
class Source:
    """Batches, and all that is known of the images before the first one."""

    recipe: PretrainingRecipe
    batches: BatchSource
    counted: BatchSource
    """Whose epochs the recipe counts: the batches themselves, or those of the recipe that this one stands in for."""
    classes: tuple[str, ...]
    size_hw: tuple[int, int]
    """Of the inputs, for the sizes of anchors."""
    images: chosen.Images | None = None
    """Of a table; None for the layout `fixed`."""
    validation: ImageSet | None = None
    """Of the layout `fixed`."""

    @property
    def kind(self) -> str:
        """Of the task that is trained."""
        return KINDS[self.recipe.supervision]

    @property
    def several(self) -> bool:
        """Whether a classifier's images may show several classes."""
        if isinstance(self.batches, LabelBatches):
            return self.batches.source.several
        return isinstance(self.batches, Batches) and self.batches.images.label_table is not None

    @property
    def updates(self) -> int:
        """Of the whole training."""
        return chosen.updates_of(self.counted, self.recipe.epochs)

    def evaluate(
        self, model: nn.Module, preprocessing: Preprocessing, world: World, progress: Progress = silent
    ) -> dict[str, float]:
        """Scores on the validation images; {} where there are none."""
        model.eval()
        if self.validation is not None:
            task = trained_task(self.kind)
            found = task.predict(model, preprocessing, self.validation, progress)
            scores, _ = task.score([found], [self.validation], None, PROTOCOL)
            return {name: value for name, value in scores.items() if name in REPORTED or is_of_images(name)}
        if self.images is None or self.images.validation is None:
            return {}
        if self.recipe.supervision == "labels":
            sampling = self.recipe.sampling
            assert isinstance(self.batches, LabelBatches) and isinstance(sampling, CropSampling)
            rows = self.images.validation_rows
            return chosen.score_labels(self.batches, model, preprocessing, rows, sampling=sampling, world=world)
        scales = chosen.inference_scales(self.recipe)
        found = detect_images(model, preprocessing, self.images.validation, scales, world=world, progress=progress)
        scores = score_images(self.images.validation, found, PROTOCOL)
        return {name: scores[name] for name in REPORTED}


def source_of(
    settings: ProposalsSettings,
    place: PretrainPlace,
    inputs: dict[str, Path],
    chips: Path | None,
    *,
    progress: Progress,
) -> Source:
    """Open the images and lay the first epoch. chips: folder for the chips of each epoch.

    Raises DataError and UsageError for what cannot be trained on.
    """
    recipe = settings.recipe
    if isinstance(recipe.sampling, FixedSampling):
        return _fixed(settings, inputs, recipe.sampling)
    wanted = settings.table or TableSettings("", validation="")
    table = place.data.open() if place.data else table_of(inputs["images"])
    images = chosen.chosen_images(
        table,
        recipe.supervision,
        wanted.splits,
        wanted.validation,
        on_empty_class=wanted.on_empty_class,
        progress=progress,
        noise=settings.noise,
        seed=settings.seed,
    )
    side = chosen.size_of(recipe.sampling)
    if recipe.supervision == "boxes":
        proposals = inputs["proposals"] / "proposals.parquet" if "proposals" in inputs else None
        if isinstance(settings, PretrainSettings):
            proposals = place.proposals or proposals
        batches = chosen.chip_batches(images, recipe, settings.seed, chips, proposals=proposals)
        return Source(recipe, batches, batches, images.classes, size_hw=(side, side), images=images)
    labelled = chosen.label_batches(images, recipe, settings.seed, wanted.on_empty_class)
    counted: BatchSource = labelled
    if recipe.budget:  # as many updates as these chips make
        boxes = recipe.model_copy(update={"sampling": recipe.budget})
        counted = chosen.chip_batches(images, boxes, settings.seed, None)
    return Source(recipe, labelled, counted, labelled.source.classes, size_hw=(side, side), images=images)


def _fixed(settings: ProposalsSettings, inputs: dict[str, Path], sampling: FixedSampling) -> Source:
    images = noisy_images(ImageSet.open(inputs["images"]), settings.noise, settings.seed)
    training = settings.recipe.training
    batches = Batches(images, training.batch_size, settings.seed, training.flip, quarter_turns=sampling.quarter_turns)
    validation = ImageSet.open(inputs["validation"]) if "validation" in inputs else None
    classes: Any = trained_task(KINDS[settings.recipe.supervision]).classes_of(images)
    size_hw = (int(images.images.shape[1]), int(images.images.shape[2]))
    names = tuple(map(str, np.asarray(classes)))
    return Source(settings.recipe, batches, batches, names, size_hw=size_hw, images=None, validation=validation)
