"""Batch number t of a training: a pure function of (seed, t), so that resuming needs no state of the loader."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.data.annotations import CROWD, DIFFICULT, GROUP_OF
from headstart.data.prepared import PreparedSet

NOT_TRAINED_ON = DIFFICULT | CROWD | GROUP_OF
"""Boxes with one of these flags are no training targets (SNIPER leaves difficult objects out too)."""


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

    def __len__(self) -> int:
        return len(self.image_ids)

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on a device."""
        if device.type == "cpu":
            return self
        return Batch(
            self.images.to(device, non_blocking=True),
            [b.to(device, non_blocking=True) for b in self.boxes_xyxy],
            [k.to(device, non_blocking=True) for k in self.box_labels],
            self.image_labels.to(device, non_blocking=True),
            None if self.masks is None else self.masks.to(device, non_blocking=True),
            self.image_ids,
        )

    def parts(self, count: int) -> list[Batch]:
        """The batch in `count` equal parts, in order."""
        if count == 1:
            return [self]
        each = len(self) // count
        return [
            Batch(self.images[p], self.boxes_xyxy[p], self.box_labels[p], self.image_labels[p],
                  None if self.masks is None else self.masks[p], self.image_ids[p])
            for p in (slice(k * each, (k + 1) * each) for k in range(count))
        ]  # fmt: skip


class Batches:
    """Endless shuffled batches of a prepared set.

    Images come in the order of one random permutation after the other; a batch may span two. Mirroring and quarter
    turns of image i of batch t depend on (seed, t, i) alone.
    """

    def __init__(
        self, images: PreparedSet, batch_size: int, seed: int, flip: bool, quarter_turns: bool, limit: int | None = None
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.flip = flip
        self.quarter_turns = quarter_turns and images.images.shape[1] == images.images.shape[2]
        self.count = min(len(images), limit or len(images))
        self._order: dict[int, np.ndarray] = {}

    def indices(self, t: int) -> np.ndarray:
        """Which images batch t holds, (batch_size,)."""
        positions = np.arange(t * self.batch_size, (t + 1) * self.batch_size)
        return np.array([self._permutation(int(p) // self.count)[int(p) % self.count] for p in positions])

    def batch(self, t: int, part: slice = slice(None)) -> Batch:
        """Batch t, augmented; or the images `part` of it, for one of several processes."""
        indices = self.indices(t)
        draws = np.random.Generator(np.random.PCG64([self.seed, 1, t])).random((len(indices), 2))[part]
        indices = indices[part]
        samples = [
            self._sample(int(i), self.flip and draw[0] < 0.5, int(draw[1] * 4) if self.quarter_turns else 0)
            for i, draw in zip(indices, draws, strict=True)
        ]
        pixels, boxes, labels, masks = zip(*samples, strict=True)
        return Batch(
            images=torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy()),
            boxes_xyxy=[torch.from_numpy(b) for b in boxes],
            box_labels=[torch.from_numpy(k) for k in labels],
            image_labels=torch.from_numpy(self.images.image_labels[indices].astype(np.int64)),
            masks=None if masks[0] is None else torch.from_numpy(np.stack(masks).astype(np.int64)),
            image_ids=[str(self.images.image_ids[i]) for i in indices],
        )

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch not in self._order:
            self._order = {k: v for k, v in self._order.items() if k == epoch - 1}
            self._order[epoch] = np.random.Generator(np.random.PCG64([self.seed, 0, epoch])).permutation(self.count)
        return self._order[epoch]

    def _sample(self, i: int, mirror: bool, turns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        pixels = self.images.images[i]
        mask = None if self.images.masks is None else self.images.masks[i]
        first, last = self.images.box_offsets[i], self.images.box_offsets[i + 1]
        kept = (self.images.box_flags[first:last] & NOT_TRAINED_ON) == 0
        boxes = self.images.boxes_xyxy[first:last][kept].astype(np.float32)
        labels = self.images.box_labels[first:last][kept].astype(np.int64)
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
        return pixels, np.ascontiguousarray(boxes), labels, mask


def in_order(images: PreparedSet, batch_size: int) -> list[slice]:
    """The slices that cover a set once, for evaluation: nothing padded, nothing twice."""
    return [slice(k, min(k + batch_size, len(images))) for k in range(0, len(images), batch_size)]


def pixels_of(images: PreparedSet, part: slice, device: torch.device | None = None) -> Tensor:
    """Images of a slice as (B, 3, H, W) uint8, on a device (None: CPU)."""
    return torch.from_numpy(np.asarray(images.images[part]).transpose(0, 3, 1, 2).copy()).to(device)
