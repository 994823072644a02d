"""Hugging Face transformers: its backbones (`transformers_cnns`, `transformers_vits`, `transformers_mit`), and here the
ResNets inside of DETR (also the original repository's) and RT-DETR.

Names: transformers' own models, which the tests build; DETR keeps timm's backbone under
`model.backbone.conv_encoder.model.`, the original (facebookresearch/detr models/backbone.py) torchvision's under
`backbone.0.body.`. RT-DETR has a ResNet-D with names of its own (modeling_rt_detr_resnet.py).
"""

from __future__ import annotations

import re
from typing import Any

from headstart.models.backbones.naming import with_options
from headstart.texts import json_of
from headstart.weights.importers.imported import RGB_01, CheckpointView, Imported, shapes_by, without_prefix
from headstart.weights.importers.renamed import detector_vits, transformers_cnns, transformers_mit, transformers_vits
from headstart.weights.importers.resnet_names import projected_first_stage, resnet_among, resnet_name
from headstart.weights.stored import Stub

LAYOUT = "huggingface"
DETR = "huggingface/transformers models/detr/modeling_detr.py; facebookresearch/detr models/backbone.py"
RT_DETR = "huggingface/transformers models/rt_detr/modeling_rt_detr_resnet.py"
PREFIXES = (
    "model.backbone.conv_encoder.model.",
    "model.backbone.model.",
    "backbone.conv_encoder.model.",
    "backbone.0.body.",
)
REASONS = (
    ("model.encoder", "transformer"),
    ("model.decoder", "transformer"),
    ("transformer.", "transformer"),
    ("class_", "detection head"),
    ("bbox_", "detection head"),
    ("model.enc_", "detection head"),
)


FAMILIES = transformers_cnns.FAMILIES + transformers_mit.FAMILIES + transformers_vits.FAMILIES


def find(file: CheckpointView) -> Imported | None:
    if (one := detector_vits.find(file)) is not None:
        return one
    for family in FAMILIES:
        if (one := family.find(file)) is not None:
            return one
    if any(".embedder.embedder.0.convolution.weight" in name for name in file.tensors):
        return _rt_detr(file)
    for prefix in PREFIXES:
        backbone, names = resnet_among(file.tensors, without_prefix(file.tensors, prefix))
        if backbone is None:
            continue
        dilated, told = _is_dilated(file)
        note = () if told else ("Whether the last stage is dilated (DC5) is not in the file; it is taken not to be.",)
        backbone = with_options(backbone, output_stride="16" if dilated else "")
        return Imported(
            LAYOUT,
            backbone,
            names,
            f"names of DETR's backbone{told}",
            source=DETR,
            under=file.under,
            reasons=REASONS,
            notes=note,
        )
    return None


def _is_dilated(file: CheckpointView) -> tuple[bool, str]:
    """(whether C5 is dilated, what told it or "")."""
    args: Any = file.fact("args")
    if isinstance(args, Stub) and isinstance(args.state.get("dilation"), bool):
        return args.state["dilation"], f"; the arguments in the file say dilation={args.state['dilation']}"
    try:
        config = json_of(file.path.with_name("config.json").read_text(encoding="utf-8"))
        dilated = bool(config["dilation"])
    except (OSError, ValueError, KeyError, TypeError):
        return (
            "dc5" in file.path.stem.lower(),
            "; the file's name says DC5" if "dc5" in file.path.stem.lower() else "",
        )
    return dilated, f"; config.json says dilation={str(dilated).lower()}"


def _rt_detr(file: CheckpointView) -> Imported | None:
    names = {}
    for source in file.tensors:
        name = _rt_name(source)
        if name is not None and not name.endswith("num_batches_tracked"):
            names[name] = source
    shapes = shapes_by(file.tensors, names)
    backbone = resnet_name(shapes)
    if backbone is None:
        return None
    backbone = with_options(backbone, first_shortcut="projection" if projected_first_stage(shapes) else "")
    return Imported(
        LAYOUT,
        backbone,
        names,
        "names of RT-DETR's ResNet-D",
        source=RT_DETR,
        preprocessing=RGB_01,
        under=file.under,
        reasons=REASONS,
    )


def _rt_name(source: str) -> str | None:
    """`encoder.stages.0.layers.1.layer.2.normalization.bias` -> `layer1.1.bn3.bias`; None for other parts.

    The stem's three convolutions are modules 0, 3 and 6 of timm's `conv1`, the norm of the last is `bn1`. A shortcut
    that pools first has one level more.
    """
    if found := re.search(r"embedder\.embedder\.(\d)\.(convolution|normalization)\.(\w+)$", source):
        place, part = int(found[1]), found[3]
        if found[2] == "convolution":
            return f"conv1.{3 * place}.{part}"
        return f"bn1.{part}" if place == 2 else f"conv1.{3 * place + 1}.{part}"
    found = re.search(
        r"encoder\.stages\.(\d)\.layers\.(\d+)\.(layer\.(\d)|shortcut(\.1)?)\."
        r"(convolution|normalization)\.(\w+)$",
        source,
    )
    if not found:
        return None
    block = f"layer{int(found[1]) + 1}.{found[2]}"
    is_conv = found[6] == "convolution"
    if found[4] is not None:
        return f"{block}.{'conv' if is_conv else 'bn'}{int(found[4]) + 1}.{found[7]}"
    return f"{block}.downsample.{1 if is_conv else 2}.{found[7]}"
