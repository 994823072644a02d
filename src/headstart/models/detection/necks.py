"""Top-down neck: brings the stages that a head reads to one width and lets coarse stages inform fine ones."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from headstart.models.backbones.stages import Stage


class TopDown(nn.Module):
    """1x1 convolution and batch norm on each level; coarser levels are enlarged and added (arXiv 1612.03144). The norm
    makes backbones with features of very different scale equal before the head. Returns the levels, finest first.

    smooth: a 3x3 convolution on each level, as published; heads with a tower of their own need none. coarser: so many
    further levels, each by a 3x3 convolution of stride 2 from the one before (arXiv 1708.02002: P6 and P7). `strides`
    are those of all levels.
    """

    def __init__(
        self, backbone: nn.Module, levels: tuple[str, ...], channels: int, coarser: int = 0, *, smooth: bool = False
    ) -> None:
        super().__init__()
        stages = {s.name: s for s in backbone.stages}  # type: ignore[union-attr]
        self.levels = levels
        self.strides = strides_of(stages, levels, coarser)
        self.laterals = nn.ModuleList(_lateral(stages[name].channels, channels) for name in levels)
        self.smooth = nn.ModuleList(_conv(channels, 1) for _ in levels if smooth)
        self.coarser = nn.ModuleList(_conv(channels, 2) for _ in range(coarser))

    def forward(self, stages: dict[str, Tensor]) -> list[Tensor]:
        """Stage outputs by name -> one (B, channels, h, w) a level."""
        maps = [lateral(stages[name]) for lateral, name in zip(self.laterals, self.levels, strict=True)]
        for i in range(len(maps) - 1, 0, -1):
            maps[i - 1] = maps[i - 1] + F.interpolate(maps[i], size=maps[i - 1].shape[-2:], mode="nearest")
        maps = [F.relu(m) for m in maps]
        if self.smooth:
            maps = [F.relu(conv(m)) for conv, m in zip(self.smooth, maps, strict=True)]
        for conv in self.coarser:
            maps.append(F.relu(conv(maps[-1])))
        return maps


def strides_of(stages: Mapping[str, Stage], levels: tuple[str, ...], coarser: int) -> tuple[int, ...]:
    """Pixels a cell of each level and of so many coarser ones. Raises ValueError for a level that is not there."""
    missing = [level for level in levels if level not in stages]
    if missing:
        raise ValueError(f"the head reads {', '.join(missing)}, but the backbone has {', '.join(stages)}")
    strides = [stages[name].stride for name in levels]
    return (*strides, *(strides[-1] * 2 ** (k + 1) for k in range(coarser)))


def _lateral(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels))


def _conv(channels: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


def start_small(*convolutions: nn.Conv2d) -> None:
    """Weights of standard deviation .01, biases 0, as in the published dense heads: scores start near their prior."""
    for conv in convolutions:
        nn.init.normal_(conv.weight, std=0.01)
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
