"""Dilated C5: the last stage of a ResNet at the stride of the one before (as in arXiv 1605.06409), in place."""

from __future__ import annotations

from typing import Any

from torch import nn

LAST = "layer4"


def dilate_last(backbone: Any) -> nn.Module:
    """The backbone with its last stage at the stride of the one before; weights stay.

    Convolutions with a stride lose it; the 3x3 convolutions after them look twice as far apart, so that every second
    cell of the new map is the old map. A stage without a stride stays as it is. Raises ValueError for a backbone that
    does not have such a stage, or whose stage takes means of cells.
    """
    stage, (*others, before, last) = getattr(backbone, LAST, None), backbone.stages
    if stage is None:
        raise ValueError("a dilated C5 needs a backbone whose last stage is called layer4, such as a ResNet")
    if last.stride == before.stride:
        return backbone
    if any(isinstance(part, nn.AvgPool2d | nn.MaxPool2d) and part.stride != 1 for part in stage.modules()):
        raise ValueError("the last stage pools, so that it cannot be dilated; use an option of the backbone's name "
                         "such as [output_stride=16]")  # fmt: skip
    for conv in stage.modules():
        if not isinstance(conv, nn.Conv2d):
            continue
        if conv.stride == (2, 2):
            conv.stride = (1, 1)
        elif conv.kernel_size == (3, 3):
            conv.dilation = conv.padding = (2, 2)
    backbone.stages = (*others, before, last._replace(stride=before.stride))
    return backbone
