"""Backbones: networks that return their stages by name. Built in, from timm, or from a user's own file.

A backbone is an `nn.Module` with `stages`, a tuple of `Stage`, finest first, and `forward(x) -> dict[str, Tensor]`
with the same names as keys: x (B, 3, H, W) float32 -> each (B, channels, about H / stride, about W / stride). C2..C5
are the outputs of `layer1`..`layer4`. Parameters keep the names of the classifier that the backbone was taken from.

Letters: B images, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.models.backbones import csp, csp_sizes, preact_resnet
from headstart.models.backbones.deformable import deform_by_name, is_deformable
from headstart.models.backbones.detector_vits import FAMILIES, build_detector_vit
from headstart.models.backbones.naming import no_options, split_options
from headstart.models.backbones.norms import set_norms
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.models.backbones.stages import Stage, evaluating, fresh_prefixes
from headstart.models.backbones.timm_networks import build_timm
from headstart.models.backbones.torchvision_networks import PREFIX, build_torchvision
from headstart.models.backbones.user_backbones import load_user_backbone, split_user_backbone
from headstart.models.whole.families import split_whole
from headstart.models.whole.network import build_whole

__all__ = [
    "BUILTIN_BACKBONES",
    "IMAGENET",
    "Preprocessing",
    "Stage",
    "backbone_cost",
    "build_backbone",
    "evaluating",
    "source_key",
    "split_user_backbone",
]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., arXiv 1512.03385); named as in torchvision."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(out)) + self.downsample(x))


class ShapesResNet(nn.Module):
    """ResNet for 96-pixel images: one block a stage, the last stage dilated (C5 has stride 8), 0.3 M parameters."""

    stages = (Stage("C2", 16, 2), Stage("C3", 32, 4), Stage("C4", 64, 8), Stage("C5", 128, 8))

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(BasicBlock(16, 16))
        self.layer2 = nn.Sequential(BasicBlock(16, 32, stride=2))
        self.layer3 = nn.Sequential(BasicBlock(32, 64, stride=2))
        self.layer4 = nn.Sequential(BasicBlock(64, 128, dilation=2))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor, last: str = "C5") -> dict[str, Tensor]:
        c2 = self.layer1(torch.relu(self.bn1(self.conv1(x))))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        if last == "C4":
            return {"C2": c2, "C3": c3, "C4": c4}
        return {"C2": c2, "C3": c3, "C4": c4, "C5": self.layer4(c4)}


def source_key(backbone: nn.Module, key: str) -> str:
    """Name that the entry `key` of `backbone.state_dict()` has in the classifier that the backbone was taken from."""
    rename = getattr(backbone, "source_key", None)
    return rename(key) if callable(rename) else key


def _shapes_resnet(name: str, options: dict[str, str]) -> ShapesResNet:
    no_options(name, options, ("deformable", "modulated"))
    backbone = ShapesResNet()
    deform_by_name(name, backbone, options)
    return backbone


BUILTIN_BACKBONES: dict[str, Callable[[str, dict[str, str]], nn.Module]] = {
    "shapes-resnet": _shapes_resnet,
    **dict.fromkeys(preact_resnet.DEPTHS, preact_resnet.build_preact_resnet),
    **dict.fromkeys(csp_sizes.SIZES, csp.build_csp),
    **dict.fromkeys(FAMILIES, build_detector_vit),
}
"""What builds a backbone, from its name and its options."""
BUILTIN_NAMES = tuple(BUILTIN_BACKBONES)


def build_backbone(name: str, base: Path = Path()) -> nn.Module:
    """A backbone with fresh random weights, drawn from torch's global generator: seed it first.

    name: a built-in name, a model name of timm without tag ("resnet50"), `tv-NAME` for torchvision's, or
    `path/to/file.py:function` with the path relative to `base`; all but the last may have options
    (`headstart.models.backbones.naming`): "resnet50[stride_in=conv1]". The user's function takes no arguments. A whole
    detector (`headstart.models.whole`) is a network of its own.
    Raises WeightsError.
    """
    if split_whole(name):
        return build_whole(name, base)
    user = split_user_backbone(name)
    if user:
        return load_user_backbone(base / user[0], user[1])
    name, options = split_options(name)
    norm = options.pop("norm", "batch")
    if name in BUILTIN_BACKBONES:
        backbone = BUILTIN_BACKBONES[name](name, options)
    elif name.startswith(PREFIX):
        backbone = build_torchvision(name, options)
    else:
        backbone = build_timm(name, options, BUILTIN_NAMES)
    return _with_group_norm(name, backbone) if norm == "group" else backbone


def _with_group_norm(name: str, backbone: nn.Module) -> nn.Module:
    if not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules()):
        raise WeightsError(f"backbone {name!r} has no batch norm that could become group norm. Leave norm=group out.")
    return set_norms(backbone, "group")


def backbone_cost(backbone: nn.Module, size_hw: tuple[int, int]) -> tuple[int, float]:
    """(parameters, GFLOPs) of one image of `size_hw` pixels.

    GFLOPs = 2 x multiply-adds of convolutions and linear layers / 1e9; norms, activations, attention products, pooling
    and the interpolation of deformable convolutions are left out, as is usual for published counts (which often give
    multiply-adds, half of ours). So is a pyramid over a plain transformer, which belongs to the heads.
    """
    multiply_adds = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal multiply_adds
        weight: Any = module.weight  # (out, in / groups, ...): products per output value are all but the first
        multiply_adds += output.numel() * weight[0].numel()

    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    counted = [part for part in backbone.modules() if isinstance(part, kinds) or is_deformable(part)]
    hooks = [part.register_forward_hook(count) for part in counted]
    first = next(backbone.parameters())
    try:
        with evaluating(backbone):
            backbone(torch.zeros(1, 3, *size_hw, device=first.device, dtype=first.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    fresh = fresh_prefixes(backbone)
    num_parameters = sum(p.numel() for name, p in backbone.named_parameters() if not name.startswith(fresh))
    return num_parameters, 2 * multiply_adds / 1e9
