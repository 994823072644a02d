"""Data without an official split: so many images of each class train and the others test, drawn anew for every seed.

As Caltech-256 is used (30 or 60 a class). What is drawn depends on image ids and the seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.data.annotations import Annotations
from headstart.data.splits import Fold, Roles, shuffled
from headstart.errors import DataError


def pool(annotations: Annotations, among: Sequence[str]) -> NDArray[np.int64]:
    """Rows with a class, of the splits `among` (none: of all); ascending. Raises DataError for splits not there."""
    present = sorted(set(annotations.splits.tolist()))
    if missing := [name for name in among if name not in present]:
        raise DataError(f"{annotations.root}: it has no split {missing[0]!r}. It has: {', '.join(present)}.")
    rows = annotations.supports("classify")
    return np.flatnonzero(rows & np.isin(annotations.splits, among) if among else rows)


def draw(
    annotations: Annotations,
    per_class: int,
    test_per_class: int | None,
    among: Sequence[str],
    *,
    clusters: ArrayLike,
    seed: int,
) -> Roles:
    """`per_class` images of each class to train on, `test_per_class` others of `pool` to test on (None: all others);
    none to validate.

    clusters (n,) of all images: near-duplicates are not kept together, as the benchmarks do not; how many test images
    have one that is trained on is noted. Raises DataError for a class with too few images.
    """
    rows = pool(annotations, among)
    labels = annotations.image_labels[rows]
    ids = [shuffled(annotations.image_id(int(row)), seed) for row in rows]
    order = np.array(sorted(range(len(rows)), key=ids.__getitem__), np.int64)
    order = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels, minlength=len(annotations.image_classes))
    few = [(annotations.image_classes[k], int(n)) for k, n in enumerate(counts) if n <= per_class]
    if few:
        name, count = few[0]
        raise DataError(
            f"{annotations.root}: class {name!r} has {count} images, and {per_class} are to be trained on "
            f"({len(few)} such classes). Ask for fewer a class (`per_class`)."
        )
    starts = np.cumsum(counts) - counts
    place = np.arange(len(order)) - np.repeat(starts, counts)
    tested = (place >= per_class) & (place < per_class + (test_per_class or len(rows)))
    train, test = np.sort(rows[order[place < per_class]]), np.sort(rows[order[tested]])
    groups = np.asarray(clusters, np.int64)
    twins = int(np.isin(groups[test], groups[train]).sum())
    notes = (f"{annotations.root}: {twins} of {len(test)} test images have a near-duplicate among the training images",)
    return Roles((Fold(train, train[:0], test),), official=False, notes=notes if twins else ())
