"""Average precision of detections by three named protocols, and its replicates under image weights.

Letters: n images, m true boxes, d detections, K classes, T IoU thresholds, B resamples.

- `voc07-11pt`: a detection is right when the true box of its image and class with the highest IoU, taken or not, has
  IoU > t, counts, and is not taken yet. AP is the mean, over the 11 recalls 0, .1, .., 1, of the highest precision at
  that recall or above.
- `voc-area`: the same detections are right. AP is the area under the envelope of precision over recall, all points.
- `coco`: for each t, detections in the order of their scores take the best true box that is free and has IoU >= t;
  at most 100 detections an image and class. AP is the mean over 101 recalls.

A mean (mAP) runs over the classes with at least one true box that counts. Detections on images without true boxes are
false positives. Scores are never rounded; equal scores are taken in the order of images, then of input.

**Which boxes do not count.** VOC: boxes flagged difficult, crowd or group-of; a detection matched to one is neither
right nor wrong. COCO: the same three; crowd and group-of take any number of detections, overlap measured over the
detection's area. (pycocotools itself knows crowds only.)

**Widths.** The VOC devkit measures `xmax - xmin + 1` on 1-based inclusive pixel numbers. A VOC box in our convention is
x1 = xmin - 1, x2 = xmax (continuous edges, from 0), so `x2 - x1` *is* the devkit's width, and the overlap of two boxes
`min(xmax) - max(xmin) + 1` is `min(x2) - max(x1)`. The devkit's numbers therefore come out of plain continuous widths;
adding 1 here would add it twice. A results file of the devkit is read by the same rule.

**Sources and their disagreements.** `>` is what py-faster-rcnn and the evaluation published with SNIPER
(`lib/dataset/pascal_voc_eval.py`) do and what the devkit's documentation says ("must exceed"); the devkit's MATLAB
code has `>=`, which differs only where an IoU equals t exactly. The 11 recalls are the doubles of
`numpy.arange(0, 1.1, .1)`, as there: a recall of exactly 3/10 lies below the fourth, 0.30000000000000004. The 101
recalls are pycocotools' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.metrics.averages import mean_of_present
from headstart.metrics.boxes import CROWD, DIFFICULT, GROUP_OF, Detections, Truth, check_boxes

__all__ = ["COCO_THRESHOLDS", "CROWD", "DIFFICULT", "GROUP_OF", "APResult", "Detections", "Protocol", "Truth",
           "average_precision"]  # fmt: skip

Protocol = Literal["voc07-11pt", "voc-area", "coco"]

COCO_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""IoU thresholds whose mean is called `map@0.5:0.95`."""

MAX_DETECTIONS = 100
"""`coco`: detections of one image and class beyond the 100 surest are left out."""

LEVELS: dict[str, NDArray[np.float64]] = {
    "voc07-11pt": np.arange(0.0, 1.1, 0.1),
    "voc-area": np.empty(0),
    "coco": np.linspace(0.0, 1.0, 101),
}
"""Recalls at which precision is read; none: the area under the envelope."""

ROWS = 64
"""Weight rows turned to float64 at once: bounds memory on large test sets."""


@dataclass(frozen=True, eq=False)
class MatchTable:
    """What became of every detection, once and for all: all that image weights can change is how much each counts.

    Arrays are as in `headstart.metrics._matching.weighted_ap`.
    """

    num_images: int
    images: NDArray[np.int64]
    class_offsets: NDArray[np.int64]
    event_at: NDArray[np.int64]
    event_hit: NDArray[np.bool_]
    event_offsets: NDArray[np.int64]
    truth_images: NDArray[np.int64]
    truth_offsets: NDArray[np.int64]

    def ap(self, weights: ArrayLike, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """(B, T, K) average precision under weights (B, n); see `weighted_ap`."""
        from headstart.metrics._matching import weighted_ap

        rows = np.atleast_2d(np.asarray(weights))
        if rows.ndim != 2 or rows.shape[1] != self.num_images:
            raise ValueError(f"weights have shape {rows.shape}; they must be (resamples, {self.num_images} images)")
        parts = [
            weighted_ap(
                np.ascontiguousarray(rows[i : i + ROWS], dtype=np.float64), self.images, self.class_offsets,
                self.event_at, self.event_hit, self.event_offsets, self.truth_images, self.truth_offsets, levels,
            )
            for i in range(0, len(rows), ROWS)
        ]  # fmt: skip
        shape = (0, self.event_offsets.shape[0], len(self.class_offsets) - 1)
        return np.concatenate(parts) if parts else np.empty(shape)


@dataclass(frozen=True, eq=False)
class APResult:
    """Average precision, fractions 0..1.

    ap (T, K): nan where no true box of the class counts. map (T,): mean over the other classes, nan without any.
    counts (K,) int64: true boxes that count.
    """

    protocol: Protocol
    iou_thresholds: tuple[float, ...]
    ap: NDArray[np.float64]
    map: NDArray[np.float64]
    counts: NDArray[np.int64]
    table: MatchTable = field(repr=False)

    def ap_replicates(self, weights: ArrayLike) -> NDArray[np.float64]:
        """(B, T, K) AP with image i counted weights[b, i] times; nan where no true box of the class has weight.

        weights (B, n): not negative, in the order of the image indices. The same as evaluating the images repeated
        (copies of an image being neighbors among equal scores), without matching again.
        """
        return self.table.ap(weights, LEVELS[self.protocol])

    def replicates(self, weights: ArrayLike) -> NDArray[np.float64]:
        """(B, T) mAP under image weights (B, n). A class without weight is left out of that resample's mean."""
        return mean_of_present(self.ap_replicates(weights))


def average_precision(
    truth: Truth,
    detections: Detections,
    protocol: Protocol = "voc-area",
    iou_thresholds: Sequence[float] = (0.5, 0.7),
) -> APResult:
    """AP of every class at every IoU threshold; the module's docstring defines the protocols.

    Raises DataError for boxes, labels, image indices or scores that do not hold together (`check_boxes`), ValueError
    for an unknown protocol or a threshold outside (0, 1].
    """
    if protocol not in LEVELS:
        raise ValueError(f"unknown protocol {protocol!r}; known: {', '.join(LEVELS)}")
    thresholds = np.asarray(iou_thresholds, dtype=np.float64)
    if thresholds.ndim != 1 or not len(thresholds) or not ((thresholds > 0) & (thresholds <= 1)).all():
        raise ValueError(f"iou_thresholds are {tuple(iou_thresholds)}; give one or more numbers above 0, at most 1")
    check_boxes(truth, detections)
    table = _match(truth, detections, protocol, thresholds)
    ap = table.ap(np.ones((1, truth.num_images)), LEVELS[protocol])[0]
    counts = np.diff(table.truth_offsets)
    return APResult(protocol, tuple(thresholds.tolist()), ap, mean_of_present(ap), counts, table)


def _match(truth: Truth, detections: Detections, protocol: Protocol, thresholds: NDArray[np.float64]) -> MatchTable:
    from headstart.metrics import _matching

    crowd = (truth.flags & (CROWD | GROUP_OF)) != 0
    ignored = (truth.flags & (DIFFICULT | CROWD | GROUP_OF)) != 0
    # Stable throughout: the input order decides what the keys leave open. Boxes that count come first for `coco`.
    keys = (truth.image_index, truth.labels) if protocol != "coco" else (ignored, truth.image_index, truth.labels)
    true_order = np.lexsort(keys)
    order = np.lexsort((detections.image_index, -detections.scores, detections.labels))
    if protocol == "coco":
        order = order[_rank(detections, order, truth.num_images) < MAX_DETECTIONS]
    images, labels = detections.image_index[order], detections.labels[order]
    true_groups = (truth.labels * truth.num_images + truth.image_index)[true_order]
    groups = labels * truth.num_images + images
    starts, stops = np.searchsorted(true_groups, groups, "left"), np.searchsorted(true_groups, groups, "right")
    boxes, true_boxes = detections.boxes_xyxy[order], truth.boxes_xyxy[true_order]
    if protocol == "coco":
        fate = _matching.match_coco(
            boxes, starts, stops, true_boxes, ignored[true_order], crowd[true_order], thresholds
        )
    else:
        fate = _matching.match_voc(boxes, starts, stops, true_boxes, ignored[true_order], thresholds)

    classes = np.arange(truth.num_classes + 1)
    class_offsets = np.searchsorted(labels, classes)
    at_threshold, event_at = np.nonzero(fate)
    place = at_threshold * len(order) + event_at
    bounds = np.arange(len(thresholds))[:, None] * len(order) + class_offsets
    counted = true_order[~ignored[true_order]]
    return MatchTable(
        truth.num_images, images, class_offsets, event_at, fate[at_threshold, event_at] == _matching.HIT,
        np.searchsorted(place, bounds), truth.image_index[counted], np.searchsorted(truth.labels[counted], classes),
    )  # fmt: skip


def _rank(detections: Detections, order: NDArray[np.int64], num_images: int) -> NDArray[np.int64]:
    """Rank of each detection of `order` among those of its image and class, from 0."""
    groups = (detections.labels * num_images + detections.image_index)[order]
    together = np.argsort(groups, kind="stable")
    new = np.flatnonzero(np.diff(groups[together], prepend=-1))
    sizes = np.diff(np.append(new, len(groups)))
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[together] = np.arange(len(groups)) - np.repeat(new, sizes)
    return ranks
