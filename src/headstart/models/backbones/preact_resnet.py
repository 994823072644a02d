"""The pre-activation ResNet of SNIPER and of MXNet's model zoo, with its deformable last stage.

He et al., arXiv 1603.05027; SNIPER's variant (mahyarnajibi/SNIPER, symbols/faster/resnet_mx_101_e2e.py) norms the
input, too, keeps stride 16 by dilating the last stage, and may make its 3x3 convolutions deformable (Dai et al., arXiv
1703.06211). Stages are the sums that blocks return, before the next norm.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from headstart.models.backbones.deformable import deform_by_name
from headstart.models.backbones.naming import no_options
from headstart.models.backbones.stages import Stage

EPS = 2e-5
GROUPS = 4
"""Groups of channels that share their offsets."""
DEPTHS = {"preact-resnet26": (2, 2, 2, 2), "preact-resnet50": (3, 4, 6, 3), "preact-resnet101": (3, 4, 23, 3)}


class DeformableConv(nn.Module):
    """A 3x3 convolution of stride 1 and dilation 2 that samples where `offset` says, as MXNet does it.

    MXNet reads 0 where a sample lies outside of the image and the nearest row or column where it lies between the last
    one and the edge (apache/mxnet, src/operator/contrib/nn/deformable_im2col.cuh); torchvision fades to 0 at the
    edges. So samples are moved into the image, and those from outside are masked.
    """

    deformable = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        """x (B, C, H, W); offset (B, 2 x 9 x GROUPS, H, W): for each group and tap down, then right, in cells."""
        # The operator knows no half precision on the CPU, and places of samples need single.
        x, offset = x.to(self.weight.dtype), offset.to(self.weight.dtype)
        height, width = x.shape[2:]
        moves = offset.unflatten(1, (GROUPS, 9, 2))
        tap = torch.arange(9, device=x.device)
        down = torch.arange(height, device=x.device).view(-1, 1) - 2 + 2 * (tap // 3).view(-1, 1, 1)
        right = torch.arange(width, device=x.device).view(1, -1) - 2 + 2 * (tap % 3).view(-1, 1, 1)
        inside, moved = [], []
        for axis, (start, size) in enumerate(((down, height), (right, width))):
            place = start + moves[:, :, :, axis]
            inside.append((place >= 0) & (place < size))
            moved.append(place.clamp(0, size - 1) - start)
        mask = (inside[0] & inside[1]).flatten(1, 2).to(x.dtype)
        return deform_conv2d(x, torch.stack(moved, 3).flatten(1, 3), self.weight, padding=2, dilation=2, mask=mask)


class PreActBlock(nn.Module):
    """Norm, ReLU and convolution, three times; the shortcut starts after the first ReLU where it is a projection."""

    def __init__(self, channels_in: int, channels: int, stride: int, dilation: int, *, deformable: bool) -> None:
        super().__init__()
        width = channels // 4
        self.bn1 = nn.BatchNorm2d(channels_in, EPS)
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width, EPS)
        self.offset = nn.Conv2d(width, 18 * GROUPS, 3, 1, dilation, dilation) if deformable else None
        self.conv2: nn.Module = (
            DeformableConv(width) if deformable else nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        )
        if self.offset is not None:
            nn.init.zeros_(self.offset.weight)
        self.bn3 = nn.BatchNorm2d(width, EPS)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        project = channels_in != channels
        self.shortcut = nn.Conv2d(channels_in, channels, 1, stride, bias=False) if project else None

    def forward(self, x: Tensor) -> Tensor:
        start = torch.relu(self.bn1(x))
        out = torch.relu(self.bn2(self.conv1(start)))
        out = self.conv2(out) if self.offset is None else self.conv2(out, self.offset(out))
        out = self.conv3(torch.relu(self.bn3(out)))
        return out + (x if self.shortcut is None else self.shortcut(start))


class PreActStem(nn.Module):
    """The input's norm (its weight stays 1, as MXNet fixes it), a 7x7 convolution, norm, ReLU and pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(3, EPS)
        self.conv = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(64, EPS)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.norm(self.conv(self.input_norm(x))))
        return torch.max_pool2d(out, 3, 2, 1)


class PreActResNet(nn.Module):
    """C2..C5 with 256, 512, 1024 and 2048 channels at strides 4, 8, 16 and 16."""

    stages = (Stage("C2", 256, 4), Stage("C3", 512, 8), Stage("C4", 1024, 16), Stage("C5", 2048, 16))

    def __init__(self, depths: tuple[int, ...], deformable: bool = False) -> None:
        super().__init__()
        self.stem = PreActStem()
        channels_in = 64
        for number, (depth, stage) in enumerate(zip(depths, self.stages, strict=True), 1):
            stride, dilation = (1 if number in (1, 4) else 2), (2 if number == 4 else 1)
            blocks = []
            for block in range(depth):
                blocks.append(
                    PreActBlock(
                        channels_in,
                        stage.channels,
                        stride if block == 0 else 1,
                        dilation,
                        deformable=deformable and number == 4,
                    )
                )
                channels_in = stage.channels
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x, maps = self.stem(x), {}
        for number, stage in enumerate(self.stages, 1):
            x = self.get_submodule(f"layer{number}")(x)
            maps[stage.name] = x
        return maps


def build_preact_resnet(name: str, options: dict[str, str]) -> PreActResNet:
    no_options(name, options, ("stage4", "deformable", "modulated"))
    backbone = PreActResNet(DEPTHS[name], options.get("stage4") == "deformable")
    deform_by_name(name, backbone, options)
    return backbone
