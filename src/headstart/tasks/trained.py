"""A trained model of a task."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from headstart.batches.chips.scales import Scale
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.places.fitting import Resize


@dataclass(frozen=True)
class TaskModel:
    """A trained model with what is needed to use it."""

    model: nn.Module
    task: str
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    size_hw: tuple[int, int]
    resize: Resize
    scales: tuple[Scale, ...] = ()
    """A detector's: images are not resized to `size_hw` but looked at whole, at these scales."""
    several: bool = False
    """A classifier's: whether an image may show several classes."""
