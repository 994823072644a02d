"""Top-down neck: brings the stages that a head reads to one width and lets coarse stages inform fine ones."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class TopDown(nn.Module):
    """1x1 convolution and batch norm on each level; coarser levels are enlarged and added (arXiv 1612.03144, without
    the smoothing convolutions: heads here have a tower of their own). The norm makes backbones with features of very
    different scale equal before the head. Returns the levels, finest first.
    """

    def __init__(self, backbone: nn.Module, levels: tuple[str, ...], channels: int) -> None:
        super().__init__()
        stages = {s.name: s for s in backbone.stages}  # type: ignore[union-attr]
        missing = [level for level in levels if level not in stages]
        if missing:
            raise ValueError(f"the head reads {', '.join(missing)}, but the backbone has {', '.join(stages)}")
        self.levels = levels
        self.laterals = nn.ModuleList(_lateral(stages[name].channels, channels) for name in levels)

    def forward(self, stages: dict[str, Tensor]) -> list[Tensor]:
        """Stage outputs by name -> one (B, channels, h, w) a level."""
        maps = [lateral(stages[name]) for lateral, name in zip(self.laterals, self.levels, strict=True)]
        for i in range(len(maps) - 1, 0, -1):
            maps[i - 1] = maps[i - 1] + F.interpolate(maps[i], size=maps[i - 1].shape[-2:], mode="nearest")
        return [F.relu(m) for m in maps]


def _lateral(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels))
