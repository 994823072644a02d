"""Names of backbones with options: `resnet50[stride_in=conv1,output_stride=16]`. Imports no torch.

An option is a fact of the architecture that no tensor shows and that weights cannot be edited to change: where a
block has its stride, which stages are dilated, how many heads share a layer's width. So it is part of the name, and
with it of every key, card and report.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from itertools import combinations
from types import MappingProxyType

from headstart.errors import WeightsError
from headstart.recipes.heads import FasterRcnnHead, TowerHead
from headstart.recipes.schema import Training

OPTIONS = MappingProxyType(
    {
        "stride_in": ("conv2", "conv1"),
        "output_stride": ("32", "16", "8"),
        "first_dilation": ("previous", "own"),
        "first_shortcut": ("identity", "projection"),
        "pool3": ("floor", "ceil"),
        "stage4": ("dilated", "deformable"),
        "dilated": ("no", "yes"),
        "tail": ("full", "reduced"),
        "num_heads": (),
        "deformable": (),
        "modulated": ("yes", "no"),
        "norm": ("batch", "group"),
        "eps": (),
        "image_size": (),
        "mlp_ratio": (),
        "registers": (),
        "width": (),
        "depth": (),
        "patch": (),
        "windows": (),
        "global_blocks": (),
        "mid_positions": ("yes", "no"),
    }
)
"""Values of each option, the usual one first; () where there is none (see `FREE`).

    stride_in       convolution of a bottleneck that has the stride: the 3x3 (conv2), or the first 1x1 (conv1) as in
                    He et al.'s own ResNets, Caffe2 Detectron and Detectron2's MSRA weights
    output_stride   of the last stage; stages that would go beyond are dilated instead (DC5: 16, DeepLab: 8)
    first_dilation  of the first block of a dilated stage: that of the stage before (torchvision), or its own (DC5 of
                    Detectron2)
    first_shortcut  of a ResNet-D of basic blocks: RT-DETR's small ones project where widths are equal, too
    pool3           rounding of VGG-16's third pooling (SSD: ceil)
    stage4          of SNIPER's pre-activation ResNet
    dilated, tail   of torchvision's MobileNetV3 (segmentation; SSDlite)
    num_heads       of a ViT, where it is not timm's (MoCo v3's ViT-S has 12)
    deformable      stages of a ResNet whose 3x3 convolutions are deformable, finest first: C3+C4+C5
    modulated       whether these weigh what they sample (version 2) or not (version 1)
    norm            group: group norm in place of every batch norm
    eps             epsilon of the layer norms, where it is not timm's (transformers' ViT has 1e-12)
    image_size      side of the images that a ViT's position embeddings are for, where it is not that of its name; of
                    YOLOS height and width: 512x864
    mlp_ratio       hidden layers of PVT v2 in widths of the stage, where it is not timm's (SegFormer's MiT has 4)
    registers       register tokens of a DINOv3 ViT, where there are not four; detection tokens of YOLOS
    width, depth, patch    of a detector's own ViT (RF-DETR, LW-DETR, YOLOS): channels, blocks, pixels of a patch
    windows         along each side of the map, within which blocks of RF-DETR and LW-DETR attend
    global_blocks   that attend over all windows, counted from 0: 3+6+9
    mid_positions   whether YOLOS adds positions after every block
"""

STAGES = ("C2", "C3", "C4", "C5")
_SETS = ("+".join(some) for count in range(1, 5) for some in combinations(STAGES, count))
FREE = MappingProxyType(
    {
        "num_heads": (r"[1-9]\d*", "a whole number"),
        "eps": (r"[1-9](\.\d+)?e-\d+", "a small number, such as 1e-12"),
        "image_size": (r"[1-9]\d*(x[1-9]\d*)?", "a whole number of pixels, or height x width: 512x864"),
        "mlp_ratio": (r"[1-9]\d*", "a whole number"),
        "registers": (r"\d+", "a whole number"),
        **dict.fromkeys(("width", "depth", "patch", "windows"), (r"[1-9]\d{0,4}", "a whole number")),
        "global_blocks": (r"\d+(\+\d+)*", "blocks counted from 0, such as 3+6+9"),
        "deformable": ("|".join(map(re.escape, _SETS)), "stages of C2 to C5, finest first, such as C3+C4+C5"),
    }
)
"""Pattern of the values of an option that has no usual one, and what they are in words."""
DILATED = ("shapes-resnet", "preact-resnet26", "preact-resnet50", "preact-resnet101")
"""Backbones whose C5 has the stride of C4 as they are."""


def split_options(name: str, where: str = "") -> tuple[str, dict[str, str]]:
    """(name without options, options that are not the usual ones). Raises WeightsError for unknown ones."""
    base, bracket, rest = name.partition("[")
    if not bracket:
        return name, {}
    where = where or f"backbone {name!r}"
    if not rest.endswith("]"):
        raise WeightsError(f"{where}: the options of {base!r} lack their closing bracket. Write NAME[key=value,..].")
    options: dict[str, str] = {}
    for part in rest[:-1].split(","):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in OPTIONS:
            near = difflib.get_close_matches(key, OPTIONS, n=1)
            raise WeightsError(
                f"{where}: option {key!r} is unknown. {f'Nearest: {near[0]}. ' if near else ''}"
                f"Options: {', '.join(OPTIONS)}."
            )
        allowed = OPTIONS[key]
        if value not in allowed if allowed else not re.fullmatch(FREE[key][0], value):
            raise WeightsError(
                f"{where}: option {key} is {value!r}; it must be {' or '.join(allowed) if allowed else FREE[key][1]}."
            )
        if not allowed or value != allowed[0]:
            options[key] = value
    return base, options


def with_options(base: str, **options: str) -> str:
    """The name in its one spelling: options sorted, usual values left out."""
    unusual = sorted((key, value) for key, value in options.items() if value and value not in OPTIONS[key][:1])
    return f"{base}[{','.join(f'{key}={value}' for key, value in unusual)}]" if unusual else base


def no_options(base: str, options: dict[str, str], allowed: tuple[str, ...] = ()) -> None:
    """Raise WeightsError for an option that this backbone does not have."""
    if wrong := sorted(set(options) - set(allowed)):
        raise WeightsError(
            f"backbone {base!r} has no option {wrong[0]!r}. "
            + (f"It has: {', '.join(allowed)}." if allowed else "It has none.")
        )


def trained_by(recipe: Training, backbone: str, where: str = "") -> str:
    """`trained_name` of what this training makes of a backbone."""
    if not isinstance(recipe, TowerHead | FasterRcnnHead):
        return trained_name(backbone, (), True, "plain", where=where, batch_norm=recipe.batch_norm)
    return trained_name(
        backbone, recipe.deformable, recipe.modulated, recipe.neck, where=where, batch_norm=recipe.batch_norm
    )


def trained_name(
    backbone: str,
    deformable: Collection[str],
    modulated: bool,
    neck: str,
    *,
    where: str = "",
    batch_norm: str = "train",
) -> str:
    """Name of what a training makes of a backbone: with the stages that its recipe makes `deformable`, with C5 dilated
    for `neck` dc5, and with group norm for `batch_norm` group. What the backbone has already stays as it is.

    where: who asks, for the message. Raises WeightsError where no name can say it: for a user's own file, and where
    stages of version 1 and 2 would meet.
    """
    before = f"{where}: " if where else ""
    asked = ["`deformable`"] * bool(deformable) + ['`neck = "dc5"`'] * (neck == "dc5")
    asked += ['`batch_norm = "group"`'] * (batch_norm == "group")
    if backbone.rpartition(":")[0].endswith(".py"):
        if not asked:
            return backbone
        raise WeightsError(
            f"{before}{asked[0]} changes the backbone, and the weights of {backbone} could not say so: a backbone of "
            "your own has no options. Let its function return it so changed, or use a built-in ResNet."
        )
    base, options = split_options(backbone, where)
    if neck == "dc5" and base not in DILATED and "output_stride" not in options:
        # After a 1x1 convolution that had the stride, the 3x3 one of the first block must look as far as the others.
        dilation = "own" if options.get("stride_in") == "conv1" else ""
        options |= {"output_stride": "16", "first_dilation": dilation}
    if batch_norm == "group":
        options["norm"] = "group"
    have = set(options.get("deformable", "").split("+")) - {""}
    if fresh := set(deformable) - have - ({"C5"} if options.get("stage4") == "deformable" else set()):
        kind = "yes" if modulated else "no"
        if have and options.get("modulated", "yes") != kind:
            raise WeightsError(
                f"{before}`modulated = {str(modulated).lower()}` for {', '.join(sorted(fresh))} does not go with "
                f"{backbone}, whose deformable stages are of the other version. Set modulated = "
                f"{str(not modulated).lower()}, or leave these stages out."
            )
        options |= {"deformable": "+".join(sorted(fresh | have)), "modulated": kind}
    return with_options(base, **options)
