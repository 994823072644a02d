"""What several runners need: where a training goes on, its start, arrays and costs written down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.batches.image_sets import ImageSet
from headstart.store.arrays import load_arrays
from headstart.store.sealing import RESUME
from headstart.study.settings import DataPlace

Inputs = dict[str, Path]
Metrics = dict[str, float]


def resume_folder(out: Path) -> Path:
    """Where the training state lies while a job runs; the store throws it away when the job is done."""
    folder = out / RESUME
    folder.mkdir(exist_ok=True)
    return folder


def with_masks(images: ImageSet, place: DataPlace | None) -> ImageSet:
    """Original masks are looked for in the data set where it lies now: it may have been moved since."""
    if place is None or not any(images.mask_paths):
        return images
    from headstart.readers.formats import image_place

    return replace(images, mask_place=image_place(place.root, place.read.get("images")))


def size_of(images: ImageSet) -> tuple[int, int]:
    """Height and width of the images of a set, pixels."""
    return int(images.images.shape[1]), int(images.images.shape[2])


def last_stage(folder: Path) -> np.ndarray:
    return [*load_arrays(folder / "pooled.npz").values()][-1]


def curve_metrics(curve: Any) -> Metrics:
    tenth = max(1, len(curve.total) // 10)
    return {
        "train/loss_first": float(curve.total[:tenth].mean()),
        "train/loss_last": float(curve.total[-tenth:].mean()),
        "train/not_converged": float(curve.still_falling()),
    }
