"""Cross-stage-partial backbones as YOLO detectors of Ultralytics use them, written from their published definition.

After Wang et al., arXiv 1911.11929 (CSPNet), and the layer lists `models/yolov5*.yaml` of ultralytics/yolov5 (v6.0) and
`cfg/models/v8/yolov8.yaml` of ultralytics/ultralytics: ten layers, of which the last pools at three sizes (SPPF; He et
al., arXiv 1406.4729). Epsilon of the norms is 1e-3. No code of those projects is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from headstart.models.backbones.csp_sizes import widths_and_repeats
from headstart.models.backbones.naming import no_options
from headstart.models.backbones.stages import Stage


class ConvUnit(nn.Module):
    """Convolution without bias, norm, SiLU."""

    def __init__(
        self, channels_in: int, channels: int, size: int = 1, stride: int = 1, *, pad: int | None = None
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, size, stride, size // 2 if pad is None else pad, bias=False)
        self.bn = nn.BatchNorm2d(channels, 1e-3, 0.03)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.silu(self.bn(self.conv(x)))


class Residual(nn.Module):
    """Two convolutions of one width and the input added."""

    def __init__(self, channels: int, first_size: int) -> None:
        super().__init__()
        self.cv1 = ConvUnit(channels, channels, first_size)
        self.cv2 = ConvUnit(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cv2(self.cv1(x))


class SplitStage(nn.Module):
    """v5's stage: half of the channels go through residual blocks, the others past them."""

    def __init__(self, channels: int, repeats: int) -> None:
        super().__init__()
        half = channels // 2
        self.cv1, self.cv2 = ConvUnit(channels, half), ConvUnit(channels, half)
        self.cv3 = ConvUnit(2 * half, channels)
        self.m = nn.Sequential(*(Residual(half, 1) for _ in range(repeats)))

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class DenseSplitStage(nn.Module):
    """v8's stage: as `SplitStage`, and what each block returns is kept for the last convolution."""

    def __init__(self, channels: int, repeats: int) -> None:
        super().__init__()
        half = channels // 2
        self.cv1 = ConvUnit(channels, 2 * half)
        self.cv2 = ConvUnit((2 + repeats) * half, channels)
        self.m = nn.ModuleList(Residual(half, 3) for _ in range(repeats))

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.cv1(x).chunk(2, 1))
        for block in self.m:
            parts.append(block(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class PyramidPooling(nn.Module):
    """The map beside its maxima over 5, 9 and 13 cells."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cv1 = ConvUnit(channels, channels // 2)
        self.cv2 = ConvUnit(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(torch.max_pool2d(parts[-1], 5, 1, 2))
        return self.cv2(torch.cat(parts, 1))


class CSPBackbone(nn.Module):
    """Stages C2..C5 at strides 4 to 32, after layers 2, 4, 6 and 9."""

    def __init__(self, family: str, channels: Sequence[int], repeats: Sequence[int]) -> None:
        super().__init__()
        stage = SplitStage if family == "v5" else DenseSplitStage
        size, pad = (6, 2) if family == "v5" else (3, 1)
        layers: list[nn.Module] = [ConvUnit(3, channels[0], size, stride=2, pad=pad)]
        for before, width, count in zip(channels, channels[1:], repeats, strict=False):
            layers += [ConvUnit(before, width, 3, 2), stage(width, count)]
        self.layers = nn.ModuleList([*layers, PyramidPooling(channels[-1])])
        self.stages = tuple(Stage(f"C{i + 2}", width, 4 * 2**i) for i, width in enumerate(channels[1:]))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return {stage.name: maps[i] for stage, i in zip(self.stages, (2, 4, 6, 9), strict=True)}


def build_csp(name: str, options: dict[str, str]) -> CSPBackbone:
    no_options(name, options)
    return CSPBackbone(name[4:6], *widths_and_repeats(name))
