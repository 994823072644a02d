"""Detection on whole images of any size, at one scale or several, decoded one after the other; and its score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.batches.chips.scales import Scale
from headstart.data.annotations import Annotations
from headstart.metrics.average_precision import COCO_THRESHOLDS, Detections, Truth
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.detection.multi_scale import MOST, detect_scales
from headstart.places.images import read_rgb
from headstart.progress import Progress, silent
from headstart.tasks.detection_scores import score_detections
from headstart.train.distributed import ALONE, World


@torch.no_grad()
def detect_images(
    model: Any,
    preprocessing: Preprocessing,
    annotations: Annotations,
    scales: Sequence[Scale],
    world: World = ALONE,
    most: int = MOST,
    progress: Progress = silent,
) -> dict[str, NDArray[Any]]:
    """Detections of every image, boxes in pixels of the original images: image_index, boxes_xyxy, labels, scores.

    With several processes each takes its share of the images, none twice, and all return all detections.
    """
    model.eval()
    own, dtype = world.share_of(len(annotations)), next(model.parameters()).dtype
    columns: list[tuple[NDArray, ...]] = []
    for done, i in enumerate(own):
        pixels = torch.from_numpy(read_rgb(annotations.image_path(i), annotations.size_hw(i) or None).copy())
        image = preprocessing.apply(pixels.permute(2, 0, 1)[None].to(world.device)).to(dtype)
        found = detect_scales(model, image, scales, most)[0]
        columns.append(
            (
                np.full(len(found.labels), i, np.int64),
                found.boxes_xyxy.double().cpu().numpy(),
                found.labels.cpu().numpy().astype(np.int64),
                found.scores.float().cpu().numpy(),
            )
        )
        progress((done + 1) / len(own), f"validation image {done + 1}/{len(own)}")
    every = [part for parts in world.gather(columns) for part in parts]
    every.sort(key=lambda part: int(part[0][0]) if len(part[0]) else -1)
    names = ("image_index", "boxes_xyxy", "labels", "scores")
    empty = (np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.float32))
    joined = [np.concatenate([empty[k], *(part[k] for part in every)]) for k in range(len(names))]
    return dict(zip(names, joined, strict=True))


def score_images(annotations: Annotations, found: dict[str, NDArray[Any]], protocol: str) -> dict[str, float]:
    """Average precision of detections in original pixels, by a protocol; names as in `score_detections`."""
    truth = Truth(
        image_index=np.repeat(np.arange(len(annotations)), np.diff(annotations.box_offsets)),
        boxes_xyxy=annotations.boxes_xyxy,
        labels=annotations.box_labels.astype(np.int64),
        flags=annotations.box_flags,
        num_images=len(annotations),
        num_classes=len(annotations.box_classes),
    )
    detections = Detections(found["image_index"], found["boxes_xyxy"], found["labels"], found["scores"])
    classes = annotations.box_classes
    return score_detections(truth, detections, protocol, classes, COCO_THRESHOLDS, per_class_at=()).metrics
