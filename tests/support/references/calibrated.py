"""Networks whose norms remember some images, as after training on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET

ROOT = Path(__file__).parents[3]
WEIGHTS = ROOT.parent / "shared" / "weights"
staged = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the checkpoints are not staged beside the repository")


def calibrated(name: str, images: np.ndarray) -> nn.Module:
    """A random network whose norms remember these images."""
    torch.manual_seed(3)
    net = build_backbone(name)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
            part.weight.data.uniform_(0.3, 1.2)
            part.bias.data.normal_(0, 0.3)
    with torch.no_grad():
        net.train()(IMAGENET.apply(torch.from_numpy(images.copy()).permute(0, 3, 1, 2)))
    return net.eval()
