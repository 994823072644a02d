"""The pyramid and the towers of published detectors: biases and no batch norms, so that their values fit."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from headstart.models.detection.necks import start_small, strides_of

GROUPS = 32
"""Of the group norms in FCOS's towers."""


class PublishedPyramid(nn.Module):
    """Same face as `TopDown`: a feature pyramid (arXiv 1612.03144) as torchvision, Detectron2 and MMDetection have it.

    coarser: further levels by 3x3 convolutions of stride 2, the first from the coarsest output, each other after a
    ReLU (RetinaNet, FCOS); pooled: one more by taking every second cell instead (Faster R-CNN).
    """

    def __init__(
        self, backbone: nn.Module, levels: tuple[str, ...], channels: int, coarser: int = 0, *, pooled: bool = False
    ) -> None:
        super().__init__()
        stages = {s.name: s for s in backbone.stages}  # type: ignore[union-attr]
        self.levels, self.pooled = levels, pooled
        self.strides = strides_of(stages, levels, coarser + pooled)
        self.laterals = nn.ModuleList(nn.Conv2d(stages[name].channels, channels, 1) for name in levels)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in levels)
        self.coarser = nn.ModuleList(nn.Conv2d(channels, channels, 3, 2, 1) for _ in range(coarser))
        for conv in (*self.laterals, *self.smooth, *self.coarser):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            nn.init.zeros_(conv.bias)

    def forward(self, stages: dict[str, Tensor]) -> list[Tensor]:
        """Stage outputs by name -> one (B, channels, h, w) a level, finest first."""
        maps = [lateral(stages[name]) for lateral, name in zip(self.laterals, self.levels, strict=True)]
        for i in range(len(maps) - 1, 0, -1):
            maps[i - 1] = maps[i - 1] + F.interpolate(maps[i], size=maps[i - 1].shape[-2:], mode="nearest")
        maps = [conv(m) for conv, m in zip(self.smooth, maps, strict=True)]
        for k, conv in enumerate(self.coarser):
            maps.append(conv(F.relu(maps[-1]) if k else maps[-1]))
        return [*maps, F.max_pool2d(maps[-1], 1, 2)] if self.pooled else maps


def plain_tower(channels: int, depth: int) -> nn.Sequential:
    """`depth` times a 3x3 convolution with bias, ReLU (RetinaNet)."""
    return nn.Sequential(*(layer for _ in range(depth) for layer in (_conv(channels), nn.ReLU())))


def grouped_tower(channels: int, depth: int) -> nn.Sequential:
    """`depth` times a 3x3 convolution with bias, group norm, ReLU (FCOS)."""
    parts = ((_conv(channels), nn.GroupNorm(GROUPS, channels), nn.ReLU()) for _ in range(depth))
    return nn.Sequential(*(layer for part in parts for layer in part))


def _conv(channels: int) -> nn.Conv2d:
    conv = nn.Conv2d(channels, channels, 3, padding=1)
    start_small(conv)
    return conv
