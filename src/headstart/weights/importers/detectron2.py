"""Detectron2: model zoo files (.pkl, numpy) and training checkpoints (.pth); FPN, C4, DC5; MSRA's and torchvision's.

Names: facebookresearch/detectron2 detectron2/modeling/backbone/resnet.py (`stem.conv1`, `res2`..`res5`, `conv1.norm`,
`shortcut`), detectron2/checkpoint/detection_checkpoint.py (containers), tools/convert-torchvision-to-d2.py. With a
pyramid the backbone is under `backbone.bottom_up.`, else under `backbone.`; C4 models keep res5 in `roi_heads.res5`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headstart.models.backbones.naming import with_options
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.weights.importers.imported import BGR_255, CheckpointView, Imported, takes_wide_input, values_of
from headstart.weights.importers.resnet_names import resnet_among

LAYOUT = "detectron2"
SOURCE = (
    "facebookresearch/detectron2 detectron2/modeling/backbone/resnet.py, detectron2/checkpoint/detection_checkpoint.py"
)
RGB_255 = Preprocessing("rgb", 1.0, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""What converted torchvision weights take: ImageNet's mean and std, times 255."""
BGR_X101 = Preprocessing("bgr", 1.0, (103.53, 116.28, 123.675), (57.375, 57.12, 58.395))
FOLDED = {"running_mean": 0.0, "running_var": 1 - 1e-5}
"""Statistics of a norm that changes nothing but by its weight and bias."""
PREFIXES = ("backbone.bottom_up.", "backbone.", "")
STRIDE_NOTE = "Stride in the 1x1 convolutions is assumed with MSRA's input, as Detectron2's configurations have it."
REASONS = (
    ("proposal_generator.", "region proposals"),
    ("roi_heads.", "heads of regions"),
    ("head.", "detection head"),
    ("backbone.fpn_", "feature pyramid"),
    ("backbone.top_block", "feature pyramid"),
    ("sem_seg_head.", "segmentation head"),
    ("pixel_", "mean and std of the input"),
)


def find(file: CheckpointView) -> Imported | None:
    prefix = next((start for start in PREFIXES if f"{start}stem.conv1.weight" in file.tensors), None)
    if prefix is None:
        return None
    candidates: dict[str, str] = {}
    for source in file.tensors:
        inner = source.removeprefix("roi_heads.") if source.startswith("roi_heads.res5.") else source
        name = canonical(inner.removeprefix(prefix)) if inner.startswith((prefix, "res5.")) else None
        if name is not None:
            candidates[name] = source
    backbone, names = resnet_among(file.tensors, candidates)
    if backbone is None:
        return None
    preprocessing, told = _input(file, names, backbone)
    own_c5 = f"{prefix}res5.0.conv1.weight" in file.tensors
    dilated = prefix == "backbone." and own_c5 and any(name.startswith("roi_heads.") for name in file.tensors)
    evidence = f"names of Detectron2's ResNet under {prefix!r}; {told}"
    if dilated:
        evidence += "; res5 without a pyramid, which is DC5: dilated"
    if "roi_heads.res5.0.conv1.weight" in file.tensors:
        evidence += "; C5 is the head's (C4 model)"
    backbone = with_options(
        backbone,
        stride_in="conv1" if preprocessing is BGR_255 else "",
        output_stride="16" if dilated else "",
        first_dilation="own" if dilated else "",
    )
    notes = (STRIDE_NOTE,) if preprocessing is BGR_255 else ()
    return Imported(
        LAYOUT,
        backbone,
        names,
        evidence,
        source=SOURCE,
        preprocessing=preprocessing,
        under=file.under,
        reasons=REASONS,
        notes=notes,
        constants=folded_statistics(names),
    )


def canonical(name: str) -> str | None:
    """`res3.1.conv2.norm.bias` -> `layer2.1.bn2.bias`; None for what is none of these."""
    if found := re.match(r"stem\.conv1\.(norm\.)?(\w+)$", name):
        return f"bn1.{found[2]}" if found[1] else f"conv1.{found[2]}"
    found = re.match(r"res([2-5])\.(\d+)\.(conv([123])|shortcut)\.(norm\.)?(\w+)$", name)
    if not found:
        return None
    block = f"layer{int(found[1]) - 1}.{found[2]}"
    if found[4] is None:
        return f"{block}.downsample.{1 if found[5] else 0}.{found[6]}"
    return f"{block}.{'bn' if found[5] else 'conv'}{found[4]}.{found[6]}"


def original(name: str) -> str:
    """Inverse of `canonical`: `layer2.1.bn2.bias` -> `res3.1.conv2.norm.bias`."""
    if found := re.match(r"(conv|bn)1\.(\w+)$", name):
        return f"stem.conv1.{'norm.' if found[1] == 'bn' else ''}{found[2]}"
    found = re.match(r"layer(\d)\.(\d+)\.(?:(conv|bn)(\d)|downsample\.([01]))\.(\w+)$", name)
    assert found is not None, name
    norm = "norm." if found[3] == "bn" or found[5] == "1" else ""
    part = f"conv{found[4]}" if found[4] else "shortcut"
    return f"res{int(found[1]) + 1}.{found[2]}.{part}.{norm}{found[6]}"


def folded_statistics(names: Mapping[str, str]) -> dict[str, float]:
    """Statistics that files leave out because norms are folded into weight and bias. names: as of `Imported`."""
    stems = [name.removesuffix("weight") for name in names if is_norm_weight(name)]
    fixed = ((f"{stem}{part}", value) for stem in stems for part, value in FOLDED.items())
    return {name: value for name, value in fixed if name not in names}


def is_norm_weight(name: str) -> bool:
    return name.endswith(".weight") and re.search(r"(bn\d|downsample\.1)\.weight$", name) is not None


def _input(file: CheckpointView, names: dict[str, str], backbone: str) -> tuple[Preprocessing, str]:
    """(preprocessing, what told it): the file's own mean and std, its author, or the first convolution's scale."""
    mean, std = (file.tensors.get(name) for name in ("pixel_mean", "pixel_std"))
    if mean is not None and std is not None:
        stated = _stated(values_of(mean).ravel().tolist(), values_of(std).ravel().tolist())
        if stated is not None:
            return stated, "mean and std are in the file"
    author = str(file.fact("__author__") or "")
    if author.lower() in ("torchvision", "moco"):
        return RGB_255, f"made from {author}'s weights: RGB"
    if backbone.startswith("resnext"):
        return BGR_X101, "a ResNeXt: BGR and std, as in Detectron2's configurations of X-101"
    parts: list[Any] = [
        file.tensors.get(names.get(name, "")) for name in ("conv1.weight", "bn1.weight", "bn1.running_var")
    ]
    if takes_wide_input(*parts):
        return BGR_255, "the first convolution is scaled for 0..255: MSRA's BGR input, stride in the 1x1"
    return RGB_255, "the first convolution is scaled for normalized input: torchvision's, RGB"


def _stated(mean: list[float], std: list[float]) -> Preprocessing | None:
    """The known preprocessing with these values, else one made of them; its channel order follows from the mean."""
    if len(mean) != 3 or len(std) != 3:
        return None
    for known in (BGR_255, RGB_255, BGR_X101):
        if max(abs(a - b) for a, b in zip((*mean, *std), (*known.mean, *known.std), strict=True)) < 1e-3:
            return known
    order = "rgb" if mean[0] > mean[2] else "bgr"  # photographs have more red than blue
    return Preprocessing(order, 1.0, (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))  # type: ignore[arg-type]
