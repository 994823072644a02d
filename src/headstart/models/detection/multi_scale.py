"""Detection at several scales (SNIP and SNIPER, arXiv 1805.09300): each scale answers for the sizes that suit it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.batches.chips.scales import Scale
from headstart.models.detection.soft_nms import LEAST, SIGMA, soft_nms
from headstart.models.detection.targets import Detected, in_range

MOST = 200
"""Detections of an image over all scales."""
MULTIPLE = 32
"""Images are padded at the right and below to a multiple of so many pixels."""


@torch.no_grad()
def detect_scales(model: Any, images: Tensor, scales: Sequence[Scale], most: int = MOST) -> list[Detected]:
    """Detections of preprocessed images (B, 3, H, W) at each scale, merged; boxes in pixels of these images."""
    height, width = images.shape[2:]
    by_scale: list[list[Detected]] = []
    for scale in scales:
        factor = float(scale.factors(np.array([[height, width]]))[0])
        inside = (max(1, int(height * factor)), max(1, int(width * factor)))
        scaled = F.interpolate(images, size=inside, mode="bilinear", align_corners=False, antialias=factor < 1)
        below, right = (math.ceil(side / MULTIPLE) * MULTIPLE - side for side in inside)
        by = images.new_tensor([width / inside[1], height / inside[0]]).repeat(2)
        by_scale.append(
            [
                Detected(d.boxes_xyxy * by, d.scores, d.labels)
                for d in model.detect(F.pad(scaled, (0, right, 0, below)), score_threshold=LEAST, max_detections=most)
            ]
        )
    return [merge_scales([of_scale[i] for of_scale in by_scale], scales, most) for i in range(len(images))]


def merge_scales(
    found: Sequence[Detected], scales: Sequence[Scale], most: int = MOST, sigma: float = SIGMA
) -> Detected:
    """One image's detections at all scales: of each those in its range [lo, hi), then soft-NMS, the surest `most`. At a
    single scale the detector's own suppression is enough.

    Boxes are in pixels of the original image, whatever the scale they were found at.
    """
    parts = []
    for detected, scale in zip(found, scales, strict=True):
        keep = in_range(detected.boxes_xyxy, detected.boxes_xyxy.new_tensor([scale.lo, scale.hi]))
        parts.append((detected.boxes_xyxy[keep], detected.scores[keep], detected.labels[keep]))
    if len(parts) == 1:
        return Detected(*(values[:most] for values in parts[0]))
    boxes, scores, labels = (torch.cat(values) for values in zip(*parts, strict=True))
    rows, softened = soft_nms(boxes.cpu().numpy(), scores.cpu().numpy(), labels.cpu().numpy(), sigma)
    chosen = torch.from_numpy(rows[:most]).to(boxes.device)
    return Detected(boxes[chosen], torch.from_numpy(softened[:most]).to(scores), labels[chosen])
