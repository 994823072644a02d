"""Caffe2 Detectron: pickles of numpy arrays, `blobs` in detectors' files, and MSRA's ImageNet weights.

Names: convert_basic_c2_names in facebookresearch/detectron2 detectron2/checkpoint/c2_model_loading.py. Norms are
AffineChannel layers (`_bn_s`, `_bn_b`: scale and bias, the statistics folded in) or whole (`_bn_gamma`, `_bn_beta`,
`_bn_running_mean`, `_bn_running_var`, `_bn_rm`, `_bn_riv`).
"""

from __future__ import annotations

import re

from headstart.models.backbones.naming import with_options
from headstart.weights.importers.detectron2 import folded_statistics
from headstart.weights.importers.imported import BGR_255, CheckpointView, Imported
from headstart.weights.importers.resnet_names import resnet_among
from headstart.weights.wrappers import arrays

LAYOUT = "caffe2-detectron"
SOURCE = "facebookresearch/detectron2 detectron2/checkpoint/c2_model_loading.py"
REASONS = (
    ("fpn_", "feature pyramid"),
    ("rpn_", "region proposals"),
    ("conv_rpn", "region proposals"),
    ("fc", "heads of regions"),
    ("cls_", "heads of regions"),
    ("bbox_", "heads of regions"),
    ("mask_", "heads of regions"),
    ("retnet_", "detection head"),
    ("lr", "optimizer"),
    ("pred_", "classifier"),
)
_PARTS = {
    "s": "weight",
    "gamma": "weight",
    "b": "bias",
    "beta": "bias",
    "bias": "bias",
    "rm": "running_mean",
    "running_mean": "running_mean",
    "riv": "running_var",
    "running_var": "running_var",
}


def find(file: CheckpointView) -> Imported | None:
    blobs = file.at("blobs")
    tensors, under = (blobs, ("blobs",)) if blobs else (arrays(file.tree), ())
    candidates = {}
    for source in tensors:
        name = None if source.endswith("_momentum") else _canonical(source)
        if name is not None:
            candidates[name] = source
    backbone, names = resnet_among(tensors, candidates)
    if backbone is None or "res2_0_branch2a_w" not in tensors:
        return None
    fixed = folded_statistics(names)  # an AffineChannel is a norm whose statistics are folded in
    resnext = backbone.startswith("resnext")
    evidence = "names of Caffe2 Detectron" + ("; norms are AffineChannel layers" if fixed else "")
    return Imported(
        LAYOUT,
        with_options(backbone, stride_in="" if resnext else "conv1"),
        names,
        evidence,
        source=SOURCE,
        preprocessing=BGR_255,
        under=under,
        reasons=REASONS,
        constants=fixed,
    )


def _canonical(source: str) -> str | None:
    """`res3_1_branch2b_bn_s` -> `layer2.1.bn2.weight`; None for what is none of these."""
    if source == "conv1_w":
        return "conv1.weight"
    if found := re.match(r"(?:res_)?conv1_bn_(\w+)$", source):
        return f"bn1.{_PARTS[found[1]]}" if found[1] in _PARTS else None
    found = re.match(r"res([2-5])_(\d+)_branch(1|2[abc])_(w|bn_(\w+))$", source)
    if not found:
        return None
    block = f"layer{int(found[1]) - 1}.{found[2]}"
    number = "" if found[3] == "1" else str("abc".index(found[3][1]) + 1)
    if found[4] == "w":
        return f"{block}.conv{number}.weight" if number else f"{block}.downsample.0.weight"
    if found[5] not in _PARTS:
        return None
    return f"{block}.{f'bn{number}' if number else 'downsample.1'}.{_PARTS[found[5]]}"
