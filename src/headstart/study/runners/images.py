"""Jobs that make images: drawn, split, prepared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.errors import DataError
from headstart.progress import Progress
from headstart.store.arrays import load_arrays, save_arrays
from headstart.store.files import write_json
from headstart.study.runners.shared import (
    Inputs,
    Metrics,
)
from headstart.study.settings import (
    DataPlace,
    DrawnSplitSettings,
    DrawSettings,
    PrepareSettings,
    SplitSettings,
    ViewSettings,
)


def draw(settings: DrawSettings, place: None, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """A slice of the embedded world as a prepared set."""
    from headstart.world.shapes import draw_set

    draw_set(settings.world, settings.count, settings.first, settings.size, out=out, progress=progress)
    return {"images": settings.count}


def split(settings: SplitSettings, place: DataPlace, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Which images train, validate and test, in each fold; near-duplicates and the source's groups share a cluster."""
    from headstart.data.drawn_splits import draw as drawn
    from headstart.data.drawn_splits import pool
    from headstart.data.duplicates import near_duplicate_clusters, with_groups
    from headstart.data.splits import assign
    from headstart.readers.formats import open_dataset

    annotations = open_dataset(place.root, place.format, **place.read)
    every = np.arange(len(annotations))
    show = lambda done, count: progress(0.9 * done / count, f"image {done}/{count}")  # noqa: E731
    some = pool(annotations, settings.among) if isinstance(settings, DrawnSplitSettings) else every
    if "clusters" in inputs:  # found by the split of another seed
        clusters = load_arrays(inputs["clusters"] / "roles.npz")["clusters"]
    else:
        clusters = every + len(every)  # images that take no part stand alone
        clusters[some] = near_duplicate_clusters(annotations, some, settings.on_bad_image, show)
        clusters = with_groups(annotations, every, clusters)
    if isinstance(settings, DrawnSplitSettings):
        roles = drawn(
            annotations,
            settings.per_class,
            settings.test_per_class,
            settings.among,
            clusters=clusters,
            seed=settings.seed,
        )
    else:
        roles = assign(annotations, settings.task, settings.folds, clusters, seed=settings.seed)
    arrays = {
        f"{role}{k}": getattr(fold, role) for k, fold in enumerate(roles.folds) for role in ("train", "val", "test")
    }
    save_arrays(out / "roles.npz", {"clusters": clusters, **arrays})
    left_out = [f"left out: {fault}" for fault in annotations.left_out]
    write_json(out / "notes.json", [*annotations.notes, *left_out, *roles.notes])
    return {name: float(len(indices)) for name, indices in arrays.items()}


def prepare(settings: PrepareSettings, place: DataPlace, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Images of one role, or all, decoded and brought to one size once for all trials; any beginning is stratified."""
    from headstart.batches.image_sets import make_image_set
    from headstart.data.subsets import nested_order
    from headstart.readers.formats import open_dataset

    annotations = open_dataset(place.root, place.format, **place.read)
    roles = load_arrays(inputs["split"] / "roles.npz")
    indices, clusters = _rows(roles, settings.role, settings.fold or 0), roles["clusters"]
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


def view(settings: ViewSettings, place: DataPlace, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """The images of one role in one fold, as rows of the set that has them all; what is left out there is so here."""
    from headstart.batches.image_sets import ImageSet
    from headstart.readers.formats import open_dataset

    annotations = open_dataset(place.root, place.format, **place.read)
    whole = ImageSet.open(inputs["images"])
    at = {str(image_id): k for k, image_id in enumerate(whole.image_ids)}
    wanted = _rows(load_arrays(inputs["split"] / "roles.npz"), settings.role, settings.fold)
    rows = sorted(at[i] for row in wanted if (i := str(annotations.image_id(int(row)))) in at)
    if not rows:
        what = f"{settings.role} images of fold {settings.fold + 1}"
        raise DataError(f"{annotations.root}: none of the {what} can be used. Mend or add images.")
    whole.write_rows(out, inputs["images"], np.array(rows, np.int64))
    return {"images": float(len(rows))}


def _rows(roles: dict[str, np.ndarray], role: str, fold: int) -> np.ndarray:
    """Rows of the table; `trainval`: all that is not test, `all`: of every role."""
    parts = {"trainval": ("train", "val"), "all": ("train", "val", "test")}.get(role, (role,))
    return np.concatenate([roles[f"{part}{fold}"] for part in parts])
