"""What is true of the images that detections are scored on, as the metrics take it. Imports no torch.

Of a table of annotations, or of prepared sets; boxes are those of the original images, never of resized ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.data.annotations import Annotations
from headstart.data.boxes import RELATIVE
from headstart.metrics.boxes import CROWD, DIFFICULT, GROUP_OF, Truth, Verified

if TYPE_CHECKING:
    from headstart.batches.image_sets import ImageSet

SCORED_FLAGS = DIFFICULT | CROWD | GROUP_OF


def truth_of(annotations: Annotations, rows: ArrayLike | None = None) -> Truth:
    """The true boxes of the images `rows` (n,) of a table, as the source's own float64 has them; image k is rows[k].

    None: of all its images.
    """
    chosen = np.arange(len(annotations)) if rows is None else np.asarray(rows, np.int64)
    if rows is not None and annotations.source_convention in RELATIVE:
        return truth_of(annotations.select(chosen))  # Sizes of the other images need not be known.
    counts, boxes = _of_rows(annotations.box_offsets, chosen)
    truth = _truth(
        [np.concatenate([[0], np.cumsum(counts)])],
        annotations.boxes_xyxy[boxes],
        annotations.box_labels[boxes],
        annotations.box_flags[boxes],
        num_classes=len(annotations.box_classes),
    )
    areas = None if annotations.box_areas is None else annotations.box_areas[boxes]
    if annotations.source_convention == "coco":
        columns = truth.image_index, annotations.boxes_source[boxes], truth.labels, truth.flags
        truth = Truth.from_xywh(*columns, num_images=truth.num_images, num_classes=truth.num_classes, areas=areas)
    elif areas is not None:
        truth = replace(truth, areas=areas)
    return replace(truth, verified=_verified(annotations, chosen))


def _of_rows(offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many entries each of the rows of a list column has, and which they are, one row after the other."""
    counts = offsets[rows + 1] - offsets[rows]
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return counts, np.arange(total) + np.repeat(offsets[rows] - (ends - counts), counts)


def truth_of_sets(sets: Sequence[ImageSet]) -> Truth:
    """The true boxes of prepared sets of the same classes, one set after the other."""
    return _truth(
        [s.box_offsets for s in sets],
        np.concatenate([s.boxes_source_xyxy for s in sets]),
        np.concatenate([s.box_labels for s in sets]),
        np.concatenate([s.box_flags for s in sets]),
        num_classes=len(sets[0].box_classes),
    )


def _truth(
    offsets: Sequence[NDArray[np.int64]], boxes: NDArray, labels: NDArray, flags: NDArray, *, num_classes: int
) -> Truth:
    per_image = np.concatenate([np.diff(of_table) for of_table in offsets])
    return Truth(
        image_index=np.repeat(np.arange(len(per_image)), per_image),
        boxes_xyxy=boxes,
        labels=labels.astype(np.int64),
        flags=(flags & SCORED_FLAGS).astype(np.uint8),
        num_images=len(per_image),
        num_classes=num_classes,
    )


def _verified(table: Annotations, rows: NDArray[np.int64]) -> Verified | None:
    """Labels that people verified, as indices of box classes; None where the data set has none."""
    if not table.multi_label:
        return None
    index = {name: k for k, name in enumerate(table.box_classes)}
    to_box = np.array([index.get(name, -1) for name in table.image_classes], np.int64)
    lists = []
    for what in ("present", "absent", "partial"):
        every, values = table.verified_lists(what)
        counts, entries = _of_rows(every, rows)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        labels = to_box[values[entries]] if len(entries) else np.zeros(0, np.int64)
        num_before = np.concatenate([[0], np.cumsum(labels >= 0)])
        lists += [num_before[offsets], labels[labels >= 0]]
    return Verified(*lists)
