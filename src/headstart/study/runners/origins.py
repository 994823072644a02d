"""Jobs of pre-trainings: images brought to one size, proposals, and the pre-training itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from headstart.pretraining.settings import PretrainPlace, PretrainSettings, ProposalsSettings, ResizeSettings
from headstart.progress import Progress
from headstart.readers.place import DataPlace
from headstart.study.runners.shared import Inputs, Metrics, resume_folder


def pretrain(
    settings: PretrainSettings, place: PretrainPlace, inputs: Inputs, out: Path, progress: Progress
) -> Metrics:
    """One origin; see `headstart.pretraining.training.pretrain`."""
    from headstart.pretraining import training

    resume_folder(out)
    return training.pretrain(settings, place, inputs, out, progress)


def proposals(
    settings: ProposalsSettings, place: PretrainPlace, inputs: Inputs, out: Path, progress: Progress
) -> Metrics:
    """Proposals for negative chips; see `headstart.pretraining.training.propose`."""
    from headstart.pretraining import training

    resume_folder(out)
    return training.propose(settings, place, inputs, out, progress)


def resize(settings: ResizeSettings, place: DataPlace, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Images of a table at one size, for the layout `fixed`: with their boxes, or with labels by the rule of
    `headstart.batches.label_source`."""
    import numpy as np

    from headstart.batches.image_sets import make_image_set
    from headstart.pretraining.images import chosen_images, labels_of

    wanted = settings.table
    images = chosen_images(
        place.open(),
        settings.supervision,
        wanted.splits,
        wanted.validation,
        on_empty_class=wanted.on_empty_class,
        progress=progress,
    )
    write = partial(make_image_set, size_hw=(settings.size, settings.size), resize="stretch", out=out)
    training = settings.part == "train"
    if settings.supervision == "labels":
        labels = labels_of(images, wanted.on_empty_class)
        rows = images.rows if training else images.validation_rows
        rows = rows[labels.known[rows]]
        write(images.table, rows, rows, "classify", progress=progress, labels=labels)
    else:
        table = images.train if training else images.validation
        assert table is not None
        rows = np.arange(len(table))
        write(table, rows, rows, "detect", progress=progress)
    return {"images": float(len(rows))}
