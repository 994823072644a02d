"""EfficientNet in the names of lukemelas' PyTorch port, which segmentation_models.pytorch has for its encoders.

Names: lukemelas/EfficientNet-PyTorch efficientnet_pytorch/model.py; qubvel-org/segmentation_models.pytorch
segmentation_models_pytorch/encoders/_efficientnet.py. Both pad as TensorFlow does, as timm's `tf_efficientnet`: the
same for sides in multiples of the network's stride. Blocks are numbered throughout; how many a stage has follows from
how many there are (Tan & Le, arXiv 1905.11946, Sec. 4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from headstart.weights.importers.renamed.families import Family, rules

REPEATS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of B0's stages."""
DEPTHS = (1.0, 1.1, 1.4, 1.8, 2.2, 2.6, 3.1)
"""Of B0, B1 and 1.2 of B2 give the same numbers, B3 to B7."""
SOURCE = "lukemelas/EfficientNet-PyTorch efficientnet_pytorch/model.py"


def _rules(depth: float) -> str:
    lines = [r"_conv_stem\.(\w+) -> conv_stem.\1", r"_bn0\.(\w+) -> bn1.\1"]
    lines += [r"_conv_head\.(\w+) -> conv_head.\1", r"_bn1\.(\w+) -> bn2.\1", r"_fc\.(\w+) -> classifier.\1"]
    number = 0
    for stage, repeats in enumerate(REPEATS):
        for k in range(math.ceil(depth * repeats)):
            block, new = rf"_blocks\.{number}", f"blocks.{stage}.{k}"
            parts = {"_depthwise_conv": "conv_dw", "_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
            if stage:
                parts |= {"_expand_conv": "conv_pw", "_bn0": "bn1", "_bn1": "bn2"}
                parts |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
            else:  # the first stage's blocks do not expand
                parts |= {"_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
            lines += [rf"{block}\.{old}\.(\w+) -> {new}.{name}.\1" for old, name in parts.items()]
            number += 1
    return "\n".join(lines)


def _as_tensorflow(names: tuple[str, ...], _: Mapping[str, Any]) -> str:
    """Of the networks of equal names and shapes the one that pads as TensorFlow does."""
    return next((name for name in names if name.startswith("tf_")), names[0])


FAMILIES = tuple(
    Family(
        "EfficientNet-PyTorch",
        "_conv_stem.weight",
        rules(_rules(depth)),
        "smp",
        SOURCE,
        among=_as_tensorflow,
        notes=("sides of images in multiples of 32 are padded as there; others are padded otherwise by a pixel",),
    )
    for depth in DEPTHS
)
