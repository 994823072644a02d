"""What detectors are trained on and what they return. Boxes are xyxy in input pixels, continuous edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torchvision.ops import batched_nms, clip_boxes_to_image

from headstart.names import COUNT

POSITIVES = COUNT + "positives"
"""Places (locations, anchors, RoIs) of a batch that answer for a box."""
CANDIDATES = 400
"""Pairs of box and class of an image that suppression looks at."""


@dataclass(frozen=True)
class Detected:
    """Detections of one image: boxes_xyxy (N, 4) in input pixels, scores (N,) falling, labels (N,)."""

    boxes_xyxy: Tensor
    scores: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Targets:
    """Truth of a batch, one entry an image: boxes_xyxy (N, 4) float32 and labels (N,) int64, 0..K-1."""

    boxes_xyxy: list[Tensor]
    labels: list[Tensor]
    ignored: list[Tensor] | None = None
    """Boxes (M, 4) that are neither targets nor background: out of the range of a chip's scale, or cut by its edge."""
    group_of: list[Tensor] | None = None
    """Boxes (M, 4) of many objects in one: what lies in them is no background."""
    valid_range: Tensor | None = None
    """(B, 2) square roots of areas, in input pixels, that proposals and their targets may have: [lo, hi)."""

    seeds: Tensor | None = None
    """(B,) int64: what is drawn at random for an image follows from its number; None: from torch's generator."""

    def ignored_of(self, image: int) -> Tensor:
        """Ignored boxes of one image, none where none are given."""
        return self.ignored[image] if self.ignored else self.boxes_xyxy[image][:0]

    def seed_of(self, image: int) -> Tensor | None:
        """The number that draws for one image follow from."""
        return None if self.seeds is None else self.seeds[image]

    def groups_of(self, image: int) -> Tensor:
        """Group-of boxes of one image, none where none are given."""
        return self.group_of[image] if self.group_of else self.boxes_xyxy[image][:0]


def in_range(boxes_xyxy: Tensor, valid_range: Tensor) -> Tensor:
    """Whether the square root of each box's area (..., 4) lies in [lo, hi) of valid_range (2,)."""
    area = (boxes_xyxy[..., 2] - boxes_xyxy[..., 0]) * (boxes_xyxy[..., 3] - boxes_xyxy[..., 1])
    root = area.clamp(min=0).sqrt()
    return (root >= valid_range[0]) & (root < valid_range[1])


def full(x: Tensor) -> Tensor:
    """x in at least single precision: losses and boxes are not computed in half."""
    return x if x.dtype == torch.float64 else x.float()


Reach = Callable[[Tensor, Tensor], Tensor]
"""Boxes (M, 4) in input pixels and labels (M,) -> whether each can be found (M,) bool."""


def survivors(rows: Tensor, boxes: Tensor, labels: Tensor, iou: float) -> Tensor:
    """Which boxes (M,) bool are found by places that answer for boxes as `rows` (L,) says (below 0: for none), each
    with the exact box and full score, after suppression by class."""
    found = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    own = rows[rows >= 0].unique()
    kept = batched_nms(boxes[own].float(), boxes.new_ones(len(own)).float(), labels[own], iou)
    found[own[kept]] = True
    return found


def select_each(
    scores: Iterable[Tensor],
    boxes_of: Callable[[int, Tensor, Tensor], Tensor],
    size_hw: tuple[int, int],
    threshold: float,
    *,
    iou: float,
    most: int,
) -> list[Detected]:
    """`select` for every image of a batch; boxes_of(image, rows, labels)."""
    return [
        select(of_image, partial(boxes_of, i), size_hw, threshold, iou=iou, most=most)
        for i, of_image in enumerate(scores)
    ]


def select(
    scores: Tensor,
    boxes_of: Callable[[Tensor, Tensor], Tensor],
    size_hw: tuple[int, int],
    threshold: float,
    *,
    iou: float,
    most: int,
) -> Detected:
    """The surest detections of an image after suppression by class.

    scores (L, K); boxes_of(rows, labels) -> boxes (N, 4) of these; size_hw: pixels that boxes are clipped to; boxes of
    a class that overlap a surer one by more than `iou` are left out.
    """
    top, flat = scores.flatten().topk(min(CANDIDATES, scores.numel()))
    flat = flat[top > threshold]
    rows, labels = flat // scores.shape[1], flat % scores.shape[1]
    boxes = clip_boxes_to_image(boxes_of(rows, labels), size_hw)
    value = scores.flatten()[flat]
    keep = batched_nms(boxes, value, labels, iou)[:most]
    return Detected(boxes[keep], value[keep], labels[keep])
