"""Jobs of pre-trainings: images brought to one size, proposals, and the pre-training itself."""

from __future__ import annotations

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
    """Images of a table at one size, for the layout `fixed`."""
    import numpy as np

    from headstart.batches.image_sets import make_image_set
    from headstart.pretraining.images import chosen_images

    wanted, training = settings.table, settings.part == "train"
    images = chosen_images(
        place.open(),
        settings.supervision,
        wanted.splits,
        wanted.validation,
        on_empty_class=wanted.on_empty_class,
        progress=progress,
    )
    table = images.train if training else images.validation
    assert table is not None
    rows = np.arange(len(table))
    task = {"boxes": "detect", "labels": "classify"}[settings.supervision]
    size_hw = (settings.size, settings.size)
    make_image_set(table, rows, rows, task, size_hw=size_hw, resize="stretch", out=out, progress=progress)  # type: ignore[arg-type]
    return {"images": float(len(rows))}
