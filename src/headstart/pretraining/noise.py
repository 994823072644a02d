"""Noise in the supervision: a share of the images exchange what is said of them, so that it is said of the wrong ones.

Letters: n images, m boxes.

The images that take part are drawn from the seed; in a random order each gets the boxes and labels of the next, the
last those of the first, so none keeps its own. All else stays: the images, how many there are of each class, how many
boxes and of which sizes. At a share of 1 the supervision carries nothing about an image; what a backbone then learns it
learns from images, sizes and frequencies alone, and two kinds of supervision have nothing left to differ in but these.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.batches.image_sets import ImageSet
from headstart.data.annotations import Annotations
from headstart.data.boxes import RELATIVE
from headstart.data.columns import BoxColumns, arrow, box_lists

SAID = ("label", "present", "absent", "partial", "boxes_known")
"""Columns of a table that say something of an image, beside its boxes."""
STREAM = 0x6E6F697365
"""Beside the seed, so that no other draw of a training follows from the same numbers."""


def exchange(n: int, share: float, seed: int) -> NDArray[np.int64]:
    """(n,) whose boxes and labels each image gets: a random ring through round(share n) images, its own elsewhere."""
    order = np.arange(n)
    ring = np.random.default_rng([STREAM, seed]).permutation(n)[: round(share * n)]
    order[ring] = np.roll(ring, -1)
    return order


def noisy_images(images: ImageSet, share: float, seed: int) -> ImageSet:
    """A prepared set, all of one size, whose images exchanged boxes and labels; without masks."""
    if not share:
        return images
    order = exchange(len(images), share, seed)
    offsets, rows = _regrouped(images.box_offsets, order)
    of_boxes = ("boxes_xyxy", "boxes_source_xyxy", "box_labels", "box_flags")
    changes = {name: getattr(images, name)[rows] for name in of_boxes}
    table = images.label_table
    return replace(
        images,
        **changes,
        box_offsets=offsets,
        image_labels=images.image_labels[order],
        label_table=None if table is None else table[order],
        segment_ids=None if images.segment_ids is None else images.segment_ids[rows],
        masks=None,
        instances=None,
        parts=None,
    )


def noisy_table(table: Annotations, rows: ArrayLike, share: float, seed: int) -> Annotations:
    """A table in which the images `rows` (k,) exchanged boxes and labels; boxes grow and shrink with the images.

    Where sizes of images are not known, boxes in pixels stay as they are. Outlines and areas are lost.
    """
    if not share:
        return table
    chosen = np.asarray(rows, np.int64)
    order = np.arange(len(table))
    order[chosen] = chosen[exchange(len(chosen), share, seed)]
    offsets, of_box = _regrouped(table.box_offsets, order)
    relative = table.source_convention in RELATIVE
    boxes = table.boxes_source[of_box] if relative else table.boxes_xyxy[of_box] * _growth(table, order, offsets)
    columns = BoxColumns(
        convention=table.source_convention if relative or not len(boxes) else "edges",
        classes=table.box_classes,
        class_ids=table.box_class_ids,
        offsets=offsets,
        source=boxes,
        labels=table.box_labels[of_box],
        flags=table.box_flags[of_box],
        known=table.boxes_known[order],
    )
    batch = table.batch
    lists, scale = box_lists(columns)
    changed = {"boxes": lists} | {n: batch.column(n).take(arrow(order)) for n in SAID if n in batch.schema.names}
    for name, column in changed.items():
        batch = batch.set_column(batch.schema.get_field_index(name), name, column)
    return Annotations(batch, table.facts, table.place).with_facts(
        source_convention=columns.convention, box_scale=scale
    )


def _regrouped(offsets: NDArray[np.int64], order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets (n + 1,) of the boxes when image i has those of image order[i], and which boxes these are (m,)."""
    counts = np.diff(offsets)[order]
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return ends, np.arange(ends[-1]) + np.repeat(offsets[:-1][order] - ends[:-1], counts)


def _growth(table: Annotations, order: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """(m, 4) sizes of images, x y x y, over those of the images that the boxes came from; 1 where one is not known."""
    wide = table.sizes_hw[:, [1, 0, 1, 0]].astype(np.float64)
    known = (np.minimum(wide, wide[order]) > 0).all(1, keepdims=True)
    growth = np.where(known, wide / np.maximum(wide[order], 1), 1.0)
    return np.repeat(growth, np.diff(offsets), axis=0)
