"""One set of detections scored once by each protocol: named numbers, and the same in every resample of the images.

Letters: n images, B resamples, T IoU thresholds, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.evaluation.request import EvaluationRequest
from headstart.metrics.average_precision import APResult, average_precision
from headstart.metrics.averages import mean_of_present
from headstart.metrics.boxes import Detections, Truth
from headstart.metrics.coco import LIMITS, CocoMetrics, coco_metrics
from headstart.metrics.openimages import Parents, expanded
from headstart.metrics.protocols import COCO_THRESHOLDS, rules_of
from headstart.metrics.resamples import ap_resamples, view_of
from headstart.names import COCO_RANGE, metric
from headstart.progress import Counted

FAMILY = "det"
COCO_NAMES = {
    "APs": ("map", "small"),
    "APm": ("map", "medium"),
    "APl": ("map", "large"),
    "APr": ("map", "rare"),
    "APc": ("map", "common"),
    "APf": ("map", "frequent"),
    "AR1": ("ar", "max1"),
    "AR10": ("ar", "max10"),
    "AR100": ("ar", "max100"),
    "AR300": ("ar", "max300"),
    "AR500": ("ar", "max500"),
    "ARs": ("ar", "small"),
    "ARm": ("ar", "medium"),
    "ARl": ("ar", "large"),
}
"""COCO's and LVIS's numbers beyond the means over classes: what is measured, and of which objects or detections."""


@dataclass(frozen=True)
class Facts:
    """What scoring needs of the data set besides its boxes. parents: box class -> the classes right above it.
    frequencies: of each class, where the source says how often it is; empty where it does not."""

    classes: tuple[str, ...]
    parents: Parents = field(default_factory=dict)
    frequencies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scored:
    """metrics: name -> fraction, nan where there is nothing to measure. replicates: the means' names -> (B,), none
    without image weights. counts: protocol -> class -> true boxes that count."""

    metrics: dict[str, float]
    replicates: dict[str, NDArray[np.float64]]
    counts: dict[str, dict[str, int]]


def scored(
    truth: Truth,
    detections: Detections,
    facts: Facts,
    request: EvaluationRequest,
    *,
    weights: NDArray[np.integer[Any]] | None = None,
    progress: Counted | None = None,
) -> Scored:
    """By every protocol of the request. weights (B, n): how often each image counts in each resample."""
    numbers = Scored({}, {}, {})
    for protocol in request.protocols:
        true = truth_for(protocol, truth, facts)
        thresholds = request.thresholds(protocol)
        if protocol in LIMITS and thresholds == COCO_THRESHOLDS:
            counts = _ranges(numbers, protocol, true, detections, facts=facts, weights=weights, progress=progress)
        else:
            result = average_precision(true, detections, protocol, thresholds, compiled=False)  # type: ignore[arg-type]
            counts = result.counts
            _means(numbers, protocol, result, facts.classes, weights=weights, progress=progress)
        numbers.counts[protocol] = dict(zip(facts.classes, counts.tolist(), strict=True))
        if request.by:
            result = average_precision(true, detections, protocol, thresholds, compiled=False)  # type: ignore[arg-type]
            for kind in request.by:
                _groups(numbers, protocol, result, kind, weights=weights)
    return numbers


def truth_for(protocol: str, truth: Truth, facts: Facts) -> Truth:
    """`openimages` gives every box to the classes above its own, too."""
    return expanded(truth, facts.parents) if protocol == "openimages" else truth


def _ranges(
    numbers: Scored,
    protocol: str,
    truth: Truth,
    detections: Detections,
    *,
    facts: Facts,
    weights: NDArray[np.integer[Any]] | None,
    progress: Counted | None,
) -> NDArray[np.int64]:
    """COCO's numbers, with area ranges and limits, from one matching. Returns how many true boxes count (K,)."""
    frequencies = facts.frequencies if rules_of(protocol).federated else ()
    whole = coco_metrics(
        truth,
        detections,
        limits=LIMITS[protocol],
        protocol=protocol,  # type: ignore[arg-type]
        frequencies=frequencies,
        compiled=False,
    )
    ap = whole.ap[:, :, 0, -1]
    _named_means(numbers.metrics, protocol, COCO_THRESHOLDS, mean_of_present(ap))
    _named_classes(numbers.metrics, protocol, COCO_THRESHOLDS, ap, classes=facts.classes)
    numbers.metrics.update(_renamed(whole, protocol, whole.summary()))
    if weights is not None:
        draws = whole.resampled_ap(weights, progress)
        _named_means(numbers.replicates, protocol, COCO_THRESHOLDS, mean_of_present(draws[..., 0]).T)
        numbers.replicates.update(_renamed(whole, protocol, whole.replicates(weights, draws)))
    return whole.counts[0]


def _means(
    numbers: Scored,
    protocol: str,
    result: APResult,
    classes: Sequence[str],
    *,
    weights: NDArray[np.integer[Any]] | None,
    progress: Counted | None,
) -> None:
    thresholds = result.iou_thresholds
    _named_means(numbers.metrics, protocol, thresholds, result.map)
    _named_classes(numbers.metrics, protocol, thresholds, result.ap, classes=classes)
    if weights is not None:
        draws = ap_resamples([view_of(result.matches, 0)], rules_of(protocol).levels(), weights, progress)
        _named_means(numbers.replicates, protocol, thresholds, mean_of_present(draws[:, 0]).T)


def _groups(
    numbers: Scored, protocol: str, result: APResult, by: str, *, weights: NDArray[np.integer[Any]] | None
) -> None:
    """Means over classes of groups by the objects' `area`, or by the `count` of objects in the image: at every
    threshold, of COCO's at 0.5 and over all."""
    from headstart.metrics.groups import ap_by_area, ap_by_count

    grouped = {"area": ap_by_area, "count": ap_by_count}[by](result)
    over_all = result.iou_thresholds == COCO_THRESHOLDS
    columns = {f"{t:g}": [k] for k, t in enumerate(result.iou_thresholds) if not over_all or t == 0.5}
    if over_all:
        columns[COCO_RANGE] = list(range(len(COCO_THRESHOLDS)))
    drawn = None if weights is None else grouped.replicates(weights)
    for threshold, at in columns.items():
        for g, group in enumerate(grouped.names):
            name = metric(FAMILY, "map", by=protocol, iou=threshold, of=f"{by}-{group}")
            numbers.metrics[name] = float(grouped.map[g, at].mean())
            if drawn is not None:
                numbers.replicates[name] = drawn[:, g, at].mean(-1)


def _named_means(into: dict[str, Any], protocol: str, thresholds: Sequence[float], means: NDArray[np.float64]) -> None:
    """means (T,) or (T, B)."""
    values = means.tolist() if means.ndim == 1 else list(means)
    for threshold, value in zip(thresholds, values, strict=True):
        into[metric(FAMILY, "map", by=protocol, iou=threshold)] = value
    if tuple(thresholds) == COCO_THRESHOLDS:
        over_all = means.mean(0)
        into[metric(FAMILY, "map", by=protocol, iou=COCO_RANGE)] = float(over_all) if means.ndim == 1 else over_all


def _named_classes(
    into: dict[str, float],
    protocol: str,
    thresholds: Sequence[float],
    ap: NDArray[np.float64],
    *,
    classes: Sequence[str],
) -> None:
    """ap (T, K)."""
    rows: dict[float | str, NDArray[np.float64]] = dict(zip(thresholds, ap, strict=True))
    if tuple(thresholds) == COCO_THRESHOLDS:
        rows[COCO_RANGE] = mean_of_present(ap.T)
    for threshold, values in rows.items():
        for name, value in zip(classes, values.tolist(), strict=True):
            into[metric(FAMILY, "ap", by=protocol, iou=threshold, of=name)] = value


def _renamed(whole: CocoMetrics, protocol: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        metric(FAMILY, COCO_NAMES[name][0], by=protocol, iou=COCO_RANGE, of=COCO_NAMES[name][1]): value
        for name, value in numbers.items()
        if name in COCO_NAMES
    }
