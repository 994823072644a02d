"""Which images of a prepared set one seed trains on, and which it holds out: as a user who repeats it would draw anew.

All follows from the images' ids and the seed, so it is the same for every candidate. Letters: n images of a set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headstart.batches.image_sets import ImageSet, columns_of
from headstart.data.flags import Target
from headstart.data.subsets import stratified_order

HELD_OUT_SHARE = 0.2
HELD_OUT_MOST = 200
"""A fifth of the images is held out where a task has no validation images, so many at most."""


@dataclass(frozen=True, eq=False)
class TrainingPart:
    """Rows of a set, int64, ascending; no row is in both, and no two near-duplicates are in different ones."""

    train: NDArray[np.int64]
    held_out: NDArray[np.int64]


def training_part(images: ImageSet, target: Target, seed: int, limit: float | None, *, hold_out: bool) -> TrainingPart:
    """The images of `seed`: in its stratified order the first `limit` train (below 1 a share of them; None: all), and
    from the end of the order a fifth of the set, 200 at most, is held out where `hold_out`.

    So a smaller limit is a part of a larger one of the same seed, and all limits hold out the same images. What is
    held out are whole clusters of near-duplicates; where these would be half of the images, single images. A set of
    fewer than five images holds none out.
    """
    order = seed_order(images, target, seed)
    out = _last(order, images.clusters) if hold_out else order[:0]
    train = order[~np.isin(order, out)]
    if limit is not None:
        train = train[: int(limit) if limit >= 1 else max(1, round(limit * len(train)))]
    return TrainingPart(np.sort(train), np.sort(out))


def seed_order(images: ImageSet, target: Target, seed: int) -> NDArray[np.int64]:
    """All n rows in a seed's own order, every beginning of which holds the classes in about the set's proportions."""
    rows, classes, num_classes = _class_pairs(images, target)
    return stratified_order(images.image_ids.tolist(), rows, classes, num_classes, seed=seed)


def _last(order: NDArray[np.int64], clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows to hold out: whole clusters from the end of an order, until there are enough."""
    wanted = min(int(len(order) * HELD_OUT_SHARE), HELD_OUT_MOST)
    if not wanted:
        return order[:0]
    chosen = np.isin(clusters[order], clusters[order[-wanted:]])
    return order[chosen] if 2 * chosen.sum() <= len(order) else order[-wanted:]


def _class_pairs(images: ImageSet, target: Target) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """(row, class) of every class that an image shows, each once, and the number of classes: by boxes for `detect`,
    else by image labels, and by boxes where there are none of these."""
    rows = np.arange(len(images))
    of_boxes = np.repeat(rows, np.diff(images.box_offsets)), images.box_labels.astype(np.int64)
    labels = images.image_labels
    if target == "detect":
        pairs, num_classes = of_boxes, len(images.box_classes)
    elif images.label_table is not None:
        present = np.nonzero(images.label_table == 1)
        pairs, num_classes = (present[0], present[1]), len(images.image_classes)
    elif (labels >= 0).any():
        pairs, num_classes = (rows[labels >= 0], labels[labels >= 0].astype(np.int64)), len(images.image_classes)
    else:
        pairs, num_classes = of_boxes, len(images.box_classes)
    unique = np.unique(np.stack(pairs, axis=1).astype(np.int64), axis=0)
    return unique[:, 0], unique[:, 1], num_classes


def selected(images: ImageSet, rows: NDArray[np.int64]) -> ImageSet:
    """A set of these rows alone, in memory, with the classes of the whole."""
    return replace(images, **columns_of(images, rows))
