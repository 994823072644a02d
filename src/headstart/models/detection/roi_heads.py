"""The second stage: what each proposal is and where its box lies exactly.

Letters: B images, N proposals of an image, R of them trained on, K classes, k x k bins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou, roi_align

from headstart.models.backbones.deformable import DeformRoIPool
from headstart.models.detection.anchors import BACKGROUND, IGNORED, decode, encode, leave_out, match, sample
from headstart.models.detection.roi_classes import DecoupledClasses, SoftmaxClasses, background_weight
from headstart.models.detection.targets import Detected, Targets, full, in_range, select_each
from headstart.models.normalizers import over_processes
from headstart.names import COUNT

DEVIATIONS = (0.1, 0.2)
"""Usual deviations of centers and sides; boxes are told in these."""
OBJECT_FROM = 0.5
"""IoU with a box from which a RoI is an object."""
SUPPRESSED_FROM = 0.5
CELLS = 14
"""A RoI is read from the coarsest level where its side is at least so many cells: 224 pixels at stride 16."""

Pooling = Literal["align", "deform", "deform-modulated"]
Features = Callable[[Tensor], Tensor]
"""Pooled RoIs (N, C, k, k) -> (N, width)."""


class RoiPool(nn.Module):
    """RoI align, or deformable RoI pooling, on the level that fits each RoI's size."""

    def __init__(self, kind: Pooling, size: int, strides: Sequence[int], channels: int, *, width: int) -> None:
        super().__init__()
        self.size, self.strides = size, tuple(strides)
        self.deform = None if kind == "align" else DeformRoIPool(channels, size, width, kind == "deform-modulated")

    def forward(self, maps: Sequence[Tensor], rois: Tensor) -> Tensor:
        """maps (B, C, h, w), finest first; rois (N, 5): image, xyxy in pixels -> (N, C, size, size)."""
        if len(maps) == 1:
            return self._pool(maps[0], rois, self.strides[0])
        side = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).clamp(min=0).sqrt()
        level = torch.bucketize(side / CELLS, rois.new_tensor(self.strides[1:]), right=True)
        order, pooled = [], []
        for k, (features, stride) in enumerate(zip(maps, self.strides, strict=True)):
            rows = (level == k).nonzero().flatten()
            order.append(rows)
            pooled.append(self._pool(features, rois[rows], stride))
        return torch.cat(pooled)[torch.cat(order).argsort()]

    def _pool(self, features: Tensor, rois: Tensor, stride: int) -> Tensor:
        if self.deform is not None:
            return self.deform(full(features), rois, 1 / stride)
        return roi_align(full(features), rois, self.size, 1 / stride, 2, aligned=True)


class Chosen(NamedTuple):
    """RoIs trained on: boxes (B, R, 4), labels (B, R) with K for background, boxes aimed at (B, R, 4), weights (B, R):
    0 where a place is empty."""

    boxes: Tensor
    labels: Tensor
    aims: Tensor
    weights: Tensor


class RoiHead(nn.Module):
    """Classes and boxes of RoIs, from features that `features` makes of the pooled RoIs."""

    def __init__(
        self,
        pool: RoiPool,
        width: int,
        num_classes: int,
        rois: int,
        *,
        positive_part: float,
        class_agnostic: bool,
        decoupled: bool,
        soft_background: bool,
    ) -> None:
        super().__init__()
        self.pool, self.num_classes, self.rois, self.positive_part = pool, num_classes, rois, positive_part
        self.class_agnostic, self.soft_background = class_agnostic, soft_background
        self.classes = (DecoupledClasses if decoupled else SoftmaxClasses)(width, num_classes)
        self.boxes = nn.Linear(width, 4 if class_agnostic else 4 * num_classes)
        nn.init.normal_(self.boxes.weight, std=0.001)
        nn.init.zeros_(self.boxes.bias)

    @torch.no_grad()
    def choose(self, proposals: Tensor, scores: Tensor, targets: Targets) -> Chosen:
        """RoIs to train on, of proposals (B, N, 4), those of score -1 left out, and of the true boxes in range."""
        parts = []
        for i, (boxes, score) in enumerate(zip(proposals, scores, strict=True)):
            true = targets.boxes_xyxy[i].to(boxes.dtype)
            usable = score >= 0
            in_reach = torch.ones(len(true), dtype=torch.bool, device=boxes.device)
            if targets.valid_range is not None:
                in_reach = in_range(true, targets.valid_range[i].to(boxes.dtype))
            candidates, usable = torch.cat([boxes, true]), torch.cat([usable, in_reach])
            rows = match(true, candidates, OBJECT_FROM, OBJECT_FROM, rescue=False)
            ignored, groups = targets.ignored_of(i), targets.groups_of(i)
            rows = leave_out(rows, candidates, ignored, groups, least_iou=OBJECT_FROM, positives_too=False)
            rows = torch.where(usable, rows, IGNORED)
            chosen = sample(rows, self.rois, self.positive_part, targets.seed_of(i), purpose=1)
            first = chosen.to(torch.int8).argsort(descending=True, stable=True)[: self.rois]
            rows, chosen, candidates = rows[first], chosen[first], candidates[first]
            weights = chosen.to(boxes.dtype)
            if self.soft_background:
                far = candidates.new_zeros(len(candidates))
                soft = background_weight(box_iou(candidates, true).amax(1) if len(true) else far)
                weights = torch.where(rows == BACKGROUND, weights * soft, weights)
            some = torch.cat([true, candidates[:1]])[rows.clamp(min=0)]  # one more, for images without boxes
            labels = torch.cat([targets.labels[i], targets.labels[i].new_zeros(1)])[rows.clamp(min=0)]
            parts.append(Chosen(candidates, torch.where(rows >= 0, labels, self.num_classes), some, weights))
        return Chosen(*(torch.stack(values) for values in zip(*parts, strict=True)))

    def losses(self, x: Tensor, chosen: Chosen) -> dict[str, Tensor]:
        """Of the classes, and smooth L1 of the boxes; divided by the number of RoIs. x (B * R, width): features."""
        labels, weights = chosen.labels.flatten(), chosen.weights.flatten()
        count = over_processes((weights > 0).sum().to(weights.dtype))
        codes = full(self.boxes(x)).view(len(x), -1, 4)
        if not self.class_agnostic:
            codes = codes[torch.arange(len(x), device=x.device), labels.clamp(max=self.num_classes - 1)][:, None]
        wanted = encode(chosen.aims, chosen.boxes, DEVIATIONS).view(-1, 4)
        off = F.smooth_l1_loss(codes[:, 0], wanted, reduction="none").sum(1)
        objects = (labels < self.num_classes) & (weights > 0)
        counts = {COUNT + "object_rois": objects.sum().to(weights.dtype)}
        return self.classes.losses(x, labels, weights, count) | {"boxes": (off * objects).sum() / count} | counts

    @torch.no_grad()
    def detect(
        self,
        maps: Sequence[Tensor],
        proposals: Tensor,
        scores: Tensor,
        features: Features,
        *,
        size_hw: tuple[int, int],
        threshold: float,
        most: int,
    ) -> list[Detected]:
        """Detections of proposals (B, N, 4); those of score -1 are no proposals."""
        x = features(self.pool(maps, with_image(proposals)))
        count = proposals.shape[1]
        sure = self.classes(x).view(len(proposals), count, -1) * (scores >= 0)[..., None]
        codes = full(self.boxes(x)).view(len(proposals), count, -1, 4)

        def boxes_of(image: int, rows: Tensor, labels: Tensor) -> Tensor:
            of_class = codes[image, rows, 0 if self.class_agnostic else labels]
            return decode(of_class, proposals[image, rows], DEVIATIONS)

        return select_each(sure, boxes_of, size_hw, threshold, iou=SUPPRESSED_FROM, most=most)


def with_image(boxes: Tensor) -> Tensor:
    """Boxes (B, R, 4) as rows (B * R, 5) whose first number is the image."""
    image = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)[:, None, None]
    return torch.cat([image.expand(-1, boxes.shape[1], 1), boxes], -1).reshape(-1, 5)
