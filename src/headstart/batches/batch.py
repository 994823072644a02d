"""One batch: what every task is trained on."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.data.flags import CROWD, DIFFICULT, GROUP_OF

NOT_TRAINED_ON = DIFFICULT | CROWD | GROUP_OF
"""Boxes with one of these flags are no training targets (SNIPER leaves difficult objects out too)."""
SEVERAL = CROWD | GROUP_OF
"""Boxes around more than one object: what lies in them is no background either."""


@dataclass(frozen=True)
class Batch:
    """images (B, 3, H, W) uint8 RGB; boxes_xyxy and box_labels one tensor an image; image_labels (B,) int64, -1 none;
    masks (B, H, W) int64 with 255 ignored, or None; image_ids (B,)."""

    images: Tensor
    boxes_xyxy: list[Tensor]
    box_labels: list[Tensor]
    image_labels: Tensor
    masks: Tensor | None
    image_ids: list[str]
    ignored: list[Tensor] | None = None
    """Boxes (M, 4) an image that are neither targets nor background; see
    `headstart.models.detection.targets.Targets`."""
    group_of: list[Tensor] | None = None
    """Boxes (M, 4) an image of several objects in one."""
    valid_ranges: Tensor | None = None
    """(B, 2) float32, square roots of areas that belong to a chip's scale, in its pixels."""
    label_table: Tensor | None = None
    """(B, K) int8 for images of several labels: 1 present, 0 absent, -1 not known."""
    seeds: Tensor | None = None
    """(B,) int64: one number an image for what is drawn at random while training on it."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on a device."""
        if device.type == "cpu":
            return self
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                moved[field.name] = value.to(device, non_blocking=True)
            elif value is not None and field.name != "image_ids":
                moved[field.name] = [v.to(device, non_blocking=True) for v in value]
        return replace(self, **moved)

    def parts(self, count: int) -> list[Batch]:
        """The batch in `count` equal parts, in order."""
        if count == 1:
            return [self]
        each = len(self) // count
        slices = [slice(k * each, (k + 1) * each) for k in range(count)]
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return [replace(self, **{name: v[part] for name, v in values.items() if v is not None}) for part in slices]


def draw_seeds(seed: int, t: int, count: int) -> NDArray[np.int64]:
    """(count,) one number for each image of batch t."""
    return np.random.Generator(np.random.PCG64([seed, 5, t])).integers(0, 2**62, count)
