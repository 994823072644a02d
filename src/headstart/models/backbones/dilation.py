"""Dilated C5: the last stage of a ResNet at the stride of the one before (as in arXiv 1605.06409), in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from headstart.models.backbones.deformable import DeformConv2d

LAST = "layer4"


def dilate_last(backbone: Any) -> nn.Module:
    """The backbone with its last stage at the stride of the one before; weights stay.

    Convolutions with a stride lose it; the 3x3 convolutions after them look twice as far apart, so that every second
    cell of the new map is the old map. Where they are deformable, offsets are doubled: they lead to the same places. A
    stage without a stride stays as it is. Raises ValueError for a backbone that does not have such a stage, or whose
    stage takes means of cells.
    """
    stage, (*others, before, last) = getattr(backbone, LAST, None), backbone.stages
    if stage is None:
        raise ValueError("a dilated C5 needs a backbone whose last stage is called layer4, such as a ResNet")
    if last.stride == before.stride:
        return backbone
    if any(isinstance(part, nn.AvgPool2d | nn.MaxPool2d) and part.stride != 1 for part in stage.modules()):
        raise ValueError(
            "the last stage pools, so that it cannot be dilated; use an option of the backbone's name "
            "such as [output_stride=16]"
        )
    for conv in list(stage.modules()):
        if isinstance(conv, DeformConv2d):
            _dilate_deformable(conv)
        if not isinstance(conv, nn.Conv2d):
            continue
        if conv.stride == (2, 2):
            conv.stride = (1, 1)
        elif conv.kernel_size == (3, 3):
            conv.dilation = conv.padding = (2, 2)
    backbone.stages = (*others, before, last._replace(stride=before.stride))
    return backbone


def _dilate_deformable(conv: DeformConv2d) -> None:
    """Its layer that learns offsets is a convolution of its own and is changed as one."""
    if conv.stride == 2:
        conv.stride = 1
        return
    conv.dilation = conv.padding = 2
    with torch.no_grad():
        for values in (conv.offset.weight, conv.offset.bias):
            values[: 2 * conv.points] *= 2  # type: ignore[index]
