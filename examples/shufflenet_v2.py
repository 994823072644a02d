"""A backbone of one's own: ShuffleNetV2 0.5x up to its last stage, as FastestDet has it (Ma et al., arXiv 1807.11164).

Its blocks pass on every second channel and work on the others, then put both halves side by side. torchvision's split
into halves and shuffle afterwards: the same network with its channels in another order, so that its names, indices
and shapes all fit these files, and loading them into it gives another function. Here the blocks are as in the files.
"""

import torch
from torch import Tensor, nn

from headstart.models.backbones.stages import Stage


def convolution(channels_in: int, channels: int, size: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution without bias and its norm: two modules, so that their numbers are those of the files."""
    conv = nn.Conv2d(channels_in, channels, size, stride, size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(channels)]


class Block(nn.Module):
    """Stride 1: even channels pass, odd ones are worked on. Stride 2: all channels go through both branches."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        width = channels // 2
        self.branch_main = nn.Sequential(
            *convolution(channels_in, width),
            nn.ReLU(),
            *convolution(width, width, 3, stride, groups=width),
            *convolution(width, channels - channels_in if stride == 2 else width),
            nn.ReLU(),
        )
        self.branch_proj = None
        if stride == 2:
            self.branch_proj = nn.Sequential(
                *convolution(channels_in, channels_in, 3, 2, groups=channels_in),
                *convolution(channels_in, channels_in),
                nn.ReLU(),
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.branch_proj is not None:
            return torch.cat((self.branch_proj(x), self.branch_main(x)), 1)
        return torch.cat((x[:, 0::2], self.branch_main(x[:, 1::2])), 1)


def stage(channels_in: int, channels: int, repeats: int) -> nn.Sequential:
    later = (Block(channels // 2, channels, 1) for _ in range(repeats - 1))
    return nn.Sequential(Block(channels_in, channels, 2), *later)


class ShuffleNetV2(nn.Module):
    """Stages C3 (48 channels, stride 8), C4 (96, 16) and C5 (192, 32); 143,136 parameters."""

    stages = (Stage("C3", 48, 8), Stage("C4", 96, 16), Stage("C5", 192, 32))

    def __init__(self) -> None:
        super().__init__()
        self.first_conv = nn.Sequential(*convolution(3, 24, 3, 2), nn.ReLU())
        self.stage2, self.stage3, self.stage4 = stage(24, 48, 4), stage(48, 96, 8), stage(96, 192, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = torch.max_pool2d(self.first_conv(x), 3, 2, 1)
        c3 = self.stage2(x)
        c4 = self.stage3(c3)
        return {"C3": c3, "C4": c4, "C5": self.stage4(c4)}


def shufflenet_v2_05() -> ShuffleNetV2:
    """What `backbone = "shufflenet_v2.py:shufflenet_v2_05"` in a weights card calls."""
    return ShuffleNetV2()
