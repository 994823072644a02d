"""What is true of the images that detections are scored on, as the metrics take it. Imports no torch.

Of a table of annotations, or of prepared sets; boxes are those of the original images, never of resized ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.batches.image_sets import ImageSet
from headstart.data.annotations import Annotations
from headstart.metrics.boxes import CROWD, DIFFICULT, GROUP_OF, Truth, Verified

SCORED_FLAGS = DIFFICULT | CROWD | GROUP_OF


def truth_of(annotations: Annotations, rows: ArrayLike | None = None) -> Truth:
    """The true boxes of the images `rows` (n,) of a table, as the source's own float64 has them; image k is rows[k].

    None: of all its images.
    """
    table = annotations if rows is None else annotations.select(rows)
    truth = _truth(
        [table.box_offsets], table.boxes_xyxy, table.box_labels, table.box_flags, num_classes=len(table.box_classes)
    )
    if table.source_convention == "coco":
        columns = truth.image_index, table.boxes_source, truth.labels, truth.flags
        truth = Truth.from_xywh(
            *columns, num_images=truth.num_images, num_classes=truth.num_classes, areas=table.box_areas
        )
    elif table.box_areas is not None:
        truth = replace(truth, areas=table.box_areas)
    return replace(truth, verified=_verified(table))


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


def _verified(table: Annotations) -> Verified | None:
    """Labels that people verified, as indices of box classes; None where the data set has none."""
    if not table.multi_label:
        return None
    index = {name: k for k, name in enumerate(table.box_classes)}
    to_box = np.array([index.get(name, -1) for name in table.image_classes], np.int64)
    lists = []
    for offsets, values in (table.verified_lists("present"), table.verified_lists("absent")):
        labels = to_box[values] if len(values) else np.zeros(0, np.int64)
        num_before = np.concatenate([[0], np.cumsum(labels >= 0)])
        lists += [num_before[offsets], labels[labels >= 0]]
    return Verified(*lists)
