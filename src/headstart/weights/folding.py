"""Folding preprocessing into the first convolution: exact, or refused."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.models.backbones.building import source_key
from headstart.models.backbones.preprocessing import Preprocessing

COINCIDE = 1e-7
"""Largest difference of means, in units of the network's input, that counts as none."""


def fold_preprocessing(
    state: dict[str, Tensor], backbone: nn.Module, name: str, before: Preprocessing, *, after: Preprocessing
) -> dict[str, Tensor]:
    """The state with its first convolution changed so that it takes `after` where it took `before`.

    For one color, the network got u = (s x - m) / d and will get v = (t x - M) / D, so u = v (s D) / (t d) +
    (s M / t - m) / d. The factor goes into the weights. The offset cannot: the convolution pads with 0 after the mean
    is taken off, so that at the border a shift would count for too many taps. It is 0 where the means are the same
    color. Raises WeightsError otherwise.
    """
    key, conv = _first_convolution(backbone, name)
    factors, order = [], [after.channel_order, before.channel_order]
    for channel in range(3):
        # channel counts in the new order; in the old one the same color may be the third
        old = channel if order[0] == order[1] else 2 - channel
        offset = (before.scale * after.mean[channel] / after.scale - before.mean[old]) / before.std[old]
        if abs(offset) > COINCIDE:
            color = ("red", "green", "blue")[channel if after.channel_order == "rgb" else 2 - channel]
            ours, theirs = before.mean[old] / before.scale, after.mean[channel] / after.scale
            raise WeightsError(
                f"{name}: its preprocessing cannot be folded exactly: its mean of {color} is {ours:.4f} of 255, the "
                f"layout's {theirs:.4f}, and a shift would be wrong where the first convolution pads. Export without "
                "folding: the preprocessing is written beside the weights."
            )
        factors.append((old, before.scale * after.std[channel] / (after.scale * before.std[old])))
    weight = state[key].double()
    folded = torch.stack([weight[:, old] * factor for old, factor in factors], dim=1)
    return {**state, key: folded.to(conv.weight.dtype).contiguous()}


def _first_convolution(backbone: nn.Module, name: str) -> tuple[str, nn.Conv2d]:
    """(name of its weight in the state, module) of the convolution that the image meets first."""
    for path, module in backbone.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            break
        if isinstance(module, nn.Conv2d) and module.in_channels == 3 and module.groups == 1:
            return source_key(backbone, f"{path}.weight"), module
    raise WeightsError(
        f"{name}: the first layer of {type(backbone).__name__} is no convolution of the image, so "
        "nothing can be folded into it. Export without folding."
    )
