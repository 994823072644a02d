"""Classifiers and bare backbones in the names of torchvision and timm.

Names: torchvision's and timm's own models, which the tests build; `networks` has a table of them all. A file from the
Hugging Face hub has a `config.json` beside it that names timm's architecture and its preprocessing. Weights whose
makers publish bare backbones (DINO, DenseCL) look the same and are read here, too, and so are timm's `features_only`
networks (`stages_0` for `stages.0`) and the children of a ResNet in an `nn.Sequential` (0, 1, 4 to 7).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from headstart.errors import WeightsError
from headstart.models.backbones.naming import split_options
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.texts import json_of
from headstart.weights.importers import densecl
from headstart.weights.importers.imported import NOT_STATED, CheckpointView, Imported, shapes_of
from headstart.weights.importers.networks import input_of, network_of, plainness, same_names
from headstart.weights.importers.open_clip import TORCHVISION_VIT
from headstart.weights.importers.resnet_names import is_resnet_name, resnet_name, vgg_name, vit_name
from headstart.weights.importers.signatures import HEADS, Network

LAYOUT = "classifier"
SOURCE = "huggingface/pytorch-image-models timm/models; pytorch/vision torchvision/models"
REASONS = tuple((name, "classifier") for name in ("fc.", "head.", "classifier.", "pre_logits.", "fc_norm."))
COUNTERS = "num_batches_tracked"
STRIDE_NOTE = "strides are taken to be in the 3x3 convolutions, as in torchvision and timm: no tensor shows it"
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
    if (vit := TORCHVISION_VIT.find(file)) is not None:
        return vit
    for names in (dict(zip(tensors, tensors, strict=True)), _unflattened(tensors), _in_sequence(tensors)):
        by_name = {name: shapes[source] for name, source in names.items()}
        told = _told(by_name, file) if names else None
        if told is not None:
            name, keys, notes = told
            named = {key: names[key] for key in keys}
            return _described(file, name, named, by_name, notes=notes, doubles=_doubles(name, by_name))
    return None


def _told(shapes: Mapping[str, tuple[int, ...]], file: CheckpointView) -> tuple[str, list[str], tuple[str, ...]] | None:
    """(network, names of its tensors, notes), or None."""
    if (name := resnet_name(shapes)) is not None:
        stride = (STRIDE_NOTE,) if "layer1.0.conv3.weight" in shapes and "stride_in" not in name else ()
        return name, [key for key in shapes if is_resnet_name(key)], stride
    if (name := vit_name(shapes)) is not None:
        return name, [key for key in shapes if not key.startswith(("head.", "fc_norm."))], (HEADS_NOTE,)
    if (name := vgg_name(shapes)) is not None:
        return name, [key for key in shapes if key.startswith("features.")], ()
    if shapes.get("features.16.0.weight", (0,))[0] == 960 and "features.1.block.0.0.weight" in shapes:
        return "tv-mobilenet_v3_large", [key for key in shapes if key.startswith("features.")], ()
    found = network_of(shapes)
    if found is None:
        return None
    keys = [key for key in shapes if key.partition(".")[0] not in HEADS]
    if isinstance(found, str):
        return found, keys, ()
    return _one_of(found, shapes, file), keys, ()


def _one_of(found: tuple[Network, ...], shapes: Mapping[str, tuple[int, ...]], file: CheckpointView) -> str:
    """The plainest where the others have other pooling only, which batch norms tell; else a refusal."""
    names = sorted((one.name for one in found), key=plainness)
    plain = {one.function for one in found if not re.search(r"blur|aa", one.name)}
    if len(plain) == 1 and any(name.endswith("running_var") for name in shapes):
        return names[0]
    raise WeightsError(
        f"{file.path}: its names and shapes are those of {len(names)} networks that compute different things: "
        f"{', '.join(names[:8])}{', ..' if len(names) > 8 else ''}. Say which it is: file:{file.path}@{names[0]}."
    )


def _doubles(name: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """The plainest of each other function that networks with these names and shapes have."""
    found = sorted(same_names(shapes), key=lambda one: plainness(one.name))
    own = {one.function for one in found if one.name == split_options(name)[0]}
    others = {one.function: one.name for one in reversed(found) if one.function not in own}
    return tuple(sorted(others.values(), key=plainness)) if own else ()


def _unflattened(tensors: Iterable[str]) -> dict[str, str]:
    """{timm's name: name in a `features_only` network}, whose children are flattened: `stages_0`; {} where none is."""
    flat = re.compile(r"((?:stages|blocks|layers|features|stem|downsample_layers)(?:_[a-z]+)*)_(\d+)\.")
    if not any(flat.match(name) for name in tensors):
        return {}
    return {flat.sub(r"\1.\2.", name, count=1): name for name in tensors}


_PLACES = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


def _in_sequence(tensors: Mapping[str, Any]) -> dict[str, str]:
    """{torchvision's name: name in nn.Sequential(*children)} of a ResNet; {} where it is none."""
    if "0.weight" not in tensors or "1.running_mean" not in tensors or "4.0.conv1.weight" not in tensors:
        return {}
    parts = ((name, *name.partition(".")) for name in tensors)
    return {f"{_PLACES[first]}.{rest}": name for name, first, _, rest in parts if first in _PLACES}


def _described(
    file: CheckpointView,
    name: str,
    names: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    notes: tuple[str, ...],
    doubles: tuple[str, ...],
) -> Imported:
    heads = ("fc.weight", "head.weight", "classifier.weight", "head.fc.weight", "classifier.6.weight")
    classes = next((shapes[key][0] for key in (*heads, "classifier.3.weight") if key in shapes), 0)
    evidence = f"names and shapes of {name}" + (f" with {classes} classes" if classes else " without a classifier")
    lineage = (f"labels of {classes} classes (data not stated in the file)",) if classes else NOT_STATED
    preprocessing, assumed = input_of(name)
    kept = {key: source for key, source in names.items() if not key.endswith(COUNTERS)}
    return Imported(
        LAYOUT,
        name,
        kept,
        evidence,
        source=SOURCE,
        under=file.under,
        reasons=REASONS,
        preprocessing=preprocessing,
        lineage=lineage,
        notes=(*notes, *filter(None, [assumed])),
        doubles=doubles,
    )


def _imported(file: CheckpointView, backbone: str, names: Iterable[str], evidence: str, **facts: Any) -> Imported:
    """names: of tensors that keep them."""
    as_they_are = {name: name for name in names}
    return Imported(LAYOUT, backbone, as_they_are, evidence, source=SOURCE, under=file.under, reasons=REASONS, **facts)


def timm_config(file: CheckpointView) -> tuple[str, Preprocessing] | None:
    """(architecture, preprocessing) that a hub's `config.json` beside the file states for timm, or None."""
    if file.path.name not in ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"):
        return None  # the hub's names: a config.json beside another file may be of anything
    path = file.path.with_name("config.json")
    try:
        config: Any = json_of(path.read_text(encoding="utf-8"))
        facts = config["pretrained_cfg"]
        mean, std = tuple(map(float, facts["mean"])), tuple(map(float, facts["std"]))
        return str(config["architecture"]), Preprocessing(mean=mean, std=std)  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError, TypeError):
        return None
