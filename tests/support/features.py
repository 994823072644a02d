"""What a backbone gives for one image, to compare."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from headstart.models.backbones.stages import evaluating


def features(backbone: nn.Module, side: int = 64) -> dict[str, Tensor]:
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(3))
    with evaluating(backbone):
        return backbone(image)


def equal(a: dict[str, Tensor], b: dict[str, Tensor], within: float = 0.0) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[k], b[k], rtol=0, atol=within) for k in a)
