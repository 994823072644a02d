"""Parts of a data set to train on, a fraction of its images or k of each class: nested, stratified, the same anywhere.

Which images are taken depends on their ids, their classes and the seed alone: not on the order of files, the machine or
a library's random numbers. The smaller part is contained in the larger one of the same seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotations import Annotations
from headstart.data.flags import Target
from headstart.data.hierarchy import unique_lists
from headstart.data.splits import shuffled
from headstart.errors import UsageError


def fraction(table: Annotations, share: float, task: Target, seed: int = 0) -> Annotations:
    """The first `share` (0 to 1) of the images in `nested_order`, in the table's own order; at least one.

    Raises UsageError for other shares.
    """
    if not 0 < share <= 1:
        raise UsageError(f"a share of {share:g} of the images cannot be taken. Give more than 0 and at most 1.")
    count = max(1, int(share * len(table) + 0.5))
    return table.select(np.sort(nested_order(table, task, seed)[:count]))


def few_shot(table: Annotations, shots: int, task: Target, seed: int = 0) -> Annotations:
    """For each class `shots` images that show it, or all there are, in the table's own order.

    With one label an image these are exactly `shots` of each class; an image that shows several classes counts for
    each, and others may show a class besides. Raises UsageError unless `shots` >= 1.
    """
    if shots < 1:
        raise UsageError(f"{shots} images of each class cannot be taken. Give 1 or more.")
    images, classes, num_classes = class_pairs(table, task)
    place = np.empty(len(table), np.int64)
    place[_hashed(_ids(table), seed)] = np.arange(len(table))
    order = np.lexsort((place[images], classes))
    starts = np.searchsorted(classes[order], np.arange(num_classes))
    within = np.arange(len(order)) - starts[classes[order]]
    return table.select(np.unique(images[order[within < shots]]))


def nested_order(table: Annotations, task: Target, seed: int = 0) -> NDArray[np.int64]:
    """All n rows of a table in the order of `stratified_order`."""
    return stratified_order(_ids(table), *class_pairs(table, task), seed=seed)


def stratified_order(
    image_ids: Sequence[str], images: NDArray[np.int64], classes: NDArray[np.int64], num_classes: int, *, seed: int = 0
) -> NDArray[np.int64]:
    """All n images in an order every beginning of which holds the classes in about the proportions of the whole.

    images, classes: of every class that an image shows, once. An image belongs to the rarest of them, as the rarest is
    dealt first in iterative stratification (Sechidis et al., ECML PKDD 2011). Of the c images of a class, the r-th
    (from 0, by a hash of its id) stands at (r + 1/2) / c of the way, so a beginning of p n images holds within one
    image p c of them, up to ties.
    """
    count = len(image_ids)
    counts = np.bincount(classes, minlength=num_classes)
    rarity = np.empty(num_classes + 1, np.int64)
    rarity[np.lexsort((np.arange(num_classes), counts))] = np.arange(num_classes)
    stratum = np.full(count, num_classes)
    np.minimum.at(stratum, images, rarity[classes])
    hashed = _hashed(image_ids, seed)
    members = hashed[np.argsort(stratum[hashed], kind="stable")]
    sizes = np.bincount(stratum, minlength=num_classes + 1)
    ranks = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    way = np.empty(count)
    way[members] = (ranks + 0.5) / np.repeat(sizes, sizes)
    return hashed[np.argsort(way[hashed], kind="stable")]


def class_pairs(table: Annotations, task: Target) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """(image, class) of every class that an image shows, each once, and the number of classes.

    By boxes for `detect`; else by image labels, also for `segment`: masks are not decoded for it.
    """
    rows = np.arange(len(table))
    if task == "detect":
        images, classes = np.repeat(rows, np.diff(table.box_offsets)), np.asarray(table.box_labels, np.int64)
        num_classes = len(table.box_classes)
    elif table.multi_label:
        offsets, values = table.verified_lists("present")
        images, classes, num_classes = (
            np.repeat(rows, np.diff(offsets)),
            values.astype(np.int64),
            len(table.image_classes),
        )
    else:
        labels = table.image_labels
        images, classes, num_classes = rows[labels >= 0], labels[labels >= 0].astype(np.int64), len(table.image_classes)
    offsets, unique = unique_lists(images, classes, len(table), num_classes)
    return np.repeat(rows, np.diff(offsets)), unique.astype(np.int64), num_classes


def _ids(table: Annotations) -> list[str]:
    return table.batch.column("id").to_pylist()


def _hashed(image_ids: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Images by the hashes of their ids."""
    digests = [shuffled(image_id, seed) for image_id in image_ids]
    return np.array(sorted(range(len(digests)), key=digests.__getitem__), np.int64)
