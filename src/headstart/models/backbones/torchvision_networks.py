"""Classifiers of torchvision as backbones, for networks whose layers run one after the other: `tv-NAME`.

timm has most of them, too, often under other parameter names; these keep torchvision's, and MobileNetV3 has the
variants of torchvision's segmenters and of SSDlite, which timm does not have.
"""

from __future__ import annotations

import copy
import difflib
import math
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.models.backbones.naming import no_options
from headstart.models.backbones.stages import Stage

PREFIX = "tv-"

# Attributes that run one after the other, up to the last map: the first set that a network has is taken.
_SEQUENCES = (
    ("features", "norm"),  # Swin
    ("features",),  # MobileNet, EfficientNet, ConvNeXt, VGG, SqueezeNet, DenseNet
    ("layers",),  # MNASNet
    ("stem", "trunk_output"),  # RegNet
    ("stem", "blocks"),  # MaxViT
    ("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"),  # ShuffleNetV2
    (
        *("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3"),  # GoogLeNet
        *("inception4a", "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4"),
        *("inception5a", "inception5b"),
    ),
    ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"),  # ResNet
)
_UNFOLDED = ("features", "layers", "trunk_output", "blocks")


class TorchvisionNetwork(nn.Module):
    """Stages: the last map of every stride from 2 on, named by stride: C1 (2) to C5 (32); of MobileNetV3 those that
    torchvision's own detectors and segmenters take.
    """

    def __init__(self, model: nn.Module, attributes: tuple[str, ...]) -> None:
        super().__init__()
        for name in attributes:
            setattr(self, name, getattr(model, name))
        self.attributes = attributes
        self.ends_with_relu = type(model).__name__ == "DenseNet"  # a function in torchvision's forward, not a layer
        trial = copy.deepcopy(self).to("meta").eval()
        maps = trial._maps(torch.zeros(1, 3, 224, 224, device="meta"))
        # Swin's maps are (B, h, w, C): the second and third sizes are equal for a square image, the last is not.
        self.channels_last = maps[-1].shape[1] == maps[-1].shape[2] != maps[-1].shape[3]
        sizes = [(v.shape[3], v.shape[1]) if self.channels_last else (v.shape[1], v.shape[2]) for v in maps]
        powers = [round(math.log2(224 / h)) for _, h in sizes]
        # MobileNetV3 marks the layers that begin a stage, with a stride or with dilation instead.
        begins = [i for i, unit in enumerate(self._units()) if i and getattr(unit, "_is_cn", False)]
        ends = [*(i - 1 for i in begins), len(maps) - 1] if begins else {p: i for i, p in enumerate(powers)}.values()
        self.kept = tuple(i for i in ends if powers[i] > 0)
        names = range(6 - len(self.kept), 6) if begins else [powers[i] for i in self.kept]
        self.stages = tuple(
            Stage(f"C{name}", sizes[i][0], 2 ** powers[i]) for name, i in zip(names, self.kept, strict=True)
        )

    def _units(self) -> list[nn.Module]:
        units: list[nn.Module] = []
        for name in self.attributes:
            part: Any = getattr(self, name)
            units += list(part.children()) if name in _UNFOLDED else [part]
        return units

    def _maps(self, x: Tensor) -> list[Tensor]:
        maps = []
        for unit in self._units():
            x = unit(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self._maps(x)
        if self.ends_with_relu:
            maps[-1] = torch.relu(maps[-1])
        chosen = [maps[i].permute(0, 3, 1, 2) if self.channels_last else maps[i] for i in self.kept]
        return {stage.name: values for stage, values in zip(self.stages, chosen, strict=True)}


def build_torchvision(name: str, options: dict[str, str]) -> TorchvisionNetwork:
    """The network `tv-NAME` with fresh random weights. MobileNetV3 has the options `dilated` (as in segmenters) and
    `tail` (as in SSDlite). Raises WeightsError for names that torchvision does not have, and for networks that do not
    run their layers one after the other.
    """
    from torchvision import models

    known = models.list_models(module=models)
    bare = name.removeprefix(PREFIX)
    if bare not in known:
        near = [PREFIX + match for match in difflib.get_close_matches(bare, known, n=3)]
        raise WeightsError(
            f"backbone {name!r}: torchvision has no classifier {bare!r}. "
            + (f"Nearest names: {', '.join(near)}." if near else "See torchvision.models.")
        )
    variants = bare.startswith("mobilenet_v3")
    no_options(name, options, ("dilated", "tail") if variants else ())
    more = {"dilated": options.get("dilated") == "yes", "reduced_tail": options.get("tail") == "reduced"}
    if bare == "googlenet":
        variants, more = True, {"init_weights": False}  # else it warns, and draws truncated normals for many seconds
    model: Any = models.get_model(bare, weights=None, **(more if variants else {}))
    attributes = next((names for names in _SEQUENCES if all(hasattr(model, part) for part in names)), None)
    if attributes is None:
        raise WeightsError(
            f"backbone {name!r}: the layers of torchvision's {bare} do not run one after the other. "
            "Use timm's network of that kind, or write your own: path/to/file.py:function."
        )
    return TorchvisionNetwork(model, attributes)
