"""Batch number t of a training: a pure function of (seed, t), so that resuming needs no state of the loader."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.data.annotations import CROWD, DIFFICULT, GROUP_OF
from headstart.data.prepared import PreparedSet
from headstart.data.shuffled import Shuffled

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
    """Boxes (M, 4) an image that are neither targets nor background; see `headstart.models.targets.Targets`."""
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


class Batches(Shuffled):
    """Endless shuffled batches of a prepared set.

    Images come in the order of one random permutation after the other; a batch may span two. Mirroring and quarter
    turns of image i of batch t depend on (seed, t, i) alone.
    """

    def __init__(
        self, images: PreparedSet, batch_size: int, seed: int, flip: bool, quarter_turns: bool, limit: int | None = None
    ) -> None:
        super().__init__(min(len(images), limit or len(images)), batch_size, seed)
        self.images = images
        self.flip = flip
        self.quarter_turns = quarter_turns and images.images.shape[1] == images.images.shape[2]

    def batch(self, t: int, part: slice = slice(None)) -> Batch:
        """Batch t, augmented; or the images `part` of it, for one of several processes."""
        indices = self.indices(t)
        draws = np.random.Generator(np.random.PCG64([self.seed, 1, t])).random((len(indices), 2))[part]
        indices = indices[part]
        samples = [
            self._sample(int(i), self.flip and draw[0] < 0.5, int(draw[1] * 4) if self.quarter_turns else 0)
            for i, draw in zip(indices, draws, strict=True)
        ]
        pixels, boxes, labels, masks, groups = zip(*samples, strict=True)
        return Batch(
            images=torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy()),
            boxes_xyxy=[torch.from_numpy(b) for b in boxes],
            box_labels=[torch.from_numpy(k) for k in labels],
            image_labels=torch.from_numpy(self.images.image_labels[indices].astype(np.int64)),
            masks=None if masks[0] is None else torch.from_numpy(np.stack(masks).astype(np.int64)),
            image_ids=[str(self.images.image_ids[i]) for i in indices],
            group_of=[torch.from_numpy(g) for g in groups] if any(map(len, groups)) else None,
            seeds=torch.from_numpy(draw_seeds(self.seed, t, self.batch_size)[part]),
        )

    def _sample(
        self, i: int, mirror: bool, turns: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
        pixels = self.images.images[i]
        mask = None if self.images.masks is None else self.images.masks[i]
        own = slice(self.images.box_offsets[i], self.images.box_offsets[i + 1])
        boxes, flags = self.images.boxes_xyxy[own].astype(np.float32), self.images.box_flags[own]
        width = pixels.shape[1]
        if mirror:
            pixels = pixels[:, ::-1]
            mask = None if mask is None else mask[:, ::-1]
            boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
        for _ in range(turns):  # np.rot90 turns counter-clockwise: (x, y) -> (y, width - x)
            boxes = np.stack([boxes[:, 1], width - boxes[:, 2], boxes[:, 3], width - boxes[:, 0]], 1)
        if turns:
            pixels = np.rot90(pixels, turns)
            mask = None if mask is None else np.rot90(mask, turns)
        kept, several = (flags & NOT_TRAINED_ON) == 0, (flags & SEVERAL) != 0
        labels = self.images.box_labels[own][kept].astype(np.int64)
        return pixels, boxes[kept], labels, mask, boxes[several]


def in_order(images: PreparedSet, batch_size: int) -> list[slice]:
    """The slices that cover a set once, for evaluation: nothing padded, nothing twice."""
    return [slice(k, min(k + batch_size, len(images))) for k in range(0, len(images), batch_size)]


def pixels_of(images: PreparedSet, part: slice, device: torch.device | None = None) -> Tensor:
    """Images of a slice as (B, 3, H, W) uint8, on a device (None: CPU)."""
    return torch.from_numpy(np.asarray(images.images[part]).transpose(0, 3, 1, 2).copy()).to(device)
