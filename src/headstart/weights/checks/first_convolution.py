"""A first convolution that takes no three channels: said, and changed for RGB only where that is chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from headstart.weights.choices import FirstConvolution


def other_channels(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str | None:
    """Name of the convolution that takes the image, where the file's takes another number of channels than three."""
    for name, value in wanted.items():
        if value.ndim == 4 and value.shape[1] == 3 and name in tensors:
            given, own = tensors[name].shape, value.shape
            if len(given) == 4 and given[1] != 3 and (given[0], *given[2:]) == (own[0], *own[2:]):
                return name
    return None


def for_three(value: Tensor, choice: FirstConvolution) -> tuple[Tensor, str]:
    """(filters for three channels, what was done in words). value: (filters, channels, height, width)."""
    channels = value.shape[1]
    if choice == "sum":
        parts = [value[:, c::3].sum(dim=1) for c in range(3)]
        if channels < 3:
            parts = [value.sum(dim=1)] * 3
        done = "filters of channels c, c + 3, .. were summed" if channels > 3 else "each color has the summed filters"
        return torch.stack(parts, dim=1), f"the first convolution took {channels} channels: {done}"
    repeated = value.repeat(1, math.ceil(3 / channels), 1, 1)[:, :3] * (channels / 3)
    return (
        repeated,
        f"the first convolution took {channels} channels: they were repeated over three, times {channels}/3",
    )


def refusal(where: str, backbone: str, name: str, shape: tuple[int, ...]) -> str:
    """Message for a file whose first convolution is not for RGB."""
    channels = shape[1]
    return (
        f"{where}: {name} takes {channels} channel{'s' * (channels != 1)} ({shape}), and backbone {backbone} gives it "
        "three, red, green and blue. Choose what it becomes: #repeat spreads its filters over the three, so that they "
        "answer as to the mean of the colors; #sum adds those of channels c, c + 3, ..; for example "
        'file:PATH#repeat, or first_convolution = "repeat" in a weights card.'
    )
