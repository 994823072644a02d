"""Batch number t of a training: a pure function of (seed, t), so that resuming needs no state of the loader."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.batches.batch import NOT_TRAINED_ON, SEVERAL, Batch, draw_seeds
from headstart.batches.image_sets import ImageSet
from headstart.batches.shuffled import Shuffled
from headstart.batches.windows import WHOLE, Window, Windows


class Batches(Shuffled):
    """Endless shuffled batches of a prepared set, or of its `rows` (k,) only.

    Images come in the order of one random permutation after the other; a batch may span two. Mirroring, quarter turns
    and windows of image i of batch t depend on (seed, t, i) alone.
    """

    def __init__(
        self,
        images: ImageSet,
        batch_size: int,
        seed: int,
        flip: bool,
        *,
        quarter_turns: bool,
        rows: NDArray[np.int64] | None = None,
        windows: Windows = WHOLE,
    ) -> None:
        self.rows = np.arange(len(images)) if rows is None else rows
        super().__init__(len(self.rows), batch_size, seed)
        self.images = images
        self.flip = flip
        self.quarter_turns = quarter_turns and (windows.side > 0 or images.images.shape[1] == images.images.shape[2])
        self.windows = windows

    def indices(self, t: int) -> NDArray[np.int64]:
        """Which images of the set batch t holds, (batch_size,)."""
        return self.rows[super().indices(t)]

    def batch(self, t: int, part: slice = slice(None)) -> Batch:
        """Batch t, augmented; or the images `part` of it, for one of several processes."""
        indices = self.indices(t)
        draws = np.random.Generator(np.random.PCG64([self.seed, 1, t])).random((len(indices), 2))[part]
        windows = self._windows(t)[part]
        indices = indices[part]
        samples = [
            self._sample(int(i), self.flip and draw[0] < 0.5, int(draw[1] * 4) if self.quarter_turns else 0, window)
            for i, draw, window in zip(indices, draws, windows, strict=True)
        ]
        pixels, boxes, labels, masks, groups = zip(*samples, strict=True)
        return Batch(
            images=torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy()),
            boxes_xyxy=[torch.from_numpy(b) for b in boxes],
            box_labels=[torch.from_numpy(k) for k in labels],
            image_labels=torch.from_numpy(self.images.image_labels[indices].astype(np.int64)),
            label_table=None if self.images.label_table is None else torch.from_numpy(self.images.label_table[indices]),
            masks=None if masks[0] is None else torch.from_numpy(np.stack(masks).astype(np.int64)),
            image_ids=[str(self.images.image_ids[i]) for i in indices],
            group_of=[torch.from_numpy(g) for g in groups] if any(map(len, groups)) else None,
            seeds=torch.from_numpy(draw_seeds(self.seed, t, self.batch_size)[part]),
        )

    def _windows(self, t: int) -> list[Window | None]:
        """Of the images of batch t; None: an image as it is."""
        if not self.windows:
            return [None] * self.batch_size
        draws = np.random.Generator(np.random.PCG64([self.seed, 3, t])).random((self.batch_size, 3))
        return [self.windows.drawn(self.images.images.shape[1:3], draw) for draw in draws]

    def _sample(
        self, i: int, mirror: bool, turns: int, window: Window | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
        pixels = self.images.images[i]
        mask = None if self.images.masks is None else self.images.masks[i]
        own = slice(self.images.box_offsets[i], self.images.box_offsets[i + 1])
        boxes, flags = self.images.boxes_xyxy[own].astype(np.float32), self.images.box_flags[own]
        labels = self.images.box_labels[own].astype(np.int64)
        if window:
            boxes = window.boxes(boxes, pixels.shape[:2])
            seen = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
            boxes, flags, labels = boxes[seen], flags[seen], labels[seen]
            pixels, mask = window.pixels(pixels), None if mask is None else window.mask(mask)
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
        return pixels, boxes[kept], labels[kept], mask, boxes[several]


def in_order(images: ImageSet, batch_size: int) -> list[slice]:
    """The slices that cover a set once, for evaluation: nothing padded, nothing twice."""
    return [slice(k, min(k + batch_size, len(images))) for k in range(0, len(images), batch_size)]


def pixels_of(images: ImageSet, part: slice, device: torch.device | None = None) -> Tensor:
    """Images of a slice as (B, 3, H, W) uint8, on a device (None: CPU)."""
    return torch.from_numpy(np.asarray(images.images[part]).transpose(0, 3, 1, 2).copy()).to(device)
