"""What every backbone declares: its stages; and the mode in which features are taken from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn


class Stage(NamedTuple):
    """One output of a backbone: its name, number of channels, and pixels of the input per cell."""

    name: str
    channels: int
    stride: int


def fresh_prefixes(backbone: nn.Module) -> tuple[str, ...]:
    """Prefixes of the names of a backbone's parameters that no weights have: they belong to the heads' side."""
    return tuple(getattr(backbone, "fresh_prefixes", ()))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, every sub-module's mode put back afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training
