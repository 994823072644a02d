"""Jobs that make images: drawn, split, prepared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.progress import Progress
from headstart.store.arrays import load_arrays, save_arrays
from headstart.store.files import write_json
from headstart.study.runners.shared import (
    Inputs,
    Metrics,
)
from headstart.study.settings import DataPlace, DrawSettings, PrepareSettings, SplitSettings


def draw(settings: DrawSettings, place: None, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """A slice of the embedded world as a prepared set."""
    from headstart.world.shapes import draw_set

    draw_set(settings.world, settings.count, settings.first, settings.size, out=out, progress=progress)
    return {"images": settings.count}


def split(settings: SplitSettings, place: DataPlace, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Which images train, validate and test, in each fold; near-duplicates and the source's groups share a cluster."""
    from headstart.data.duplicates import near_duplicate_clusters, with_groups
    from headstart.data.splits import assign
    from headstart.readers.formats import open_dataset

    annotations = open_dataset(place.root, place.format, **place.read)
    every = np.arange(len(annotations))
    show = lambda done, count: progress(0.9 * done / count, f"image {done}/{count}")  # noqa: E731
    clusters = near_duplicate_clusters(annotations, every, settings.on_bad_image, show)
    clusters = with_groups(annotations, every, clusters)
    roles = assign(annotations, settings.task, settings.folds, clusters)
    arrays = {
        f"{role}{k}": getattr(fold, role) for k, fold in enumerate(roles.folds) for role in ("train", "val", "test")
    }
    save_arrays(out / "roles.npz", {"clusters": clusters, **arrays})
    left_out = [f"left out: {fault}" for fault in annotations.left_out]
    write_json(out / "notes.json", [*annotations.notes, *left_out, *roles.notes])
    return {name: float(len(indices)) for name, indices in arrays.items()}


def prepare(settings: PrepareSettings, place: DataPlace, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Images of one role, decoded and brought to one size once for all trials; any beginning of them is stratified."""
    from headstart.batches.image_sets import make_image_set
    from headstart.data.subsets import nested_order
    from headstart.readers.formats import open_dataset

    annotations = open_dataset(place.root, place.format, **place.read)
    roles = load_arrays(inputs["split"] / "roles.npz")
    parts = ("train", "val") if settings.role == "trainval" else (settings.role,)
    indices, clusters = np.concatenate([roles[f"{p}{settings.fold or 0}"] for p in parts]), roles["clusters"]
    indices = indices[nested_order(annotations.select(indices), settings.task)]
    make_image_set(
        annotations,
        indices,
        clusters[indices],
        settings.task,
        size_hw=settings.size_hw,
        resize=settings.resize,
        out=out,
        progress=progress,
        on_bad_image=settings.on_bad_image,
    )
    return {"images": float(len(indices))}
