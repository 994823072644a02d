"""MMDetection, MMSegmentation and MMPretrain: `.pth` files with `state_dict` and `meta`.

Names: open-mmlab/mmdetection mmdet/models/backbones/resnet.py (torchvision's, under `backbone.`; a deep stem is
`stem.0` to `stem.7`), mmdet/models/backbones/swin.py. `style="caffe"` puts the stride into the 1x1 convolution and
comes with BGR input of 0..255 (configs/_base_, `open-mmlab://detectron2/resnet50_caffe`). What the configuration in
`meta` says is used; without one, the first convolution's scale tells the two styles apart.
"""

from __future__ import annotations

import re
from typing import Any

from headstart.models.backbones.naming import with_options
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.weights.importers.imported import (
    BGR_255,
    NOT_STATED,
    CheckpointView,
    Imported,
    takes_wide_input,
    without_prefix,
)
from headstart.weights.importers.resnet_names import resnet_among
from headstart.weights.importers.swin_names import swin

LAYOUT = "mmdetection"
SOURCE = "open-mmlab/mmdetection mmdet/models/backbones/resnet.py, mmdet/models/backbones/swin.py"
DILATED_NOTE = (
    "The file has no configuration; its backbone is taken to be dilated to stride 8, as the ResNets of "
    "MMSegmentation are (-d8)."
)
HEADS = (
    "neck.",
    "rpn_head.",
    "roi_head.",
    "bbox_head.",
    "mask_head.",
    "decode_head.",
    "auxiliary_head.",
    "head.",
    "encoder.",
    "decoder.",
    "query_head.",
    "panoptic_head.",
    "semantic_head.",
)
REASONS = (
    ("neck.", "feature pyramid"),
    ("rpn_head.", "region proposals"),
    ("roi_head.", "heads of regions"),
    ("decode_head.", "segmentation head"),
    ("auxiliary_head.", "auxiliary head"),
    ("data_preprocessor.", "mean and std of the input"),
    *((name, "head") for name in HEADS),
)
OPENIMAGES = {
    602: "OpenImages v6 boxes",
    601: "OpenImages v6 boxes",
    501: "OpenImages challenge 2019 boxes",
    500: "OpenImages challenge 2019 boxes",
}
"""What a number of outputs means: 601 or 500 classes, with or without a background."""


def find(file: CheckpointView) -> Imported | None:
    tensors, meta = file.tensors, file.fact("meta")
    body = without_prefix(tensors, "backbone.")
    told = isinstance(meta, dict) and any("version" in key or key in ("config", "cfg", "CLASSES") for key in meta)
    if not body or not (told or any(name.startswith(HEADS) for name in tensors)):
        return None
    if any(name.startswith(("encoder_q.", "encoder_k.", "queue")) for name in tensors):
        return None  # OpenSelfSup
    transformer = swin(body, tensors)
    if transformer is not None:
        evidence = "names of MMDetection's Swin under backbone."
        return _imported(file, transformer.backbone, transformer.names, evidence, edits=transformer.edits)
    backbone, names = resnet_among(tensors, {canonical(name): source for name, source in body.items()})
    if backbone is None:
        return None
    config = _config(meta)
    caffe, told_style = _is_caffe(file, names, config)
    preprocessing = _input(config) or (BGR_255 if caffe else IMAGENET)
    stride, dilated, notes = _dilation(config, tensors)
    backbone = with_options(backbone, stride_in="conv1" if caffe else "", output_stride=stride, first_dilation=dilated)
    evidence = f"names under backbone. beside OpenMMLab's heads; {told_style}"
    return _imported(file, backbone, names, evidence, preprocessing=preprocessing, notes=notes)


def _imported(file: CheckpointView, backbone: str, names: dict[str, str], evidence: str, **facts: Any) -> Imported:
    facts["lineage"] = _lineage(file)
    return Imported(LAYOUT, backbone, names, evidence, source=SOURCE, under=file.under, reasons=REASONS, **facts)


def canonical(name: str) -> str:
    """`stem.4.bias` of a deep stem -> `conv1.4.bias`; its last norm is `bn1`."""
    return name.replace("stem.7.", "bn1.").replace("stem.", "conv1.") if name.startswith("stem.") else name


def original(name: str, backbone: str) -> str:
    """Inverse of `canonical`: a deep stem's `conv1.4.bias` -> `stem.4.bias`."""
    if not backbone.endswith(("c", "d")):
        return name
    return re.sub(r"^bn1\.", "stem.7.", re.sub(r"^conv1\.", "stem.", name))


def _config(meta: Any) -> str:
    """Text of the configuration that the file carries, "" without one. It is searched, never run."""
    texts = [meta.get(key) for key in ("config", "cfg")] if isinstance(meta, dict) else []
    return next((text for text in texts if isinstance(text, str)), "")


def _is_caffe(file: CheckpointView, names: dict[str, str], config: str) -> tuple[bool, str]:
    backbone = config.partition("backbone")[2].partition("neck=")[0]
    if style := re.search(r"style\s*=\s*['\"](caffe|pytorch)['\"]", backbone or config):
        return style[1] == "caffe", f"its configuration says style={style[1]!r}"
    parts = [file.tensors.get(names.get(name, "")) for name in ("conv1.weight", "bn1.weight", "bn1.running_var")]
    if parts[0] is not None and takes_wide_input(*parts):
        return True, "the first convolution is scaled for 0..255: style='caffe'"
    return False, "the first convolution is scaled for normalized input: style='pytorch'"


def _input(config: str) -> Preprocessing | None:
    """Mean, std and channel order that the configuration states, or None."""
    values = {}
    for key in ("mean", "std"):
        found = re.search(rf"\b{key}\s*=\s*[\[(]([^\])]*)[\])]", config)
        numbers = re.findall(r"[\d.]+(?:e-?\d+)?", found[1]) if found else []
        if len(numbers) != 3:
            return None
        values[key] = tuple(map(float, numbers))
    order = re.search(r"\b(?:to_rgb|bgr_to_rgb)\s*=\s*(True|False)", config)
    if order is None:
        return None
    if order[1] == "True" and values["mean"] == (123.675, 116.28, 103.53) and values["std"] == (58.395, 57.12, 57.375):
        return IMAGENET
    return Preprocessing("rgb" if order[1] == "True" else "bgr", 1.0, values["mean"], values["std"])  # type: ignore[arg-type]


def _dilation(config: str, tensors: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """(output stride, whose dilation the first block has, notes)."""
    strides = re.search(r"\bstrides\s*=\s*[(\[]\s*1\s*,\s*2\s*,\s*([12])\s*,\s*([12])\s*[)\]]", config)
    if strides:
        stride = 32 // (3 - int(strides[1])) // (3 - int(strides[2]))
        own = stride != 32 and not re.search(r"contract_dilation\s*=\s*True", config)
        return str(stride), "own" if own else "", ()
    pyramid = any(".lateral_convs." in name or ".fpn_" in name or name.startswith("neck.") for name in tensors)
    if config or pyramid or not any(name.startswith("decode_head.") for name in tensors):
        return "", "", ()
    return "8", "", (DILATED_NOTE,)


def _lineage(file: CheckpointView) -> tuple[str, ...]:
    for name in ("roi_head.bbox_head.fc_cls.weight", "bbox_head.fc_cls.weight"):
        if name in file.tensors and (data := OPENIMAGES.get(file.tensors[name].shape[0])):
            return ("ImageNet-1k labels", f"{data} (told by the number of outputs)")
    return NOT_STATED
