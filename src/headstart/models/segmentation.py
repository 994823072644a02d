"""Per-pixel classes from a backbone: a light head, so that the backbone does the work."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.models.detection.necks import TopDown
from headstart.models.normalizers import over_processes

IGNORED = 255
"""Mask value of pixels without a class."""


class PixelClasses(nn.Module):
    """Networks with logits of classes on a grid, enlarged bilinearly to the input."""

    def __init__(self, backbone: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.backbone, self.num_classes = backbone, num_classes

    def losses(self, images: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Mean cross-entropy over pixels of masks (B, H, W) int64 that have a class."""
        logits = F.interpolate(self(images), size=masks.shape[-2:], mode="bilinear", align_corners=False)
        total = F.cross_entropy(logits, masks, ignore_index=IGNORED, reduction="sum")
        return {"pixels": total / over_processes((masks != IGNORED).sum().to(total.dtype))}

    @torch.no_grad()
    def segment(self, images: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """Class of each pixel (B, *size_hw), uint8."""
        logits = F.interpolate(self(images), size=size_hw, mode="bilinear", align_corners=False)
        return logits.max(1).indices.to(torch.uint8)  # a tenth of the time of argmax on a CPU


class Segmenter(PixelClasses):
    """Backbone, top-down neck, 1x1 classes at the finest level read."""

    def __init__(self, backbone: nn.Module, num_classes: int, levels: tuple[str, ...], channels: int) -> None:
        super().__init__(backbone, num_classes)
        self.neck = TopDown(backbone, levels, channels)
        self.classes = nn.Conv2d(channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (B, 3, H, W) -> logits (B, K, h, w) at the stride of the finest level."""
        return self.classes(self.neck(self.backbone(images))[0])
