"""A backbone of one's own: MobileNetV1 of width 0.25, with names that fit two public checkpoints.

The ImageNet classifier and the RetinaFace detector of the cards beside this file have this network in common (Howard
et al., arXiv 1704.04861; leaky ReLU instead of ReLU). A function that takes nothing and returns a module with `stages`
and a `forward` that gives a dictionary is all that Headstart asks for.
"""

from torch import Tensor, nn

from headstart.models.backbones.stages import Stage


def convolution(channels_in: int, channels: int, stride: int = 1, groups: int = 1, size: int = 3) -> list[nn.Module]:
    """Convolution without bias, batch norm, leaky ReLU: three modules, so that their numbers are those of the files."""
    return [
        nn.Conv2d(channels_in, channels, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
        nn.LeakyReLU(0.1, inplace=True),
    ]


def first(channels: int) -> nn.Sequential:
    return nn.Sequential(*convolution(3, channels, stride=2))


def separable(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    """Each channel on its own (3x3), then all channels together (1x1)."""
    depthwise = convolution(channels_in, channels_in, stride, groups=channels_in)
    return nn.Sequential(*depthwise, *convolution(channels_in, channels, size=1))


class MobileNetV1(nn.Module):
    """Stages C3 (64 channels, stride 8), C4 (128, 16) and C5 (256, 32); 213,072 parameters."""

    stages = (Stage("C3", 64, 8), Stage("C4", 128, 16), Stage("C5", 256, 32))

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            first(8),
            separable(8, 16),
            separable(16, 32, stride=2),
            separable(32, 32),
            separable(32, 64, stride=2),
            separable(64, 64),
        )
        self.stage2 = nn.Sequential(separable(64, 128, stride=2), *(separable(128, 128) for _ in range(5)))
        self.stage3 = nn.Sequential(separable(128, 256, stride=2), separable(256, 256))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        c3 = self.stage1(x)
        c4 = self.stage2(c3)
        return {"C3": c3, "C4": c4, "C5": self.stage3(c4)}


def mobilenet_v1_025() -> MobileNetV1:
    """What `backbone = "mobilenet_v1.py:mobilenet_v1_025"` in a weights card calls."""
    return MobileNetV1()
