"""The images of a pre-training: which, as what inputs, and what can be said against them before the first batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from headstart.batches.batch import NOT_TRAINED_ON
from headstart.batches.chips.batches import ChipBatches
from headstart.batches.chips.epochs import ChipLayout
from headstart.batches.chips.scales import Scale, scales_of
from headstart.batches.chips.small_objects import SmallObjects
from headstart.batches.label_batches import LabelBatches, LabelImages
from headstart.batches.label_source import LabelSource, label_source, with_examples
from headstart.data.annotations import Annotations
from headstart.data.classes import with_classes
from headstart.data.sizes import with_sizes
from headstart.errors import DataError
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.pretraining.noise import noisy_table
from headstart.pretraining.proposals import read_proposals
from headstart.progress import Progress, silent
from headstart.recipes.pretraining import PretrainingRecipe, builtin_names
from headstart.recipes.sampling import (
    ChipSampling,
    CropSampling,
    Sampling,
    ScaledSampling,
)
from headstart.recipes.settings import Supervision
from headstart.tasks.classify import TASK as CLASSIFY
from headstart.train.distributed import World
from headstart.train.loaders import BatchSource

VALIDATED = 1000
"""Validation images, at most: evenly spaced in the order of the table."""


@dataclass(frozen=True, eq=False)
class Images:
    """Training and validation images of one data set, as rows of the whole table and as tables of their own; sizes
    known where boxes are trained on. classes: of the boxes; none for labels."""

    table: Annotations
    rows: NDArray[np.int64]
    validation_rows: NDArray[np.int64]
    train: Annotations
    validation: Annotations | None
    classes: tuple[str, ...]


def chosen_images(
    table: Annotations,
    supervision: Supervision,
    splits: tuple[str, ...],
    validation: str | None,
    *,
    on_empty_class: str,
    progress: Progress,
    noise: float = 0.0,
    seed: int = 0,
) -> Images:
    """The images that `chosen_rows` names, as tables of their own. noise: see `headstart.pretraining.noise`.

    Raises DataError as it does, for data without that supervision, and for classes without examples, which
    `on_empty_class="skip"` leaves out.
    """
    _require_kind(table, supervision)
    rows, held_out = chosen_rows(table, supervision, splits, validation)
    if supervision == "labels":
        held_table = table.select(held_out) if len(held_out) else None
        noisy = noisy_table(table, rows, noise, seed)
        return Images(noisy, rows, held_out, noisy.select(rows), validation=held_table, classes=())
    told = lambda done, count: progress(done / count, f"reading sizes of images, {done}/{count}")  # noqa: E731
    train, held = with_sizes(table.select(rows), progress=told), with_sizes(table.select(held_out), progress=told)
    train, classes = _with_examples(noisy_table(train, np.arange(len(train)), noise, seed), on_empty_class)
    if held.box_classes != classes:
        held = with_classes(held, classes)
    return Images(table, rows, held_out, train, validation=held if len(held) else None, classes=classes)


def chosen_rows(
    table: Annotations, supervision: Supervision, splits: tuple[str, ...], validation: str | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the table to train on, of these splits (none: `train`, or all where there is no such split), and to
    evaluate on, at most `VALIDATED` of the validation split (None: `val`, where there is one; "": none).

    Raises DataError for splits that do not exist, and where nothing is left to train on.
    """
    present = sorted(set(table.splits.tolist()))
    splits = splits or (("train",) if "train" in present else tuple(present))
    held_out = validation if validation is not None else ("val" if "val" in present and "val" not in splits else "")
    for name in (*splits, *([held_out] if held_out else [])):
        if name not in present:
            raise DataError(
                f"{table.root}: it has no split {name!r}. It has: {', '.join(present)}. Choose with --split and --val."
            )
    if held_out and held_out in splits:
        raise DataError(
            f"{table.root}: {held_out!r} is trained on, so it cannot validate. Choose another --val, or "
            '--val "" for none.'
        )
    usable = table.boxes_known if supervision == "boxes" else np.ones(len(table), bool)
    rows = np.flatnonzero(np.isin(table.splits, splits) & usable)
    if supervision == "labels" and len(rows):
        rows = rows[label_source(table).known[rows]]
    if not len(rows):
        raise DataError(
            f"{table.root}: no image of {', '.join(splits)} has annotation to train on. Choose another --split."
        )
    held = np.flatnonzero((table.splits == held_out) & usable) if held_out else np.zeros(0, np.int64)
    spaced = np.unique(np.linspace(0, len(held) - 1, min(len(held), VALIDATED)).astype(int)) if len(held) else held
    return rows, held[spaced]


def _require_kind(table: Annotations, supervision: Supervision) -> None:
    if supervision == "boxes" and "detect" not in table.tasks:
        others = ", ".join(builtin_names("labels"))
        raise DataError(
            f"{table.root}: read as {table.format}, it has no boxes to train on. Use --supervision labels, or a recipe "
            f"for labels ({others})."
        )


def _with_examples(train: Annotations, on_empty_class: str) -> tuple[Annotations, tuple[str, ...]]:
    """The table, and its classes, that have a box to train on."""
    trained = (train.box_flags & NOT_TRAINED_ON) == 0
    counts = np.bincount(train.box_labels[trained], minlength=len(train.box_classes))
    empty = [name for name, count in zip(train.box_classes, counts, strict=True) if not count]
    if len(empty) == len(counts):
        raise DataError(
            f"{train.root}: none of {len(train)} training images has a box to train on. Choose another --split."
        )
    if not empty:
        return train, train.box_classes
    if on_empty_class == "error":
        more = f" and {len(empty) - 8} more" if len(empty) > 8 else ""
        raise DataError(
            f"{train.root}: {len(empty)} of {len(counts)} classes have no box to train on: "
            f"{', '.join(empty[:8])}{more}. Leave them out with --on-empty-class skip, or choose another "
            "--split."
        )
    classes = tuple(name for name in train.box_classes if name not in set(empty))
    return with_classes(train, classes), classes


def inference_scales(recipe: PretrainingRecipe) -> tuple[Scale, ...]:
    """At which a detector looks at whole images."""
    first = recipe.sampling.scales[:1] if isinstance(recipe.sampling, ScaledSampling) else ()
    return scales_of(recipe.inference or first)


def layout_of(sampling: ScaledSampling) -> ChipLayout:
    """Of the images of a training by boxes."""
    negatives = sampling.negatives if isinstance(sampling, ChipSampling) else 0
    return ChipLayout(sampling.layout, scales_of(sampling.scales), sampling.size, negatives)  # type: ignore[arg-type]


def chip_batches(
    images: Images, recipe: PretrainingRecipe, seed: int, folder: Path | None, *, proposals: Path | None = None
) -> ChipBatches:
    """Batches of a training by boxes. folder: for the chips of each epoch. proposals: a Parquet file."""
    training, sampling = recipe.training, recipe.sampling
    assert isinstance(sampling, ScaledSampling)
    proposed = read_proposals(proposals, images.train) if proposals else None
    small = sampling.small if isinstance(sampling, ChipSampling) else None
    return ChipBatches(
        with_sizes(images.train),
        layout_of(sampling),
        training.batch_size,
        seed,
        flip=training.flip,
        window=sampling.window,
        folder=folder,
        proposals=proposed,
        small=SmallObjects(small.below, small.repeats, small.copies, small.share) if small else None,
    )


def label_batches(images: Images, recipe: PretrainingRecipe, seed: int, on_empty_class: str) -> LabelBatches:
    """Batches of a training by labels."""
    training, sampling = recipe.training, recipe.sampling
    assert isinstance(sampling, CropSampling)
    return LabelBatches(
        images.table,
        images.rows,
        sampling.size,
        training.batch_size,
        seed=seed,
        flip=training.flip,
        least_area=sampling.least_area,
        without_examples=_without_examples(on_empty_class),
    )


def labels_of(images: Images, on_empty_class: str) -> LabelSource:
    """What is known of the images, with the classes that the training images show.

    Raises DataError for classes without examples, which `on_empty_class="skip"` leaves out.
    """
    return with_examples(label_source(images.table), images.rows, _without_examples(on_empty_class))


def _without_examples(on_empty_class: str) -> Literal["error", "leave_out"]:
    return "leave_out" if on_empty_class == "skip" else "error"


def score_labels(
    batches: LabelBatches,
    model: nn.Module,
    preprocessing: Preprocessing,
    rows: NDArray[np.int64],
    *,
    sampling: CropSampling,
    world: World,
) -> dict[str, float]:
    """Scores of a classifier on the images `rows` of the table; each process takes its share of them, none twice."""
    resize: Literal["crop", "stretch"] = "stretch" if sampling.least_area == 1 else "crop"
    every = LabelImages(batches.source, rows, sampling.size, resize)
    share = LabelImages(batches.source, every.rows[list(world.share_of(len(every)))], sampling.size, resize)
    predictions = CLASSIFY.predict(model, preprocessing, share, silent) if len(share) else {}
    tables = [table for table in world.gather(predictions.get("log_probabilities")) if table is not None]
    joined = np.empty((len(every), tables[0].shape[1]), np.float32)
    for rank, table in enumerate(tables):
        joined[rank :: world.size] = table
    return CLASSIFY.score([{"log_probabilities": joined}], [every], None, "")[0]


def updates_of(batches: BatchSource, epochs: float) -> int:
    """Updates that so many epochs of these batches make."""
    per_epoch = batches.per_epoch if isinstance(batches, ChipBatches) else batches.count / batches.batch_size
    return updates_in(per_epoch, epochs)


def updates_in(per_epoch: float, epochs: float) -> int:
    """Updates of so many epochs of so many batches; a part of an update is one."""
    return max(1, math.ceil(round(epochs * per_epoch, 9)))


def size_of(sampling: Sampling) -> int:
    """Longer side of the inputs, pixels, for the sizes of anchors."""
    if not isinstance(sampling, ScaledSampling) or isinstance(sampling, ChipSampling):
        return sampling.size
    first = sampling.scales[0]
    return int(first.limit or (first.value if first.kind != "factor" else first.value * sampling.size))


def facts_of(table: Annotations) -> dict[str, Any]:
    """What a data set is known by, whatever its place: digest of its annotation, and counts."""
    return {"name": table.root.name, "format": table.format, "fingerprint": table.fingerprint, "images": len(table)}
