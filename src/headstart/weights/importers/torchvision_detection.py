"""Detectors of torchvision: Faster, Mask and Keypoint R-CNN, RetinaNet, FCOS; SSD300 and SSDlite.

Names: torchvision's own models (torchvision/models/detection), which the tests build. ResNets and MobileNetV3 with a
pyramid are under `backbone.body.`; SSD's VGG-16 is split into `backbone.features` up to conv4_3 and `backbone.extra`;
SSDlite's MobileNetV3 (with its reduced tail) is nested in two parts of `backbone.features`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headstart.models.backbones.naming import with_options
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.weights.importers.imported import CheckpointView, Imported, shapes_by, shapes_of, without_prefix
from headstart.weights.importers.resnet_names import resnet_among

LAYOUT = "torchvision-detection"
SOURCE = "pytorch/vision torchvision/models/detection/{backbone_utils,faster_rcnn,retinanet,fcos,ssd,ssdlite}.py"
SSD_INPUT = Preprocessing(mean=(0.48235, 0.45882, 0.40784), std=(1 / 255, 1 / 255, 1 / 255))
SSDLITE_INPUT = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
REASONS = (
    ("backbone.fpn.", "feature pyramid"),
    ("rpn.", "region proposals"),
    ("roi_heads.", "heads of regions"),
    ("head.", "detection head"),
    ("backbone.extra.", "layers beyond C5"),
    ("backbone.scale_weight", "scale of SSD's first map"),
)
V1_NOTE = (
    "Norms are taken to have epsilon 1e-5. If this was fine-tuned from torchvision's COCO_V1 weights, write a "
    "card with norm_eps = 0: torchvision sets it so when it loads those."
)


def find(file: CheckpointView) -> Imported | None:
    tensors = file.tensors
    if "backbone.scale_weight" in tensors and "backbone.features.0.weight" in tensors:
        return _ssd(file)
    if "backbone.features.0.0.0.weight" in tensors:
        return _ssdlite(file)
    if not any(name.startswith(("rpn.", "head.", "roi_heads.")) for name in tensors):
        return None
    body = without_prefix(tensors, "backbone.body.")
    if "0.0.weight" in body:
        return _mobilenet(file, body)
    backbone, names = resnet_among(tensors, body)
    if backbone is None:
        return None
    eps, told, notes = _epsilon(file, backbone)
    evidence = f"names under backbone.body. beside torchvision's heads{told}"
    return _imported(file, backbone, names, evidence, norm_eps=eps, notes=notes)


def _imported(file: CheckpointView, backbone: str, names: Mapping[str, str], evidence: str, **facts: Any) -> Imported:
    return Imported(LAYOUT, backbone, names, evidence, source=SOURCE, under=file.under, reasons=REASONS, **facts)


def _epsilon(file: CheckpointView, backbone: str) -> tuple[float | None, str, tuple[str, ...]]:
    """(epsilon of the norms or None, evidence, notes): 0 for the first COCO weights of ResNet-50 detectors.

    torchvision calls `overwrite_eps(model, 0.0)` after loading COCO_V1 of Faster, Mask and Keypoint R-CNN and of
    RetinaNet with ResNet-50. Their heads tell them from the V2 ones (two convolutions in the region proposals, norms in
    RetinaNet's head), and the number of outputs from detectors of other data.
    """
    shapes = shapes_of(file.tensors)
    outputs = shapes.get("roi_heads.box_predictor.cls_score.weight", (0,))[0]
    keypoints = "roi_heads.keypoint_predictor.kps_score_lowres.weight" in shapes
    first_rcnn = "rpn.head.conv.0.0.weight" in shapes and "rpn.head.conv.1.0.weight" not in shapes
    # Before torchvision 0.13 the convolution was not in a sequence.
    first_rcnn = first_rcnn or "rpn.head.conv.weight" in shapes
    retina = shapes.get("head.classification_head.cls_logits.weight", (0,))[0]
    first_retina = (
        retina > 0
        and "head.regression_head.bbox_ctrness.weight" not in shapes
        and not any(re.match(r"head\.classification_head\.conv\.\d\.1\.weight", name) for name in shapes)
    )
    if not (first_rcnn or first_retina) or backbone != "resnet50":
        return None, "", ()
    coco = outputs == (2 if keypoints else 91) or retina == 9 * 91
    if coco:
        return 0.0, "; COCO's outputs and the first version's heads, so epsilon is 0 as torchvision sets it", ()
    return None, "", (V1_NOTE,)


def _mobilenet(file: CheckpointView, body: dict[str, str]) -> Imported | None:
    shapes = shapes_by(file.tensors, body)
    large = shapes.get("16.0.weight", (0,))[0] == 960
    if not large:
        return None
    names = {f"features.{name}": source for name, source in body.items() if not name.endswith("num_batches_tracked")}
    evidence = "MobileNetV3 under backbone.body. beside torchvision's heads"
    # Built with the norm's own epsilon there, 1e-5; the classifier and the segmenters have 1e-3.
    return _imported(file, "tv-mobilenet_v3_large", names, evidence, norm_eps=1e-5)


def _ssd(file: CheckpointView) -> Imported:
    """features.0 to 21 are conv1_1 to conv4_3; extra.0 begins with pool4, so its 1, 3, 5 are features.24, 26, 28."""
    names = {name.removeprefix("backbone."): name for name in file.tensors if name.startswith("backbone.features.")}
    for number in (1, 3, 5):
        for part in ("weight", "bias"):
            names[f"features.{23 + number}.{part}"] = f"backbone.extra.0.{number}.{part}"
    backbone = with_options("vgg16", pool3="ceil")
    return _imported(file, backbone, names, "VGG-16 in two parts and SSD's scale", preprocessing=SSD_INPUT)


def _ssdlite(file: CheckpointView) -> Imported | None:
    """features.0 holds the layers up to the expansion of C4's last block (its last part), features.1 the others.

    The block in which SSDlite cuts keeps its first part in features.0 and the rest in features.1.0.
    """
    cut = 13  # torchvision: the block whose expansion is SSDlite's first map, C4
    names = {}
    for name in file.tensors:
        if name.endswith("num_batches_tracked"):
            continue
        if found := re.match(r"backbone\.features\.0\.(\d+)\.(.+)", name):
            where = f"{found[1]}.{found[2]}" if int(found[1]) < cut else f"{cut}.block.0.{found[2]}"
        elif found := re.match(r"backbone\.features\.1\.0\.(\d+)\.(.+)", name):
            where = f"{cut}.block.{found[1]}.{found[2]}"
        elif found := re.match(r"backbone\.features\.1\.(\d+)\.(.+)", name):
            where = f"{cut + int(found[1])}.{found[2]}"
        else:
            continue
        names[f"features.{where}"] = name
    last = names.get("features.16.0.weight")
    if last is None:
        return None
    tail = "reduced" if file.tensors[last].shape[0] == 480 else "full"
    backbone = with_options("tv-mobilenet_v3_large", tail=tail)
    evidence = "MobileNetV3 in the two parts of SSDlite's backbone"
    return _imported(file, backbone, names, evidence, preprocessing=SSDLITE_INPUT)
