"""RetinaNet (Lin et al., arXiv 1708.02002): anchors on a pyramid, trained with the focal loss, no second stage."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from headstart.models.detection.anchors import IGNORED, RATIOS, anchors_of, answered, decode, match
from headstart.models.detection.fcos import PRIOR, tower
from headstart.models.detection.necks import TopDown, start_small
from headstart.models.detection.parts import ClassRows
from headstart.models.detection.published import PublishedPyramid, plain_tower
from headstart.models.detection.targets import POSITIVES, Detected, Reach, Targets, full, select_each, survivors
from headstart.models.normalizers import over_processes

SIZES = (4.0, 4 * 2 ** (1 / 3), 4 * 2 ** (2 / 3))
"""Square roots of anchors' areas, in strides of their level."""
POSITIVE, NEGATIVE = 0.5, 0.4
"""IoU from which an anchor answers for a box, and below which it is background."""
SUPPRESSED_FROM = 0.5
BETA = 1 / 9
"""Where the smooth L1 loss turns linear."""


class RetinaNetDetector(nn.Module):
    """Same face as `FcosDetector`. Two towers of `depth` convolutions, shared by the levels: P3..P7 for the levels C3,
    C4, C5 and `coarser` 2. published: with torchvision's pyramid, and no norms in the towers."""

    class_rows = (ClassRows("classes.", before=len(SIZES) * len(RATIOS)),)

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        levels: tuple[str, ...],
        channels: int,
        *,
        coarser: int = 2,
        depth: int = 4,
        published: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.num_classes = backbone, num_classes
        self.neck: TopDown | PublishedPyramid = (
            PublishedPyramid(backbone, levels, channels, coarser)
            if published
            else TopDown(backbone, levels, channels, coarser, smooth=True)
        )
        each, kind = len(SIZES) * len(RATIOS), plain_tower if published else tower
        self.class_tower, self.box_tower = kind(channels, depth), kind(channels, depth)
        self.classes = nn.Conv2d(channels, each * num_classes, 3, padding=1)
        self.codes = nn.Conv2d(channels, each * 4, 3, padding=1)
        start_small(self.classes, self.codes)
        nn.init.constant_(self.classes.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Preprocessed images (B, 3, H, W) -> class logits (B, L, K), codes (B, L, 4), anchors (L, 4)."""
        logits, codes, anchors = [], [], []
        for x, stride in zip(self.neck(self.backbone(images)), self.neck.strides, strict=True):
            sure = self.classes(self.class_tower(x)).permute(0, 2, 3, 1)
            logits.append(full(sure).reshape(len(x), -1, self.num_classes))
            codes.append(full(self.codes(self.box_tower(x))).permute(0, 2, 3, 1).reshape(len(x), -1, 4))
            anchors.append(anchors_of((x.shape[2], x.shape[3]), stride, [s * stride for s in SIZES], codes[-1]))
        return torch.cat(logits, 1), torch.cat(codes, 1), torch.cat(anchors)

    def losses(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Focal loss over all anchors that are not ignored, smooth L1; divided by the number of positive anchors."""
        logits, codes, anchors = self(images)
        rows, wanted, labels = [], [], []
        for i, boxes in enumerate(targets.boxes_xyxy):
            ignored, groups = targets.ignored_of(i), targets.groups_of(i)
            row, code = answered(boxes, anchors, POSITIVE, NEGATIVE, ignored=ignored, group_of=groups)
            wanted.append(code)
            labels.append(torch.cat([targets.labels[i], targets.labels[i].new_zeros(1)])[row.clamp(min=0)])
            rows.append(row)
        row = torch.stack(rows)
        positive = (row >= 0).to(logits.dtype)
        count = over_processes(positive.sum())
        onehot = F.one_hot(torch.stack(labels), self.num_classes).to(logits.dtype) * positive[..., None]
        focal = sigmoid_focal_loss(logits, onehot).sum(-1) * (row != IGNORED)
        off = F.smooth_l1_loss(codes, torch.stack(wanted), beta=BETA, reduction="none").sum(-1)
        return {"classes": focal.sum() / count, "boxes": (off * positive).sum() / count, POSITIVES: positive.sum()}

    @torch.no_grad()
    def detect(self, images: Tensor, score_threshold: float = 0.02, max_detections: int = 100) -> list[Detected]:
        """Suppression by class at IoU 0.5."""
        logits, codes, anchors = self(images)
        scores = (of_image.sigmoid() for of_image in logits)

        def boxes_of(image: int, rows: Tensor, labels: Tensor) -> Tensor:
            return decode(codes[image, rows], anchors[rows])

        size_hw = (images.shape[2], images.shape[3])
        return select_each(scores, boxes_of, size_hw, score_threshold, iou=SUPPRESSED_FROM, most=max_detections)

    @torch.no_grad()
    def reach(self, image: Tensor) -> Reach:
        """As `FcosDetector.reach`."""
        anchors = self(image)[2]

        def found(boxes: Tensor, labels: Tensor) -> Tensor:
            return survivors(match(boxes, anchors, POSITIVE, NEGATIVE, rescue=True), boxes, labels, SUPPRESSED_FROM)

        return found
