"""A small table of public weights with their facts. Data only: imports no torch, downloads nothing."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from headstart.models.preprocessing import IMAGENET, Preprocessing

BUILTIN_NAMES = ("shapes-resnet",)
"""Built-in backbones (`headstart.models.backbones.BUILTIN_BACKBONES`), known here without torch."""

ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
"""Model names of timm that need no look-up in timm."""

IMAGENET_LABELS = "ImageNet-1k labels"
COCO_BOXES = "COCO boxes"
_TORCHVISION = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class PublicWeights:
    """One entry."""

    name: str
    """Short name; also accepted where weights are asked for."""
    uri: str
    backbone: str
    lineage: tuple[str, ...]
    """What made the weights, in order."""
    parameters: int
    """Of the backbone alone, without classifier or heads."""
    licence: str
    url: str = ""
    """torchvision's file; timm's weights are fetched by name from the Hugging Face hub."""
    key_prefix: str = ""
    norm_eps: float | None = None
    """Epsilon that the batch norms were trained with, where it is not the usual 1e-5."""
    source: str = ""
    """Where the facts come from."""
    preprocessing: Preprocessing = IMAGENET

    @property
    def digest(self) -> str:
        """First digits of the file's SHA-256 (torchvision writes them into the name), or timm's name with its tag."""
        return self.url.rpartition("-")[2].removesuffix(".pth") if self.url else self.uri.removeprefix("timm:")


_SIZES = MappingProxyType({"resnet18": 11_176_512, "resnet34": 21_284_672, "resnet50": 23_508_032,
                           "resnet101": 42_500_160})  # fmt: skip


def _classifier(name: str, backbone: str, enum: str, file: str) -> PublicWeights:
    return PublicWeights(
        name, f"tv:{enum}", backbone, (IMAGENET_LABELS,), _SIZES[backbone], "bsd-3-clause", _TORCHVISION + file,
        source="torchvision's weight enums, references/classification",
    )  # fmt: skip


def _timm(name: str, uri: str, backbone: str) -> PublicWeights:
    return PublicWeights(name, uri, backbone, (IMAGENET_LABELS,), _SIZES[backbone], "apache-2.0",
                         source="timm's pretrained_cfg; ResNet strikes back, arXiv 2110.00476")  # fmt: skip


def _detector(name: str, enum: str, file: str, norm_eps: float | None = None) -> PublicWeights:
    return PublicWeights(
        name, f"tv:{enum}", "resnet50", (IMAGENET_LABELS, COCO_BOXES), _SIZES["resnet50"], "bsd-3-clause",
        _TORCHVISION + file, "backbone.body.", norm_eps,
        "torchvision's weight enums, references/detection: the backbone starts from ResNet50_Weights.IMAGENET1K_V1",
    )  # fmt: skip


CATALOGUE: tuple[PublicWeights, ...] = (
    _classifier("resnet18-imagenet", "resnet18", "ResNet18_Weights.IMAGENET1K_V1", "resnet18-f37072fd.pth"),
    _classifier("resnet34-imagenet", "resnet34", "ResNet34_Weights.IMAGENET1K_V1", "resnet34-b627a593.pth"),
    _classifier("resnet50-imagenet", "resnet50", "ResNet50_Weights.IMAGENET1K_V1", "resnet50-0676ba61.pth"),
    _classifier("resnet50-imagenet-v2", "resnet50", "ResNet50_Weights.IMAGENET1K_V2", "resnet50-11ad3fa6.pth"),
    _classifier("resnet101-imagenet", "resnet101", "ResNet101_Weights.IMAGENET1K_V1", "resnet101-63fe2227.pth"),
    _classifier("resnet101-imagenet-v2", "resnet101", "ResNet101_Weights.IMAGENET1K_V2", "resnet101-cd907fc2.pth"),
    _timm("resnet18-a1", "timm:resnet18.a1_in1k", "resnet18"),
    _timm("resnet34-a1", "timm:resnet34.a1_in1k", "resnet34"),
    _timm("resnet50-a1", "timm:resnet50.a1_in1k", "resnet50"),
    _timm("resnet101-a1", "timm:resnet101.a1_in1k", "resnet101"),
    _timm("resnet101-a1h", "timm:resnet101.a1h_in1k", "resnet101"),
    _detector("faster-rcnn-resnet50-coco", "FasterRCNN_ResNet50_FPN_Weights.COCO_V1",
              "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", norm_eps=0.0),
    _detector("retinanet-resnet50-coco", "RetinaNet_ResNet50_FPN_Weights.COCO_V1",
              "retinanet_resnet50_fpn_coco-eeacb38b.pth", norm_eps=0.0),
    _detector("fcos-resnet50-coco", "FCOS_ResNet50_FPN_Weights.COCO_V1", "fcos_resnet50_fpn_coco-99b0c9b7.pth"),
    _detector("mask-rcnn-resnet50-coco", "MaskRCNN_ResNet50_FPN_Weights.COCO_V1",
              "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", norm_eps=0.0),
    _detector("keypoint-rcnn-resnet50-coco", "KeypointRCNN_ResNet50_FPN_Weights.COCO_V1",
              "keypointrcnn_resnet50_fpn_coco-fc266e95.pth", norm_eps=0.0),
    PublicWeights("faster-rcnn-resnet50-v2-coco", "tv:FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1", "resnet50",
                  (COCO_BOXES,), _SIZES["resnet50"], "bsd-3-clause",
                  _TORCHVISION + "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth", "backbone.body.",
                  source="pytorch/vision pull request 5763: 400 epochs; its command names no starting weights"),
)  # fmt: skip

TIMM_DEFAULTS = MappingProxyType({"resnet18": "a1_in1k", "resnet34": "a1_in1k", "resnet50": "a1_in1k",
                                  "resnet101": "a1h_in1k"})  # fmt: skip
"""Tag that a bare `timm:NAME` means, fixed here so that an upgrade of timm does not change what a study compares."""

_RECIPES = frozenset(("a1", "a1h", "a2", "a3", "b1k", "b2k", "bt", "c1", "c2", "c3", "d", "gluon", "lamb", "ra", "ra2",
                      "ra3", "racm", "ram", "tv", "tv2"))  # fmt: skip


def find(uri: str) -> PublicWeights | None:
    """Entry with this URI or short name; a bare timm name means its default tag."""
    scheme, _, rest = uri.partition(":")
    if scheme == "timm" and rest in TIMM_DEFAULTS:
        uri = f"{uri}.{TIMM_DEFAULTS[rest]}"
    return next((entry for entry in CATALOGUE if uri in (entry.uri, entry.name)), None)


def nearest(word: str, more: list[str] | tuple[str, ...] = ()) -> list[str]:
    """Up to three known URIs, or names among `more`, most like `word`."""
    known = [*(entry.uri for entry in CATALOGUE), *(f"random:{name}" for name in BUILTIN_NAMES + ARCHITECTURES), *more]
    lowered = {name.lower(): name for name in known} | {entry.name: entry.uri for entry in CATALOGUE}
    found = difflib.get_close_matches(word.lower(), list(lowered), n=3, cutoff=0.5)
    return list(dict.fromkeys(lowered[name] for name in found))


def timm_lineage(tag: str) -> tuple[str, ...]:
    """What a tag of timm says about the training: supervised ImageNet-1k recipes are known, others only quoted."""
    recipe, _, data = tag.rpartition("_")
    if data == "in1k" and recipe in _RECIPES:
        return (IMAGENET_LABELS,)
    return (f"not known in full (timm tag {tag})",) if tag else ("not stated",)


def rows() -> list[dict[str, Any]]:
    """One dict an entry, for printing."""
    return [
        {
            "uri": entry.uri,
            "backbone": entry.backbone,
            "lineage": " -> ".join(entry.lineage),
            "parameters": entry.parameters,
            "licence": entry.licence,
        }
        for entry in CATALOGUE
    ]
