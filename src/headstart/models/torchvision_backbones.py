"""MobileNetV3 of torchvision, with the variants of its segmenters and of SSDlite that timm does not have."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from headstart.models.options import no_options
from headstart.models.stages import Stage

NAMES = {"tv-mobilenet-v3-large": "mobilenet_v3_large", "tv-mobilenet-v3-small": "mobilenet_v3_small"}


class FeatureBackbone(nn.Module):
    """`features` of a torchvision MobileNetV3: the maps before each layer with a stride, dilated or not, and the last.

    These are the maps that torchvision's own detectors and segmenters take (`_mobilenet_extractor`).
    """

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features
        layers = list(features.children())
        self.kept = [i - 1 for i, layer in enumerate(layers) if i and getattr(layer, "_is_cn", False)]
        self.kept.append(len(layers) - 1)
        with torch.no_grad():
            maps = self._maps(torch.zeros(1, 3, 64, 64))
        first = 6 - len(self.kept)
        self.stages = tuple(Stage(f"C{first + k}", maps[i].shape[1], 64 // maps[i].shape[2])
                            for k, i in enumerate(self.kept))  # fmt: skip

    def _maps(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.features.children():
            x = layer(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self._maps(x)
        return {stage.name: maps[i] for stage, i in zip(self.stages, self.kept, strict=True)}


def build_torchvision(name: str, options: dict[str, str]) -> FeatureBackbone:
    from torchvision import models

    no_options(name, options, ("dilated", "tail"))
    build: Any = getattr(models, NAMES[name])
    model = build(weights=None, dilated=options.get("dilated") == "yes", reduced_tail=options.get("tail") == "reduced")
    return FeatureBackbone(model.features.eval()).train()
