"""ResNets of timm without their classifier, with the variants that public checkpoints were trained as."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.models.backbones.deformable import deform_by_name
from headstart.models.backbones.naming import no_options
from headstart.models.backbones.stages import Stage

OPTIONS = ("stride_in", "output_stride", "first_dilation", "first_shortcut", "deformable", "modulated")


class ResNetBackbone(nn.Module):
    """A ResNet of timm without its classifier; parameters named as in timm and torchvision: `conv1`, .., `layer4`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        parts: Any = model
        self.conv1, self.bn1, self.act1, self.maxpool = parts.conv1, parts.bn1, parts.act1, parts.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = parts.layer1, parts.layer2, parts.layer3, parts.layer4
        self.stages = tuple(
            Stage(f"C{i + 1}", facts["num_chs"], facts["reduction"])
            for i, facts in enumerate(parts.feature_info)
            if i > 0
        )

    def forward(self, x: Tensor, last: str = "C5") -> dict[str, Tensor]:
        c2 = self.layer1(self.maxpool(self.act1(self.bn1(self.conv1(x)))))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        if last == "C4":
            return {"C2": c2, "C3": c3, "C4": c4}
        return {"C2": c2, "C3": c3, "C4": c4, "C5": self.layer4(c4)}


def build_resnet(name: str, options: dict[str, str]) -> ResNetBackbone:
    """timm's ResNet with the options that ResNets have; see `options`."""
    import timm

    no_options(name, options, OPTIONS)
    stride = int(options.get("output_stride", 32))
    # timm starts the last norm of each block at 0, which switches a random network's blocks off.
    backbone = ResNetBackbone(timm.create_model(name, zero_init_last=False, output_stride=stride))
    if options.get("first_shortcut") == "projection":
        backbone.layer1[0].downsample = nn.Sequential(
            nn.Identity(), nn.Conv2d(64, 64, 1, bias=False), nn.BatchNorm2d(64)
        )
    for stage in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
        if options.get("stride_in") == "conv1":
            _move_stride(name, stage[0])
        if options.get("first_dilation") == "own" and len(stage) > 1:
            dilation = stage[1].conv2.dilation
            stage[0].conv2.dilation = stage[0].conv2.padding = dilation
    deform_by_name(name, backbone, options)
    return backbone


def _move_stride(name: str, block: Any) -> None:
    if not hasattr(block, "conv3"):
        raise WeightsError(
            f"backbone {name!r} has no bottlenecks, so its stride cannot be in their first convolution. "
            "Leave stride_in out."
        )
    block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
