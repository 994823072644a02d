"""Known networks that no backbone here computes: refused by name, with what to do instead."""

from __future__ import annotations

import re
from collections.abc import Iterable

KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        r"(^|\.)embeddings\.detection_tokens$",
        "YOLOS (transformers)",
        "its detection tokens take part in every layer. Start from the ViT or DeiT that it was made of",
    ),
    (
        r"(^|\.)backbone\.projector\.projector_layer",
        "RF-DETR (transformers)",
        "its DINOv2 attends within windows in most layers, which no tensor shows. Start from DINOv2 itself: "
        "timm:vit_small_patch14_dinov2.lvd142m",
    ),
    (
        r"(^|\.)encoder\.layer\.\d+\.gamma_1$",
        "LW-DETR (transformers)",
        "its ViT attends within windows in most layers, which no tensor shows. Take another detector's backbone, such "
        "as that of RT-DETR or D-FINE",
    ),
    (
        r"(^|\.)backbone\.0\.encoder\.encoder\.",
        "RF-DETR",
        "its DINOv2 attends within windows in most layers, which no tensor shows. Start from DINOv2 itself: "
        "timm:vit_small_patch14_dinov2.lvd142m",
    ),
)
"""(pattern of a name that only these have, the network, why not and what to do)."""


def small_stem(name: str, shape: tuple[int, ...]) -> str:
    """What to say where a ResNet begins with a 3x3 convolution, as those for CIFAR's images do; else ""."""
    if name.endswith("conv1.weight") and len(shape) == 4 and shape[2:] == (3, 3) and shape[1] == 3:
        return (
            f"\nIts first convolution is of 3x3 pixels ({name} {shape}): a ResNet with CIFAR's stem for small images, "
            "which computes with other strides. Write it as path/to/file.py:function and name it file:PATH@that."
        )
    return ""


def refused(names: Iterable[str]) -> str | None:
    """What the file is and why it is not read, or None."""
    told = list(names)
    for pattern, network, why in KNOWN:
        found = next((name for name in told if re.search(pattern, name)), None)
        if found is not None:
            return f"is of {network} ({found}): {why}."
    return None
