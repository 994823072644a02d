"""A small anchor-free detector, after FCOS (arXiv 1904.01355), that any backbone can carry.

Shapes: B images, L locations (all levels together), K classes, M boxes of the image with most boxes.
Boxes are xyxy in input pixels, continuous edges; labels 0..K-1 without background.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from headstart.models.detection.anchors import grid_points
from headstart.models.detection.necks import TopDown, start_small
from headstart.models.detection.parts import ClassRows
from headstart.models.detection.published import PublishedPyramid, grouped_tower
from headstart.models.detection.targets import POSITIVES, Detected, Reach, Targets, select_each, survivors
from headstart.models.normalizers import over_processes

SUPPRESSED_FROM = 0.6
PRIOR = 0.01
"""Every class starts at this probability, so that the first updates are not spent on background (arXiv 1708.02002)."""


class FcosDetector(nn.Module):
    """Backbone, top-down neck, one tower of `depth` 3x3 convolutions shared by the levels; classes, box sides,
    center-ness at each location. With `coarser` levels the neck is a pyramid: P3..P7 for C3, C4, C5 and 2.

    Every location inside a box is positive for it (the smallest one where boxes overlap). With several levels,
    a location serves boxes whose farthest side is within 8 strides of its level.

    published: with torchvision's pyramid and two towers, for classes and for the rest; sides are told by a ReLU.
    class_weight: of the classes' loss against the other two.
    """

    class_rows = (ClassRows("classes."),)

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        levels: tuple[str, ...],
        channels: int,
        *,
        coarser: int = 0,
        depth: int = 1,
        published: bool = False,
        class_weight: float = 4.0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.num_classes, self.published, self.class_weight = num_classes, published, class_weight
        if published:
            self.neck: TopDown | PublishedPyramid = PublishedPyramid(backbone, levels, channels, coarser)
            self.tower, self.box_tower = grouped_tower(channels, depth), grouped_tower(channels, depth)
        else:
            self.neck = TopDown(backbone, levels, channels, coarser, smooth=coarser > 0)
            self.tower = tower(channels, depth)
        self.strides = self.neck.strides
        self.classes = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.sides = nn.Conv2d(channels, 4, 3, padding=1)
        self.centerness = nn.Conv2d(channels, 1, 3, padding=1)
        start_small(self.classes, self.sides, self.centerness)
        nn.init.constant_(self.classes.bias, -torch.tensor((1 - PRIOR) / PRIOR).log().item())  # type: ignore[arg-type]
        nn.init.constant_(self.sides.bias, 1.0)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Preprocessed images (B, 3, H, W) -> class logits (B, L, K), sides (B, L, 4) in pixels, center-ness logits
        (B, L), location centers (L, 2) x y in pixels, strides (L,)."""
        logits, sides, centers, points, strides = [], [], [], [], []
        for stride, level in zip(self.strides, self.neck(self.backbone(images)), strict=True):
            x = self.tower(level)
            logits.append(self.classes(x).flatten(2).transpose(1, 2))
            x = self.box_tower(level) if self.published else x
            told = self.sides(x).flatten(2).transpose(1, 2)
            sides.append((told.relu() if self.published else told.clamp(max=6).exp()) * stride)
            centers.append(self.centerness(x).flatten(1))
            points.append(grid_points(x.shape[-2], x.shape[-1], stride, x.device))
            strides.append(torch.full((points[-1].shape[0],), float(stride), device=x.device))
        return torch.cat(logits, 1), torch.cat(sides, 1), torch.cat(centers, 1), torch.cat(points), torch.cat(strides)

    def losses(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Focal loss, GIoU weighted by center-ness, center-ness; each divided by the number (weight) of positives."""
        logits, sides, centers, points, strides = self(images)
        labels, target_sides = assign(points, strides, targets, last_stride=float(self.strides[-1]))
        positive = labels >= 0
        num_positive = over_processes(positive.sum().to(logits.dtype))
        onehot = F.one_hot(labels.clamp(min=0), self.num_classes).to(logits.dtype) * positive[..., None]
        focal = sigmoid_focal_loss(logits, onehot)
        if targets.ignored or targets.group_of:
            focal = focal * (positive | ~in_left_out(points, targets))[..., None]
        classes = self.class_weight * focal.sum() / num_positive
        inside = target_sides[positive].to(sides.dtype)
        weight = centerness_of(inside)
        boxes = (giou_loss(sides[positive], inside) * weight).sum() / over_processes(weight.sum(), least=1e-6)
        center = F.binary_cross_entropy_with_logits(centers[positive], weight, reduction="sum") / num_positive
        count = {POSITIVES: positive.sum().to(logits.dtype)}
        return {"classes": classes, "boxes": boxes, "centerness": center} | count

    @torch.no_grad()
    def detect(self, images: Tensor, score_threshold: float = 0.02, max_detections: int = 100) -> list[Detected]:
        """Per-class NMS at IoU 0.6; score = sqrt(class x center-ness)."""
        logits, sides, centers, points, _ = self(images)
        scores = (logits.sigmoid() * centers.sigmoid()[..., None]).sqrt()

        def boxes_of(image: int, rows: Tensor, labels: Tensor) -> Tensor:
            return sides_to_boxes(points[rows], sides[image, rows])

        size_hw = (images.shape[2], images.shape[3])
        return select_each(scores, boxes_of, size_hw, score_threshold, iou=SUPPRESSED_FROM, most=max_detections)

    @torch.no_grad()
    def reach(self, image: Tensor) -> Reach:
        """What detectors of this grid can find on images of this size, (1, 3, H, W), if classes and sides are exact."""
        points, strides = self(image)[3:]

        def found(boxes: Tensor, labels: Tensor) -> Tensor:
            rows, _ = answering(points, strides, [boxes], last_stride=float(self.strides[-1]))
            return survivors(rows[0], boxes, labels, SUPPRESSED_FROM)

        return found


def tower(channels: int, depth: int) -> nn.Sequential:
    """`depth` times a 3x3 convolution, batch norm, ReLU."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*layers)


def sides_to_boxes(points: Tensor, sides: Tensor) -> Tensor:
    """points (..., 2), sides (..., 4) as left top right bottom distances -> boxes xyxy."""
    return torch.cat([points - sides[..., :2], points + sides[..., 2:]], -1)


def in_left_out(points: Tensor, targets: Targets) -> Tensor:
    """Which locations (B, L) lie in a box that is ignored or a group: no background there."""
    left_out = []
    for i in range(len(targets.boxes_xyxy)):
        boxes = torch.cat([targets.ignored_of(i), targets.groups_of(i)]).to(points.dtype)
        inside = (points[:, None] > boxes[:, :2]) & (points[:, None] < boxes[:, 2:])
        left_out.append(inside.all(-1).any(-1))
    return torch.stack(left_out)


def assign(points: Tensor, strides: Tensor, targets: Targets, last_stride: float) -> tuple[Tensor, Tensor]:
    """What each location is trained on: labels (B, L), -1 for none, and target sides (B, L, 4)."""
    rows, sides = answering(points, strides, targets.boxes_xyxy, last_stride)
    labels = torch.nn.utils.rnn.pad_sequence([F.pad(of, (0, 1), value=-1) for of in targets.labels], True, -1)
    return torch.where(rows < 0, -1, labels.gather(1, rows.clamp(min=0))), sides


def answering(
    points: Tensor, strides: Tensor, boxes_xyxy: Sequence[Tensor], last_stride: float
) -> tuple[Tensor, Tensor]:
    """Which box each location answers for: rows (B, L), -1 for none, and its sides (B, L, 4).

    A box narrower than a stride is widened to one stride for the inside test, so that it has a location.
    """
    batch, num_points = len(boxes_xyxy), points.shape[0]
    most = max([b.shape[0] for b in boxes_xyxy] + [1])
    boxes = points.new_full((batch, most, 4), float("nan"))
    for i, box in enumerate(boxes_xyxy):
        boxes[i, : box.shape[0]] = box
    boxes = boxes[:, None]
    sides = torch.cat([points[None, :, None] - boxes[..., :2], boxes[..., 2:] - points[None, :, None]], -1)
    center, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
    reach = torch.maximum(half, strides[None, :, None, None] / 2)
    inside = ((points[None, :, None] - center).abs() < reach).all(-1)
    farthest = sides.amax(-1)
    upper = torch.where(strides == last_stride, float("inf"), 8 * strides)[None, :, None]
    lower = torch.where(strides == strides.min(), 0.0, 4 * strides)[None, :, None]
    inside &= (farthest <= upper) & (farthest > lower)
    area = (half[..., 0] * half[..., 1] * 4).expand(batch, num_points, most)
    smallest, which = torch.where(inside, area, float("inf")).min(-1)
    chosen = sides.gather(2, which[..., None, None].expand(-1, -1, 1, 4)).squeeze(2).nan_to_num(0.0)
    return torch.where(smallest.isinf(), -1, which), chosen.clamp(min=1e-3)


def centerness_of(sides: Tensor) -> Tensor:
    """sqrt of (min/max of left, right) x (min/max of top, bottom); sides (N, 4) positive."""
    horizontal, vertical = sides[:, 0::2], sides[:, 1::2]
    return (horizontal.amin(1) / horizontal.amax(1) * vertical.amin(1) / vertical.amax(1)).sqrt()


def giou_loss(sides: Tensor, target: Tensor) -> Tensor:
    """1 - GIoU (arXiv 1902.09630) of two boxes around the same location, given by their sides (N, 4)."""
    overlap = torch.minimum(sides, target)
    hull = torch.maximum(sides, target)
    inter = (overlap[:, 0] + overlap[:, 2]) * (overlap[:, 1] + overlap[:, 3])
    area = (sides[:, 0] + sides[:, 2]) * (sides[:, 1] + sides[:, 3])
    target_area = (target[:, 0] + target[:, 2]) * (target[:, 1] + target[:, 3])
    enclosing = (hull[:, 0] + hull[:, 2]) * (hull[:, 1] + hull[:, 3])
    union = area + target_area - inter
    return 1 - inter / union.clamp(min=1e-6) + (enclosing - union) / enclosing.clamp(min=1e-6)
