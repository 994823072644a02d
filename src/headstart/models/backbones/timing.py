"""How long a backbone takes for an image."""

from __future__ import annotations

import time

import torch
from torch import nn

from headstart.models.backbones.stages import evaluating

BATCH_SIZE = 8
WARM_UP = 2
"""Runs that are not counted: they choose kernels, fill caches, wake the clock."""
RUNS = 7
MOST_SECONDS = 20.0
"""After which no further run is begun, but for three that are always made."""


def milliseconds(backbone: nn.Module, size_hw: tuple[int, int], batch_size: int = BATCH_SIZE) -> list[float]:
    """Milliseconds an image of `size_hw` pixels takes in evaluation, of several runs of a batch of `batch_size`, on the
    device and with the threads in use. Leaves the backbone as it was."""
    first = next(backbone.parameters())
    drawn = torch.randn((batch_size, 3, *size_hw), generator=torch.Generator().manual_seed(0))
    images = drawn.to(first.device, first.dtype, memory_format=torch.channels_last)
    found: list[float] = []
    began = time.perf_counter()
    with evaluating(backbone):
        while len(found) < WARM_UP + RUNS and (len(found) < 3 or time.perf_counter() - began < MOST_SECONDS):
            before = time.perf_counter()
            sum(float(stage.mean()) for stage in backbone(images).values())  # reading a value waits for the device
            found.append(1000 * (time.perf_counter() - before) / batch_size)
    return found[min(WARM_UP, len(found) - 1) :]
