"""Anyone's detections against a data set's boxes: named numbers with intervals, by every protocol. Imports no torch.

Letters: n images that are scored, B resamples. No image is opened unless near-duplicates are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotations import Annotations
from headstart.data.detections import DetectionSet, read_detections, scored_rows
from headstart.data.thumbnail_files import kept_thumbnails
from headstart.errors import DataError, UsageError
from headstart.evaluation.request import EvaluationRequest
from headstart.evaluation.result import Evaluation, ReadSide
from headstart.evaluation.scoring import Facts, Scored, scored, truth_for
from headstart.evaluation.seeds import differences_of, intervals_of, mean_metrics
from headstart.metrics.boxes import CROWD, DIFFICULT, GROUP_OF, Detections, Truth
from headstart.metrics.protocols import rules_of
from headstart.progress import Counted
from headstart.stats.bootstrap import image_weights
from headstart.tasks.truth import truth_of

if TYPE_CHECKING:
    from headstart.evaluation.masks import Sizes
    from headstart.evaluation.protocol_rules import Explanation
    from headstart.metrics.detection_errors import DetectionErrors

APART = "each image alone"
Said = Callable[[str], None]


def evaluate_detections(
    detections: Sequence[Path],
    annotations: Annotations,
    request: EvaluationRequest,
    others: Sequence[Path] = (),
    *,
    say: Said,
    progress: Counted | None = None,
) -> Evaluation:
    """Read, score, resample, compare. detections, others: one file, or one of every seed. `say` gets lines on what
    takes long, `progress` how many resamples are done of how many.

    Raises DataError for files that do not hold together (`read_detections`), UsageError for what cannot be asked.
    """
    request.check()
    if not detections:
        raise UsageError("no file of detections is given. Name one, or one of every seed.")
    if "detect" not in annotations.tasks:
        raise DataError(
            f"{annotations.root}: a {annotations.format} data set without boxes. Name a data set whose "
            "boxes are annotated."
        )
    rows = scored_rows(annotations, request.split)
    paths = (*detections, *others)
    sides = [read_detections(path, annotations, rows, request.allow_unknown) for path in paths]
    truth, found = _compared(truth_of(annotations, rows), sides, annotations, rows, request=request, say=say)
    clusters, clustered = _clusters(annotations, rows, request, say)
    weights = image_weights(clusters, request.bootstrap) if request.bootstrap else None
    facts = _facts(annotations)
    numbers: list[Scored] = []
    for k, columns in enumerate(found):
        shown = progress and _part(progress, k * len(request.protocols), len(found) * len(request.protocols))
        numbers.append(scored(truth, columns, facts, request, weights=weights, progress=shown))
    first, second = numbers[: len(detections)], numbers[len(detections) :]
    read = [_side(path, side, annotations, rows) for path, side in zip(paths, sides, strict=True)]
    return Evaluation(
        data=str(annotations.root),
        data_format=annotations.format,
        split=request.split,
        num_images=len(rows),
        num_clusters=int(np.count_nonzero(np.bincount(clusters))),
        clustered=clustered,
        num_boxes=len(truth.labels),
        left_out=annotations.num_left_out,
        notes=(*_without_numbers(truth, first[0].counts), *_notes(annotations, truth, request)),
        classes=annotations.box_classes,
        seeds=tuple(read[: len(detections)]),
        protocols=request.protocols,
        resamples=request.bootstrap,
        metrics=mean_metrics(first),
        intervals=intervals_of(first),
        counts=first[0].counts,
        errors=_errors(truth, facts, found[0], request) if request.errors else {},
        compared_seeds=tuple(read[len(detections) :]),
        others=mean_metrics(second) if second else {},
        differences=differences_of(first, second) if second else {},
        explanation=_explanation(truth, found[0], request) if request.explain else None,
    )


def _compared(
    truth: Truth,
    sides: Sequence[DetectionSet],
    annotations: Annotations,
    rows: NDArray[np.int64],
    *,
    request: EvaluationRequest,
    say: Said,
) -> tuple[Truth, list[Detections]]:
    """The truth and each set of detections, with masks where a protocol compares masks."""
    if not request.needs_masks:
        return truth, [side.detections for side in sides]
    from headstart.evaluation.masks import detection_masks, truth_masks  # loads what decodes images

    sizes: Sizes = {}
    found = [detection_masks(side, annotations, rows, sizes) for side in sides]
    return truth_masks(truth, annotations, rows, sizes, say=say), found


def _facts(annotations: Annotations) -> Facts:
    classes = annotations.box_classes
    index = {name: k for k, name in enumerate(classes)}
    known = {index[name]: above for name, above in annotations.hierarchy.items() if name in index}
    parents = {child: [index[p] for p in above if p in index] for child, above in known.items()}
    kinds = annotations.class_kinds
    return Facts(classes, parents, tuple(kinds.get(name, "") for name in classes) if kinds else ())


def _errors(
    truth: Truth, facts: Facts, detections: Detections, request: EvaluationRequest
) -> dict[str, DetectionErrors]:
    from headstart.metrics.detection_errors import detection_errors

    return {
        protocol: detection_errors(
            truth_for(protocol, truth, facts),
            detections,
            protocol,  # type: ignore[arg-type]
            request.thresholds(protocol)[0],
        )
        for protocol in request.protocols
    }


def _explanation(truth: Truth, detections: Detections, request: EvaluationRequest) -> Explanation:
    from headstart.evaluation.protocol_rules import explain_protocols

    return explain_protocols(truth, detections, (request.iou_thresholds or (0.5,))[0])


def _clusters(
    annotations: Annotations, rows: NDArray[np.int64], request: EvaluationRequest, say: Said
) -> tuple[NDArray[np.int64], str]:
    """(n,) images of one cluster are drawn together; and what was done to find them."""
    apart = np.arange(len(rows))
    if not request.bootstrap or request.clusters is False:
        return apart, APART
    clusters, how = apart, APART
    if request.clusters:
        _require_image(annotations, int(rows[0]))
        from headstart.data.duplicates import near_duplicate_clusters

        say(f"looking for near-duplicates among {len(rows):,} images (--no-clusters leaves this out)")
        clusters, how = near_duplicate_clusters(annotations, rows, on_bad_image="skip"), "near-duplicates together"
    elif kept_thumbnails(annotations.place).is_file():
        from headstart.data.duplicates import known_clusters

        known = known_clusters(annotations, rows)
        if known is not None:
            clusters, how = known, "near-duplicates, known from before, together"
    if annotations.groups is not None:
        from headstart.data.duplicates import with_groups

        how = "the source's groups together" if how == APART else f"{how}, and the source's groups"
        clusters = with_groups(annotations, rows, clusters)
    return clusters, how


def _require_image(annotations: Annotations, row: int) -> None:
    path = annotations.image_path(row)
    if not path.is_file():
        raise DataError(
            f"{path}: no such image, so near-duplicates cannot be looked for. Say where the images are with --read "
            "images=FOLDER, or leave --clusters out."
        )


def _without_numbers(truth: Truth, counts: dict[str, dict[str, int]]) -> tuple[str, ...]:
    """Why protocols have no number at all: no true box counts by their rules."""
    empty = [protocol for protocol, of_classes in counts.items() if not any(of_classes.values())]
    if not empty:
        return ()
    kinds = {"difficult": DIFFICULT, "crowd": CROWD, "group-of": GROUP_OF}
    flagged = {name: int(((truth.flags & bit) != 0).sum()) for name, bit in kinds.items()}
    why = ", ".join(f"{count:,} {name}" for name, count in flagged.items() if count)
    boxes = f"none of the {len(truth.labels):,} true boxes counts ({why or 'they are too large'})"
    if not len(truth.labels):
        boxes = "the images that are scored have no true box"
    return (f"{', '.join(empty)}: {boxes}, so there is nothing to measure",)


def _notes(annotations: Annotations, truth: Truth, request: EvaluationRequest) -> tuple[str, ...]:
    """What the protocols that were asked for lack in this data set."""
    notes = []
    federated = [p for p in request.protocols if rules_of(p).federated]
    if federated and truth.verified is None:
        notes.append(
            f"{federated[0]}: the data set does not say which classes were verified in an image, so all count as "
            "verified (LVIS files do, in neg_category_ids; --format lvis reads them)"
        )
    if federated and not annotations.class_kinds:
        notes.append(f"{federated[0]}: no class has a frequency, so there is no AP of rare, common and frequent ones")
    return tuple(notes)


def _part(progress: Counted, before: int, parts: int) -> Counted:
    """Progress of some of the parts, of which `before` are done."""
    done_before = before

    def show(done: int, of: int) -> None:
        progress(done_before * of + done, parts * of)

    return show


def _side(path: Path, side: DetectionSet, annotations: Annotations, rows: NDArray[np.int64]) -> ReadSide:
    images = rows[np.bincount(side.detections.image_index, minlength=len(rows)) > 0]
    splits = annotations.splits
    scored_splits, named = (set(splits[chosen].tolist()) for chosen in (rows, images))
    notes = list(side.notes)
    if len(named) == 1 < len(scored_splits) and (split := named.pop()):
        notes.append(f"every detection is on an image of split {split!r}; --split {split} scores these images only")
    return ReadSide(
        path,
        side.format,
        len(side.detections.scores),
        side.left_out,
        images_without=side.images_without,
        classes_without=side.classes_without,
        notes=tuple(notes),
    )
