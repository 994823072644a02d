"""Detection on whole images of any size, at one scale or several, decoded one after the other; and its score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from headstart.batches.chips.scales import Scale
from headstart.data.annotations import Annotations
from headstart.metrics.average_precision import COCO_THRESHOLDS, Detections
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.detection.multi_scale import MOST
from headstart.progress import Progress, silent
from headstart.tasks.detection_scores import score_detections
from headstart.tasks.inference import ImageColumns, detected, joined, whole_images
from headstart.tasks.truth import truth_of
from headstart.train.distributed import ALONE, World


def detect_images(
    model: Any,
    preprocessing: Preprocessing,
    annotations: Annotations,
    scales: Sequence[Scale],
    *,
    world: World = ALONE,
    most: int = MOST,
    progress: Progress = silent,
) -> dict[str, NDArray[Any]]:
    """Detections of every image, boxes in pixels of the original images: image_index, boxes_xyxy, labels, scores.

    With several processes each takes its share of the images, none twice, and all return all detections.
    """
    rows = world.share_of(len(annotations))
    columns: list[ImageColumns] = []
    for of_image in detected(model, preprocessing, whole_images(annotations, rows), scales, most=most):
        columns += of_image
        progress(len(columns) / len(rows), f"validation image {len(columns)}/{len(rows)}")
    every = [of_image for of_process in world.gather(columns) for of_image in of_process]
    return joined(sorted(every, key=lambda of_image: int(of_image[0][0]) if len(of_image[0]) else -1))


def score_images(annotations: Annotations, detections: dict[str, NDArray[Any]], protocol: str) -> dict[str, float]:
    """Average precision of detections in original pixels, by a protocol; names as in `score_detections`."""
    truth = truth_of(annotations)
    return score_detections(
        truth,
        Detections(**detections),  # type: ignore[arg-type]
        protocol,
        annotations.box_classes,
        iou_thresholds=COCO_THRESHOLDS,
        per_class_at=(),
    ).metrics
