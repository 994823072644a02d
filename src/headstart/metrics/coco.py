"""COCO's detection metrics in full: four area ranges, three limits on detections, average precision and recall.

Letters: T IoU thresholds, K classes, A area ranges, L limits on the detections of an image and class.

The numbers are pycocotools' to rounding in the last bits when boxes and areas come from the source's float64 (`Truth
.from_xywh`, `Detections.from_xywh`) and images are indexed in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.metrics.averages import mean_of_present
from headstart.metrics.boxes import Detections, Truth, check_boxes
from headstart.metrics.matches import Matches, matched
from headstart.metrics.protocols import COCO_THRESHOLDS, PROTOCOLS

COCO_AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1e5**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}
"""COCO's area ranges, square pixels. Both edges belong to a range: an object of exactly 32^2 is small and medium."""
COCO_LIMITS = (1, 10, 100)

SUMMARY = (
    ("AP", "ap", None, "all", 100),
    ("AP50", "ap", 0.5, "all", 100),
    ("AP75", "ap", 0.75, "all", 100),
    ("APs", "ap", None, "small", 100),
    ("APm", "ap", None, "medium", 100),
    ("APl", "ap", None, "large", 100),
    ("AR1", "recall", None, "all", 1),
    ("AR10", "recall", None, "all", 10),
    ("AR100", "recall", None, "all", 100),
    ("ARs", "recall", None, "small", 100),
    ("ARm", "recall", None, "medium", 100),
    ("ARl", "recall", None, "large", 100),
)
"""COCO's 12 numbers: name, quantity, IoU threshold (None: mean over all), area range, limit."""


@dataclass(frozen=True, eq=False)
class CocoMetrics:
    """COCO's numbers, fractions 0..1.

    ap, recall (T, K, A, L): nan where no true box counts. recall: share of the true boxes found by all detections
    within the limit. counts (A, K) int64: true boxes that count. areas: names of the area ranges.
    """

    iou_thresholds: tuple[float, ...]
    areas: tuple[str, ...]
    limits: tuple[int, ...]
    ap: NDArray[np.float64]
    recall: NDArray[np.float64]
    counts: NDArray[np.int64]
    matches: Matches = field(repr=False)

    def summary(self) -> dict[str, float]:
        """COCO's 12 numbers by name (`SUMMARY`), those whose IoU, area range and limit were evaluated.

        A mean runs over the classes (and thresholds) with a value; nan without any.
        """
        return {name: float(value[0]) for name, value in self._named(self.ap[None], self.recall[None]).items()}

    def replicates(self, weights: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """The same numbers (B,) with image i counted weights[b, i] times."""
        ap, recall = self.matches.ap(weights, PROTOCOLS["coco"].levels())
        return self._named(np.moveaxis(ap, (3, 4), (1, 2)), np.moveaxis(recall, (3, 4), (1, 2)))

    def _named(self, ap: NDArray[np.float64], recall: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """From ap and recall (B, T, K, A, L)."""
        out = {}
        for name, quantity, threshold, area, limit in SUMMARY:
            near = [t for t, iou in enumerate(self.iou_thresholds) if threshold is None or abs(iou - threshold) < 1e-9]
            if near and area in self.areas and limit in self.limits:
                values = (ap if quantity == "ap" else recall)[:, near]
                part = values[..., self.areas.index(area), self.limits.index(limit)]
                out[name] = mean_of_present(part.reshape(len(part), -1))
        return out


def coco_metrics(
    truth: Truth,
    detections: Detections,
    iou_thresholds: Sequence[float] = COCO_THRESHOLDS,
    areas: Mapping[str, tuple[float, float]] = COCO_AREAS,
    *,
    limits: Sequence[int] = COCO_LIMITS,
) -> CocoMetrics:
    """Protocol `coco` for every area range and limit.

    areas: lowest and highest area of each range, both included. True boxes outside do not count there (`Truth.areas`);
    a detection outside (its box's area) is ignored unless it meets a box that counts. Raises DataError as
    `check_boxes`, ValueError for thresholds outside (0, 1], no ranges and limits that do not rise from 1 at least.
    """
    rules = PROTOCOLS["coco"]
    thresholds = rules.thresholds(iou_thresholds)
    if not areas or not limits or min(limits) < 1 or (np.diff(limits) <= 0).any():
        raise ValueError(f"areas are {dict(areas)}, limits {tuple(limits)}; give one range or more and rising limits")
    check_boxes(truth, detections)
    low, high = (np.array(edges)[:, None] for edges in zip(*areas.values(), strict=True))
    matches = matched(
        truth,
        detections,
        rules,
        thresholds,
        left_out=(truth.areas < low) | (truth.areas > high),
        outside=(detections.box_areas < low) | (detections.box_areas > high),
        limits=limits,
    )
    ap, recall = (np.moveaxis(v[0], (2, 3), (0, 1)) for v in matches.ap(np.ones((1, truth.num_images)), rules.levels()))
    return CocoMetrics(
        iou_thresholds=tuple(float(t) for t in iou_thresholds),
        areas=tuple(areas),
        limits=tuple(int(limit) for limit in limits),
        ap=ap,
        recall=recall,
        counts=matches.counts(),
        matches=matches,
    )
