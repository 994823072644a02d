"""Which network a set of names and shapes is, in the names of torchvision and timm. Most layouts come down to these."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from headstart.weights.importers.imported import shapes_by

Shapes = Mapping[str, tuple[int, ...]]

_DEPTHS: dict[tuple[bool, tuple[int, ...]], str] = {
    (False, (2, 2, 2, 2)): "18",
    (False, (3, 4, 6, 3)): "34",
    (True, (2, 2, 2, 2)): "26",
    (True, (3, 4, 6, 3)): "50",
    (True, (3, 4, 23, 3)): "101",
    (True, (3, 8, 36, 3)): "152",
}
_WIDER = {
    ("50", 32, 4): "resnext50_32x4d",
    ("101", 32, 4): "resnext101_32x4d",
    ("101", 32, 8): "resnext101_32x8d",
    ("101", 64, 4): "resnext101_64x4d",
    ("50", 1, 128): "wide_resnet50_2",
    ("101", 1, 128): "wide_resnet101_2",
}
"""By depth, groups, and channels of a group in the first stage."""
_NAME = re.compile(r"(conv1|bn1|layer[1-4]\.\d+\.(conv[123]|bn[123]|downsample))\.")
_VIT_BLOCK = {
    f"{layer}.{part}"
    for layer in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    for part in ("weight", "bias")
}
"""Names in a block of a plain ViT."""
_PLAIN = (
    *("patch_embed.proj.", "cls_token", "pos_embed", "blocks.", "norm.", "head.", "fc_norm.", "pre_logits."),
    *("mask_token", "decoder"),
)
"""Beginnings of the names in a plain ViT; one more is another network."""
_VITS = {192: "tiny", 384: "small", 768: "base", 1024: "large"}
_VGGS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2,) * 5, "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Convolutions of each stage."""


def is_resnet_name(name: str) -> bool:
    """Whether a name is one of a ResNet without its classifier."""
    return _NAME.match(name) is not None and not name.endswith("num_batches_tracked")


def resnet_among(tensors: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
    """(`resnet_name`, its part of `names`) of the ResNet without classifier among names.

    names: {in torchvision's names: the name in `tensors`}.
    """
    names = {name: source for name, source in names.items() if is_resnet_name(name)}
    return resnet_name(shapes_by(tensors, names)), names


def resnet_name(shapes: Shapes) -> str | None:
    """Name of the ResNet in timm, or None where it is none of those that are known here."""
    blocks = stage_blocks(shapes, r"layer([1-4])\.(\d+)\.conv1\.weight$")
    depth = _DEPTHS.get(("layer1.0.conv3.weight" in shapes, blocks))
    second = shapes.get("layer1.0.conv2.weight", ())
    if depth is None or len(second) != 4 or ("bn1.running_var" not in shapes and "bn1.weight" not in shapes):
        return None
    if any(".se." in name or "offset" in name or ".conv2.conv_" in name for name in shapes):
        return None
    groups = second[0] // second[1]
    deep, wide = shapes.get("conv1.0.weight", ()), shapes.get("conv1.weight", ())
    if len(deep) == 4 and (deep[0], *deep[2:]) == (32, 3, 3) and groups == 1 and second[0] == 64:
        averaged = len(shapes.get("layer2.0.downsample.1.weight", ())) == 4
        return f"resnet{depth}{'d' if averaged else 'c'}"
    if len(wide) != 4 or (wide[0], *wide[2:]) != (64, 7, 7):  # of other channels than RGB: loading says so
        return None
    if groups == 1 and second[0] == 64:
        return f"resnet{depth}"
    return _WIDER.get((depth, groups, second[1]))


def stage_blocks(names: Iterable[str], pattern: str, first: int = 1) -> tuple[int, ...]:
    """Numbers of blocks of the four stages. pattern: of a name that every block has; its groups are the stage, counted
    from `first`, and the block."""
    blocks = [0, 0, 0, 0]
    for name in names:
        if found := re.match(pattern, name):
            stage = int(found[1]) - first
            blocks[stage] = max(blocks[stage], int(found[2]) + 1)
    return tuple(blocks)


def projected_first_stage(shapes: Shapes) -> bool:
    """Whether a ResNet-D of basic blocks has a projection in its first block, as RT-DETR's small ones do."""
    return "layer1.0.conv3.weight" not in shapes and "layer1.0.downsample.1.weight" in shapes


def vit_name(shapes: Shapes) -> str | None:
    """Name of the plain ViT in timm, for images of 224 pixels, or None."""
    patch, width = shapes.get("patch_embed.proj.weight", ()), shapes.get("pos_embed", (0, 0, 0))[-1]
    if len(patch) != 4 or patch[2] not in (8, 14, 16, 32) or "blocks.0.attn.qkv.weight" not in shapes:
        return None
    block = {name.removeprefix("blocks.0.") for name in shapes if name.startswith("blocks.0.")}
    if (
        block != _VIT_BLOCK
        or width not in _VITS
        or not all(name.startswith(_PLAIN) and ".ls1." not in name for name in shapes)
    ):
        return None
    depth = 1 + max(int(name.split(".")[1]) for name in shapes if re.match(r"blocks\.\d+\.attn\.qkv\.weight", name))
    if depth != (24 if width == 1024 else 12) or shapes["pos_embed"][1] != (224 // patch[2]) ** 2 + 1:
        return None
    return f"vit_{_VITS[width]}_patch{patch[2]}_224"


def vgg_name(shapes: Shapes) -> str | None:
    """Name of the VGG in timm and torchvision, or None."""
    convs = tuple(
        sorted(
            int(name.split(".")[1])
            for name, shape in shapes.items()
            if re.match(r"features\.\d+\.weight$", name) and len(shape) == 4
        )
    )
    norms = any(name.endswith("running_var") for name in shapes)
    for name, stages in _VGGS.items():
        places, place = [], 0
        for count in stages:
            places += [place + (3 if norms else 2) * k for k in range(count)]
            place = places[-1] + (4 if norms else 3)  # norm, ReLU and pooling come between
        if tuple(places) == convs:
            return f"{name}_bn" if norms else name
    return None
