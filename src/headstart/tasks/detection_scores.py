"""Detections to named numbers: average precision by a protocol, with replicates under image weights. Imports no torch.

Names: `headstart.names`; the range `0.5:0.95` is the mean over COCO's thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.metrics.average_precision import COCO_THRESHOLDS, APResult, Detections, Truth, average_precision
from headstart.metrics.averages import mean_of_present
from headstart.names import COCO_RANGE, metric

FAMILY = "det"


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """metrics: name -> fraction, nan where there is nothing to measure. replicates: the means' names -> (B,), none
    without image weights."""

    result: APResult
    metrics: dict[str, float]
    replicates: dict[str, np.ndarray]


def score_detections(
    truth: Truth,
    detections: Detections,
    protocol: str,
    classes: Sequence[str],
    *,
    iou_thresholds: Sequence[float] = COCO_THRESHOLDS,
    image_weights: np.ndarray | None = None,
    per_class_at: Sequence[float] | None = None,
) -> DetectionScores:
    """Means over classes at every threshold, and at all of COCO's together where these are asked for; AP of each class
    at the thresholds `per_class_at` (all where not given). image_weights (B, n)."""
    result = average_precision(truth, detections, protocol, iou_thresholds)  # type: ignore[arg-type]
    names = [metric(FAMILY, "map", by=protocol, iou=t) for t in result.iou_thresholds]
    over = metric(FAMILY, "map", by=protocol, iou=COCO_RANGE)
    over_all = result.iou_thresholds == COCO_THRESHOLDS
    metrics = dict(zip(names, map(float, result.map), strict=True))
    if over_all:
        metrics[over] = float(result.map.mean())
    for t, threshold in enumerate(result.iou_thresholds):
        if per_class_at is None or threshold in per_class_at:
            metrics |= _of_classes(protocol, threshold, classes, result.ap[t])
    if over_all and per_class_at is None:
        metrics |= _of_classes(protocol, COCO_RANGE, classes, mean_of_present(result.ap.T))
    replicates: dict[str, np.ndarray] = {}
    if image_weights is not None:
        columns = result.replicates(image_weights)
        replicates = {name: columns[:, k] for k, name in enumerate(names)}
        if over_all:
            replicates[over] = columns.mean(1)
    return DetectionScores(result, metrics, replicates)


def _of_classes(protocol: str, iou: float | str, classes: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return {
        metric(FAMILY, "ap", by=protocol, iou=iou, of=name): float(value)
        for name, value in zip(classes, values, strict=True)
    }
