"""Classifiers and bare backbones in the names of torchvision and timm: ResNets, ViTs, VGG, MobileNetV3.

Names: torchvision's and timm's own models, which the tests build. A file from the Hugging Face hub has a `config.json`
beside it that names timm's architecture and its preprocessing; then any network of timm is recognized. Weights whose
makers publish bare backbones (DINO, DenseCL) look the same and are read here, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.weights.importers import densecl
from headstart.weights.importers.imported import NOT_STATED, CheckpointView, Imported, shapes_of
from headstart.weights.importers.resnet_names import is_resnet_name, resnet_name, vgg_name, vit_name

LAYOUT = "classifier"
SOURCE = "huggingface/pytorch-image-models timm/models; pytorch/vision torchvision/models"
REASONS = tuple((name, "classifier") for name in ("fc.", "head.", "classifier.", "pre_logits.", "fc_norm."))
HEADS_NOTE = "heads of 64 channels are assumed, as in timm; MoCo v3's ViT-S has 12 heads: name it with [num_heads=12]"


def find(file: CheckpointView) -> Imported | None:
    tensors = file.tensors
    if densecl.is_extracted(file):
        return None
    shapes = shapes_of(tensors)
    config = timm_config(file)
    if config is not None:
        backbone, preprocessing = config
        evidence = "config.json beside the file names timm's architecture"
        return _imported(file, backbone, tensors, evidence, preprocessing=preprocessing)
    notes: tuple[str, ...] = ()
    if (name := resnet_name(shapes)) is not None:
        keys = [key for key in tensors if is_resnet_name(key)]
    elif (name := vit_name(shapes)) is not None:
        keys, notes = [key for key in tensors if not key.startswith(("head.", "fc_norm."))], (HEADS_NOTE,)
    elif (name := vgg_name(shapes)) is not None:
        keys = [key for key in tensors if key.startswith("features.")]
    elif shapes.get("features.16.0.weight", (0,))[0] == 960 and "features.1.block.0.0.weight" in shapes:
        name, keys = "tv-mobilenet_v3_large", [key for key in tensors if key.startswith("features.")]
    else:
        return None
    classes = next(
        (
            shapes[key][0]
            for key in ("fc.weight", "head.weight", "classifier.6.weight", "classifier.3.weight")
            if key in shapes
        ),
        0,
    )
    evidence = f"names and shapes of {name}" + (f" with {classes} classes" if classes else " without a classifier")
    lineage = (f"labels of {classes} classes (data not stated in the file)",) if classes else NOT_STATED
    keys = [key for key in keys if not key.endswith("num_batches_tracked")]
    return _imported(file, name, keys, evidence, preprocessing=IMAGENET, lineage=lineage, notes=notes)


def _imported(file: CheckpointView, backbone: str, names: Iterable[str], evidence: str, **facts: Any) -> Imported:
    """names: of tensors that keep them."""
    as_they_are = {name: name for name in names}
    return Imported(LAYOUT, backbone, as_they_are, evidence, source=SOURCE, under=file.under, reasons=REASONS, **facts)


def timm_config(file: CheckpointView) -> tuple[str, Preprocessing] | None:
    """(architecture, preprocessing) that a hub's `config.json` beside the file states for timm, or None."""
    if file.path.name not in ("model.safetensors", "pytorch_model.bin"):
        return None  # the hub's names: a config.json beside another file may be of anything
    path = file.path.with_name("config.json")
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
        facts = config["pretrained_cfg"]
        mean, std = tuple(map(float, facts["mean"])), tuple(map(float, facts["std"]))
        return str(config["architecture"]), Preprocessing(mean=mean, std=std)  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError, TypeError):
        return None
