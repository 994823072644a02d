"""Writing a backbone in the layout of another library, with its preprocessing beside it or folded into it.

What is written has the container that the library reads, and the facts that importing needs again under "headstart":
the backbone's name with its options, preprocessing, lineage, license. Without folding, importing gives back every bit.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from headstart.errors import UsageError, WeightsError
from headstart.models.backbones.building import BUILTIN_NAMES, source_key
from headstart.models.backbones.naming import split_options
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.models.backbones.user_backbones import split_user_backbone
from headstart.store.arrays import save_tensors
from headstart.store.files import write_bytes
from headstart.weights.cards import WeightsSpec
from headstart.weights.checkpoint import Loaded
from headstart.weights.folding import fold_preprocessing
from headstart.weights.importers import detectron2, openmmlab
from headstart.weights.importers.imported import BGR_255
from headstart.weights.importers.resnet_names import resnet_name

Target = Literal["timm", "torchvision", "detectron2", "mmdetection"]
SUFFIXES: Mapping[str, str] = MappingProxyType(
    {"timm": ".safetensors", "torchvision": ".pth", "detectron2": ".pkl", "mmdetection": ".pth"}
)
_TORCHVISION = frozenset(
    (
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet50_2",
        "wide_resnet101_2",
    )
)


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    path: Path
    to: Target
    preprocessing: Preprocessing
    """What the exported weights take."""
    notes: tuple[str, ...]
    """What to set in the library that reads them."""


def export(
    loaded: Loaded, spec: WeightsSpec, out: Path, to: Target, *, fold: bool = False, overwrite: bool = False
) -> Exported:
    """Write the backbone of `loaded`, which `spec` named, to `out` in the layout `to`.

    fold: change the first convolution so that the weights take the layout's usual input; possible exactly where the
    means coincide. Raises UsageError for a path that cannot be, WeightsError for a backbone that the layout cannot
    express and for preprocessing that cannot be folded.
    """
    _check_path(out, to, overwrite)
    if split_user_backbone(spec.backbone):
        raise WeightsError(
            f"{spec.name}: a backbone of your own has no layout to be exported to. Save its state dict "
            "yourself: torch.save(backbone.state_dict(), ..)."
        )
    state = canonical_state(loaded.backbone)
    preprocessing = loaded.preprocessing
    if fold:
        preprocessing = usual_input(to, spec.backbone)
        state = fold_preprocessing(state, loaded.backbone, spec.name, loaded.preprocessing, after=preprocessing)
    facts = {
        "format": 1,
        "to": to,
        "backbone": spec.backbone,
        "preprocessing": preprocessing.to_json(),
        "lineage": list(spec.lineage),
        "licence": spec.licence,
        "weights": spec.name,
        "digest": spec.digest,
    }
    notes = _WRITERS[to](out, state, spec.backbone, preprocessing, facts=facts)
    return Exported(out, to, preprocessing, notes)


def canonical_state(backbone: nn.Module) -> dict[str, Tensor]:
    """Its tensors by the names of the classifier that it was taken from, without what was never trained."""
    fresh = tuple(getattr(backbone, "fresh_prefixes", ()))
    return {
        source_key(backbone, key): value.detach().cpu().contiguous()
        for key, value in backbone.state_dict().items()
        if not (fresh and key.startswith(fresh))
    }


def usual_input(to: Target, backbone: str) -> Preprocessing:
    """What the configurations of a library feed such a network."""
    caffe = split_options(backbone)[1].get("stride_in") == "conv1"
    return BGR_255 if to == "detectron2" or (to == "mmdetection" and caffe) else IMAGENET


def _check_path(out: Path, to: Target, overwrite: bool) -> None:
    if to not in SUFFIXES:
        raise UsageError(f"layout {to!r} is unknown. Give {', '.join(SUFFIXES)}.")
    if out.suffix != SUFFIXES[to]:
        raise UsageError(f"{out}: a file for {to} ends with {SUFFIXES[to]}. Give {out.with_suffix(SUFFIXES[to])}.")
    if not out.parent.is_dir():
        raise UsageError(f"{out}: the folder {out.parent} does not exist. Make it first.")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists. Give another name, or --overwrite.")


def _save(out: Path, content: Any) -> None:
    """As torch does. By way of memory: what torch says of a full disk is no message."""
    made = io.BytesIO()
    torch.save(content, made)
    write_bytes(out, made.getvalue())


def _timm(
    out: Path, state: dict[str, Tensor], backbone: str, _: Preprocessing, *, facts: dict[str, Any]
) -> tuple[str, ...]:
    save_tensors(out, state, {"format": "pt", "headstart": json.dumps(facts)})
    base, options = split_options(backbone)
    if "deformable" in options or "norm" in options:
        return (f"timm has no such network; the names are those of Headstart's own backbone {backbone}",)
    if base in BUILTIN_NAMES or base.startswith("tv-"):
        return (f"timm has no {base}; the names are those of Headstart's own backbone {backbone}",)
    if options:
        return (f"timm's {base} computes something else unless it is built with {options}",)
    return (f"timm.create_model({base!r}).load_state_dict(safetensors.torch.load_file(..), strict=False)",)


def _torchvision(
    out: Path, state: dict[str, Tensor], backbone: str, _: Preprocessing, *, facts: dict[str, Any]
) -> tuple[str, ...]:
    base, options = split_options(backbone)
    if not base.startswith("tv-") and (base not in _TORCHVISION or set(options) - {"output_stride"}):
        told = f" with {options}" if options else ""
        raise WeightsError(
            f"torchvision has no network like {base}{told}: its ResNets have the stride in the 3x3 "
            "convolution and a plain stem. Export to timm or mmdetection."
        )
    _save(out, {"state_dict": state, "headstart": facts})
    notes = ["load_state_dict(torch.load(..)['state_dict'], strict=False): the classifier is not in it"]
    if "output_stride" in options:
        dilate = [False, options["output_stride"] == "8", True]
        notes.append(f"build it with replace_stride_with_dilation={dilate}")
    return tuple(notes)


def _plain_resnet(state: dict[str, Tensor], backbone: str, library: str) -> tuple[str, dict[str, str]]:
    """(name, options) where it is a ResNet; raises WeightsError otherwise."""
    base, options = split_options(backbone)
    for key, words in (("deformable", "deformable convolutions"), ("norm", "group norms")):
        if key in options:
            raise WeightsError(
                f"{library}'s names of {words} are not known here. Export to timm, whose file keeps our names."
            )
    if resnet_name({name: tuple(value.shape) for name, value in state.items()}) != base:
        raise WeightsError(f"{library}'s layout is known here for ResNets, and {base} is none. Export to timm.")
    if "first_shortcut" in options:
        raise WeightsError(f"{library} has no ResNet with a projection in its first block. Export to timm.")
    return base, options


def _detectron2(
    out: Path, state: dict[str, Tensor], backbone: str, preprocessing: Preprocessing, *, facts: dict[str, Any]
) -> tuple[str, ...]:
    base, options = _plain_resnet(state, backbone, "Detectron2")
    if base.endswith(("c", "d")):
        raise WeightsError(
            f"Detectron2's ResNets have a plain stem, and {base} has a deep one. Export to timm or mmdetection."
        )
    model = {detectron2.original(name): value.numpy() for name, value in state.items() if "num_batches" not in name}
    content = {"model": model, "__author__": "Headstart", "matching_heuristics": True, "headstart": facts}
    write_bytes(out, pickle.dumps(content, protocol=4))
    mean, std = _in_255(preprocessing)
    stride = split_options(backbone)[1].get("stride_in") == "conv1"
    settings = [
        f"INPUT.FORMAT {preprocessing.channel_order.upper()!r}",
        f"MODEL.PIXEL_MEAN {mean}",
        f"MODEL.PIXEL_STD {std}",
        f"MODEL.RESNETS.STRIDE_IN_1X1 {stride}",
    ]
    if options.get("output_stride") == "16":
        settings.append("MODEL.RESNETS.RES5_DILATION 2")
    return (f"set {', '.join(settings)}",)


def _mmdetection(
    out: Path, state: dict[str, Tensor], backbone: str, preprocessing: Preprocessing, *, facts: dict[str, Any]
) -> tuple[str, ...]:
    base, options = _plain_resnet(state, backbone, "MMDetection")
    config = _mm_config(base, options, preprocessing)
    renamed = {f"backbone.{openmmlab.original(name, base)}": value for name, value in state.items()}
    content = {"meta": {"config": config}, "state_dict": renamed, "headstart": facts}
    _save(out, content)
    return ("init_cfg=dict(type='Pretrained', checkpoint=.., prefix='backbone.'); configuration:", *config.splitlines())


def _mm_config(base: str, options: dict[str, str], preprocessing: Preprocessing) -> str:
    mean, std = _in_255(preprocessing)
    depth = "".join(filter(str.isdigit, base.partition("_")[0]))
    kind = {"c": "ResNetV1c", "d": "ResNetV1d"}.get(base[-1], "ResNeXt" if base.startswith("resnext") else "ResNet")
    style = "caffe" if options.get("stride_in") == "conv1" else "pytorch"
    stages = {
        "16": "strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), ",
        "8": "strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), ",
    }
    dilated = stages.get(options.get("output_stride", ""), "")
    contract = f"contract_dilation={options.get('first_dilation') != 'own'}, " if dilated else ""
    return (
        f"data_preprocessor=dict(mean={mean}, std={std}, bgr_to_rgb={preprocessing.channel_order == 'rgb'})\n"
        f"backbone=dict(type='{kind}', depth={depth}, {dilated}{contract}style='{style}')"
    )


def _in_255(preprocessing: Preprocessing) -> tuple[list[float], list[float]]:
    """Mean and std for values of 0..255, as these libraries write them."""
    mean = [round(value / preprocessing.scale, 6) for value in preprocessing.mean]
    return mean, [round(value / preprocessing.scale, 6) for value in preprocessing.std]


class _Writer(Protocol):
    def __call__(
        self,
        out: Path,
        state: dict[str, Tensor],
        backbone: str,
        preprocessing: Preprocessing,
        /,
        *,
        facts: dict[str, Any],
    ) -> tuple[str, ...]: ...


_WRITERS: Mapping[str, _Writer] = MappingProxyType(
    {"timm": _timm, "torchvision": _torchvision, "detectron2": _detectron2, "mmdetection": _mmdetection}
)
