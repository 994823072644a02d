"""Per-pixel classes on a dilated C5: FCN and DeepLabV3, as published for ResNets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from headstart.models.backbones.dilation import dilate_last
from headstart.models.segmentation import PixelClasses


class Fcn(PixelClasses):
    """A 3x3 convolution on C5, classes (arXiv 1411.4038 on a dilated ResNet, as torchvision has it, without its
    auxiliary head and its dropout)."""

    def __init__(self, backbone: Any, num_classes: int, channels: int) -> None:
        super().__init__(dilate_last(backbone), num_classes)
        self.head = _conv(backbone.stages[-1].channels, channels, 3)
        self.classes = nn.Conv2d(channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (B, 3, H, W) -> logits (B, K, h, w) at the stride of C4."""
        return self.classes(self.head(_last(self.backbone, images)))


class DeepLab(PixelClasses):
    """DeepLabV3 (arXiv 1706.05587, Sec. 3.3): atrous spatial pyramid pooling on C5, classes.

    rates: of its 3x3 convolutions, in cells of C5. Without dropout.
    """

    def __init__(self, backbone: Any, num_classes: int, channels: int, rates: Sequence[int]) -> None:
        super().__init__(dilate_last(backbone), num_classes)
        inputs = backbone.stages[-1].channels
        branches = [_conv(inputs, channels, 1), *(_conv(inputs, channels, 3, rate) for rate in rates)]
        self.branches = nn.ModuleList(branches)
        # No norm on the mean of an image: with one image a process it would have one value to be normed by.
        self.mean = nn.Sequential(nn.Conv2d(inputs, channels, 1), nn.ReLU())
        self.project = _conv((len(branches) + 1) * channels, channels, 1)
        self.head = _conv(channels, channels, 3)
        self.classes = nn.Conv2d(channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """As of `Fcn`."""
        last = _last(self.backbone, images)
        mean = self.mean(last.mean((2, 3), keepdim=True))
        maps = [*(branch(last) for branch in self.branches), mean.expand(-1, -1, *last.shape[2:])]
        return self.classes(self.head(self.project(torch.cat(maps, 1))))


def _last(backbone: nn.Module, images: Tensor) -> Tensor:
    return [*backbone(images).values()][-1]


def _conv(inputs: int, outputs: int, side: int, rate: int = 1) -> nn.Sequential:
    padding = rate if side == 3 else 0
    conv = nn.Conv2d(inputs, outputs, side, padding=padding, dilation=rate, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())
