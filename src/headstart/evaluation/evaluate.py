"""Anyone's detections against a data set's boxes: named numbers with intervals, by every protocol. Imports no torch.

Letters: n images that are scored, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotations import Annotations
from headstart.data.detections import DetectionSet, read_detections, scored_rows
from headstart.data.duplicates import near_duplicate_clusters, with_groups
from headstart.errors import DataError, UsageError
from headstart.evaluation.protocol_rules import Explanation, explain_protocols
from headstart.metrics.average_precision import COCO_THRESHOLDS, PROTOCOLS, Truth
from headstart.metrics.coco import coco_metrics
from headstart.metrics.detection_errors import DetectionErrors, detection_errors
from headstart.metrics.openimages import expanded
from headstart.names import COCO_RANGE, is_of_class, metric
from headstart.stats.bootstrap import image_weights
from headstart.stats.intervals import Interval, crossed_interval, finite, paired_difference
from headstart.tasks.detection_scores import FAMILY, score_detections, score_groups
from headstart.tasks.truth import truth_of

THRESHOLDS: dict[str, tuple[float, ...]] = {
    "voc07-11pt": (0.5, 0.7),
    "voc-area": (0.5, 0.7),
    "coco": COCO_THRESHOLDS,
    "openimages": (0.5,),
}
"""IoU thresholds that each protocol is read at unless others are asked for."""

COCO_NAMES = {
    "APs": ("map", "small"),
    "APm": ("map", "medium"),
    "APl": ("map", "large"),
    "AR1": ("ar", "max1"),
    "AR10": ("ar", "max10"),
    "AR100": ("ar", "max100"),
    "ARs": ("ar", "small"),
    "ARm": ("ar", "medium"),
    "ARl": ("ar", "large"),
}
"""COCO's numbers beyond the means over classes: what is measured here, and of which objects or detections."""


@dataclass(frozen=True)
class EvaluationRequest:
    """What `evaluate` is asked for; see `headstart.api.evaluate`."""

    protocols: tuple[str, ...] = ("coco",)
    iou_thresholds: tuple[float, ...] = ()
    split: str | None = None
    bootstrap: int = 1000
    _: KW_ONLY
    clusters: bool = True
    by: tuple[str, ...] = ()
    errors: bool = False
    explain: bool = False
    allow_unknown: bool = False


@dataclass(frozen=True)
class ReadSide:
    """Facts of one set of detections: how many are scored, which were left out and why, what has none."""

    path: Path
    format: str
    count: int
    left_out: dict[str, int]
    images_without: int
    classes_without: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """Named numbers of one set of detections, and of a second one beside it.

    metrics: name -> fraction, nan where nothing can be measured; `det/PROTOCOL/map@IOU`, `det/PROTOCOL/ap@IOU/CLASS`,
    `det/PROTOCOL/map@IOU/area-small`, `det/PROTOCOL/map@IOU/count-2-3` and the like (`headstart.metrics.groups`).
    intervals: of the means over classes, by paired bootstrap over the images: they hold for these detections only.
    counts: protocol -> class -> true boxes that count. errors: protocol -> kinds of errors at its first IoU, of the
    first set. others: metrics of the second set. differences: first minus second, with the interval of the pairs.
    left_out: records of the data set that reading left out. resamples: 0 where no intervals were asked for.
    """

    data: str
    data_format: str
    split: str | None
    num_images: int
    num_clusters: int
    num_boxes: int
    left_out: int
    classes: tuple[str, ...]
    detections: ReadSide
    protocols: tuple[str, ...]
    resamples: int
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    counts: dict[str, dict[str, int]]
    errors: dict[str, DetectionErrors]
    compared: ReadSide | None
    others: dict[str, float]
    differences: dict[str, Interval]
    explanation: Explanation | None

    def to_json(self) -> dict[str, Any]:
        """Flat names; numbers that do not exist are null."""
        return {
            "data": {
                "path": self.data,
                "format": self.data_format,
                "split": self.split,
                "images": self.num_images,
                "clusters": self.num_clusters,
                "boxes": self.num_boxes,
                "left_out": self.left_out,
            },
            "detections": _side_json(self.detections),
            "protocols": list(self.protocols),
            "bootstrap": self.resamples,
            "metrics": {name: finite(value) for name, value in self.metrics.items()},
            "intervals": {name: [finite(i.lo), finite(i.hi)] for name, i in self.intervals.items()},
            "counts": self.counts,
            "errors": {
                p: {"counts": e.counts, "given_back": {k: finite(v) for k, v in e.given_back.items()}}
                for p, e in self.errors.items()
            },
            "compared": None
            if self.compared is None
            else _side_json(self.compared)
            | {
                "metrics": {name: finite(value) for name, value in self.others.items()},
                "differences": {n: [finite(i.effect), finite(i.lo), finite(i.hi)] for n, i in self.differences.items()},
            },
            "explain": None if self.explanation is None else self.explanation.to_json(),
        }


def evaluate_detections(
    detections: Path,
    annotations: Annotations,
    request: EvaluationRequest,
    other: Path | None,
    *,
    say: Callable[[str], None],
) -> Evaluation:
    """Read, score, resample, compare. `say` gets lines on what takes long.

    Raises DataError for files that do not hold together (`read_detections`), UsageError for what cannot be asked.
    """
    for protocol in request.protocols:
        if protocol not in PROTOCOLS:
            raise UsageError(f"protocol {protocol!r} is unknown. Known: {', '.join(PROTOCOLS)}, all.")
    wrong = [t for t in request.iou_thresholds if not 0 < t <= 1]
    if wrong:
        raise UsageError(f"an IoU threshold of {wrong[0]:g} means nothing; give numbers above 0, at most 1.")
    if "detect" not in annotations.tasks:
        raise DataError(
            f"{annotations.root}: a {annotations.format} data set without boxes. Name a data set whose "
            "boxes are annotated."
        )
    rows = scored_rows(annotations, request.split)
    sides = [read_detections(p, annotations, rows, request.allow_unknown) for p in (detections, other) if p is not None]
    truth = truth_of(annotations, rows)
    clusters = _clusters(annotations, rows, request, say)
    weights = image_weights(clusters, request.bootstrap) if request.bootstrap else None
    scored = [_scored(truth, annotations, side, request, weights=weights) for side in sides]
    first = scored[0]
    means = [name for name in first.metrics if not is_of_class(name)]
    return Evaluation(
        data=str(annotations.root),
        data_format=annotations.format,
        split=request.split,
        num_images=len(rows),
        num_clusters=len(np.unique(clusters)),
        num_boxes=len(truth.labels),
        left_out=len(annotations.left_out),
        classes=annotations.box_classes,
        detections=_side(detections, sides[0], annotations, rows),
        protocols=request.protocols,
        resamples=request.bootstrap,
        metrics=first.metrics,
        intervals={n: crossed_interval([first.metrics[n]], r[None]) for n, r in first.replicates.items()},
        counts=first.counts,
        errors=_errors(truth, annotations, sides[0], request) if request.errors else {},
        compared=None if other is None else _side(other, sides[1], annotations, rows),
        others=scored[1].metrics if other is not None else {},
        differences={} if other is None else {name: _difference(name, *scored) for name in means},
        explanation=explain_protocols(truth, sides[0].detections, (request.iou_thresholds or (0.5,))[0])
        if request.explain
        else None,
    )


@dataclass(frozen=True)
class _Scored:
    metrics: dict[str, float]
    replicates: dict[str, NDArray[np.float64]]
    counts: dict[str, dict[str, int]]


def _scored(
    truth: Truth,
    annotations: Annotations,
    side: DetectionSet,
    request: EvaluationRequest,
    *,
    weights: np.ndarray | None,
) -> _Scored:
    scored = _Scored({}, {}, {})
    classes = annotations.box_classes
    for protocol in request.protocols:
        thresholds = request.iou_thresholds or THRESHOLDS[protocol]
        scores = score_detections(
            _truth_for(protocol, truth, annotations),
            side.detections,
            protocol,
            classes,
            iou_thresholds=thresholds,
            image_weights=weights,
        )
        scored.metrics.update(scores.metrics)
        scored.replicates.update(scores.replicates)
        scored.counts[protocol] = dict(zip(classes, scores.result.counts.tolist(), strict=True))
        for kind in request.by:
            metrics, replicates = score_groups(scores.result, protocol, kind, weights)
            scored.metrics.update(metrics)
            scored.replicates.update(replicates)
        if protocol == "coco" and thresholds == COCO_THRESHOLDS:
            whole = coco_metrics(truth, side.detections)
            scored.metrics.update(_renamed(whole.summary()))
            if weights is not None:
                scored.replicates.update(_renamed(whole.replicates(weights)))
    return scored


def _truth_for(protocol: str, truth: Truth, annotations: Annotations) -> Truth:
    """`openimages` gives every box to the classes above its own, too."""
    return expanded(truth, _parents(annotations)) if protocol == "openimages" else truth


def _errors(
    truth: Truth, annotations: Annotations, side: DetectionSet, request: EvaluationRequest
) -> dict[str, DetectionErrors]:
    return {
        protocol: detection_errors(
            _truth_for(protocol, truth, annotations),
            side.detections,
            protocol,  # type: ignore[arg-type]
            (request.iou_thresholds or THRESHOLDS[protocol])[0],
        )
        for protocol in request.protocols
    }


def _renamed(numbers: dict[str, Any]) -> dict[str, Any]:
    return {
        metric(FAMILY, measure, by="coco", iou=COCO_RANGE, of=group): numbers[theirs]
        for theirs, (measure, group) in COCO_NAMES.items()
    }


def _parents(annotations: Annotations) -> dict[int, list[int]]:
    """Box class -> the classes right above it that have an index, too."""
    index = {name: k for k, name in enumerate(annotations.box_classes)}
    known = {index[name]: above for name, above in annotations.hierarchy.items() if name in index}
    return {child: [index[p] for p in above if p in index] for child, above in known.items()}


def _clusters(
    annotations: Annotations, rows: NDArray[np.int64], request: EvaluationRequest, say: Callable[[str], None]
) -> NDArray[np.int64]:
    """(n,) images of one cluster are drawn together: near-duplicates, and the source's own groups."""
    if not (request.bootstrap and request.clusters):
        return np.arange(len(rows))
    say(f"looking for near-duplicates among {len(rows):,} images (--no-clusters leaves this out)")
    clusters = near_duplicate_clusters(annotations, rows, on_bad_image="skip")
    return with_groups(annotations, rows, clusters)


def _difference(name: str, a: _Scored, b: _Scored) -> Interval:
    """First minus second, resample by resample; without resamples the difference alone."""
    if name in a.replicates:
        draws = a.replicates[name][None], b.replicates[name][None]
        return paired_difference([a.metrics[name]], draws[0], [b.metrics[name]], draws[1])
    effect = a.metrics[name] - b.metrics[name]
    return Interval(effect, math.nan, math.nan, None, math.nan, math.nan, (effect,))


def _side(path: Path, side: DetectionSet, annotations: Annotations, rows: NDArray[np.int64]) -> ReadSide:
    images = rows[np.unique(side.detections.image_index)]
    scored, named = {str(s) for s in annotations.splits[rows]}, {str(s) for s in annotations.splits[images]}
    notes = list(side.notes)
    if len(named) == 1 < len(scored) and (split := named.pop()):
        notes.append(f"every detection is on an image of split {split!r}; --split {split} scores these images only")
    count = len(side.detections.scores)
    return ReadSide(
        path,
        side.format,
        count,
        side.left_out,
        images_without=side.images_without,
        classes_without=side.classes_without,
        notes=tuple(notes),
    )


def _side_json(side: ReadSide) -> dict[str, Any]:
    return {
        "path": str(side.path),
        "format": side.format,
        "count": side.count,
        "left_out": side.left_out,
        "images_without": side.images_without,
        "classes_without": list(side.classes_without),
        "notes": list(side.notes),
    }


def thresholds_of(given: Sequence[str]) -> tuple[float, ...]:
    """IoU thresholds as users write them: `0.5`, `0.5,0.7`, `0.5:0.95` (steps of 0.05). Raises UsageError."""
    thresholds: list[float] = []
    for part in (part.strip() for word in given for part in word.split(",")):
        try:
            ends = [float(end) for end in part.split(":")]
        except ValueError:
            ends = []
        if len(ends) == 1:
            thresholds.append(ends[0])
        elif len(ends) == 2 and ends[0] <= ends[1]:
            thresholds += [round(ends[0] + 0.05 * k, 10) for k in range(round((ends[1] - ends[0]) / 0.05) + 1)]
        else:
            raise UsageError(f"--iou {part!r} is no IoU threshold; write 0.5, or 0.5,0.7, or 0.5:0.95.")
    return tuple(dict.fromkeys(thresholds))
