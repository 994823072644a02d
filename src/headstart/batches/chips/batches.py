"""Batches of chips, or of whole images, decoded while training: batch t is a pure function of (seed, t).

All epochs have as many batches as the first: chips of a later one that are over are left out, others each time, and
missing ones are taken from its beginning. So batch t is found without laying the chips of the epochs before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.batches.batch import NOT_TRAINED_ON, SEVERAL, Batch, draw_seeds
from headstart.batches.chips.arranging import ChipOrder, arrange, groups
from headstart.batches.chips.cutting import cut, rounded_origin
from headstart.batches.chips.epochs import ChipEpochs, ChipLayout, TrainingBoxes
from headstart.batches.chips.scales import ChipTable, require_sizes
from headstart.batches.chips.small_objects import CopyPaste, SmallObjects, images_of, small_rows
from headstart.data.annotations import Annotations
from headstart.errors import DataError
from headstart.places.images import read_rgb

MULTIPLE = 32
"""Whole images are padded at the right and below to a multiple of so many pixels."""
SEEN = 1.0
"""Pixels, each side of what must be left of a box inside a chip for it to count as there."""


class ChipBatches:
    """Endless batches of the chips of `annotations` (training images only, sizes known); same face as `Batches`.

    window: chips that are shuffled together; an image is decoded once for all its chips in it. folder: where the chips
    of each epoch are kept for all processes. proposals: boxes (p, 4) in pixels of the original images and offsets
    (n + 1,), for negative chips. small: what is done for small objects; None: nothing.
    """

    def __init__(
        self,
        annotations: Annotations,
        layout: ChipLayout,
        batch_size: int,
        seed: int,
        *,
        flip: bool,
        window: int,
        folder: Path | None = None,
        proposals: tuple[NDArray[np.float64], NDArray[np.int64]] | None = None,
        small: SmallObjects | None = None,
    ) -> None:
        self.annotations, self.layout, self.batch_size, self.seed = annotations, layout, batch_size, seed
        self.flip, self.window, self.small = flip, window, small or SmallObjects()
        self.boxes = training_boxes(annotations)
        """Without those that are pasted; with them: `epochs.boxes_of`."""
        self.groups = boxes_of_several(annotations)
        self.with_small = np.zeros(len(annotations), bool)
        """(n,) whether an image has a small object."""
        self.pasting: CopyPaste | None = None
        if small is not None:
            require_sizes(annotations.sizes_hw)
            rows = small_rows(annotations, small.below)
            self.with_small[images_of(annotations, rows)] = True
            self.pasting = CopyPaste(annotations, rows, small, seed) if small.copies else None
        self.epochs = ChipEpochs(self.boxes, layout, seed, folder, proposals=proposals, pasting=self.pasting)
        self._orders: dict[int, ChipOrder] = {}
        first = self.epochs.of(0)
        if not len(first):
            raise DataError(
                f"{annotations.root}: no image of {len(annotations)} gives a chip, since none has a box to "
                "train on. Choose another split, or a data set with boxes."
            )
        self.count = len(first)
        self.per_epoch = len(self._arranged(0))

    def together(self, first: int, stop: int) -> Iterator[range]:
        """The steps from `first` to `stop` in windows, which one process makes."""
        for epoch in range(first // self.per_epoch, -(-stop // self.per_epoch)):
            base = epoch * self.per_epoch
            windows = np.minimum(self._order(epoch).windows, self.per_epoch)
            for begin, end in groups(windows, max(0, first - base), min(self.per_epoch, stop - base)):
                yield range(base + begin, base + end)

    def batch(self, t: int, part: slice = slice(None)) -> Batch:
        """Batch t, or the chips `part` of it, for one of several processes."""
        return self.made(range(t, t + 1), part)[0]

    def made(self, steps: range, part: slice) -> list[Batch]:
        """The batches of these steps of one epoch, each image decoded once."""
        epoch = steps[0] // self.per_epoch
        table, order = self.epochs.of(epoch), self._order(epoch)
        chosen = order.chips[[t - epoch * self.per_epoch for t in steps]]
        canvases = [self._canvas(table, row) for row in chosen]
        chosen = chosen[:, part]
        flipped = [
            np.random.Generator(np.random.PCG64([self.seed, 1, t])).random(self.batch_size)[part] < 0.5 for t in steps
        ]
        pixels = self._pixels(epoch, chosen, canvases, [self.flip & drawn for drawn in flipped])
        return [
            self._batch(epoch, chosen[k], pixels[k], flipped[k], seeds=draw_seeds(self.seed, t, self.batch_size)[part])
            for k, t in enumerate(steps)
        ]

    def alone(self, chips: NDArray[np.integer], epoch: int) -> Batch:
        """These chips of an epoch as one batch, to be looked at: as training gets them, but none mirrored."""
        unmirrored, canvas = np.zeros(len(chips), bool), self._canvas(self.epochs.of(epoch), chips)
        [pixels] = self._pixels(epoch, chips[None], [canvas], [unmirrored])
        return self._batch(epoch, chips, pixels, unmirrored, seeds=np.zeros(len(chips), np.int64))

    def decoded(self, i: int, epoch: int) -> NDArray[np.uint8]:
        """Image i (h, w, 3) as it is shown in an epoch."""
        image = read_rgb(self.annotations.image_path(i), self.annotations.size_hw(i))
        pastes = self.epochs.pastes_of(epoch)
        return image if self.pasting is None or pastes is None else self.pasting.drawn(image, i, pastes)

    def _pixels(
        self, epoch: int, chips: NDArray[np.integer], canvases: list[tuple[int, int]], mirrored: list[NDArray]
    ) -> list[NDArray[np.uint8]]:
        """Of chips (k, b), in canvases (h, w) one for each k: k arrays (b, h, w, 3)."""
        table = self.epochs.of(epoch)
        pixels = [np.empty((chips.shape[1], *hw, 3), np.uint8) for hw in canvases]
        places = np.argsort(table.images[chips], axis=None, kind="stable")
        scaled: dict[float, NDArray[np.uint8]] = {}
        decoded, image = -1, np.empty((0, 0, 3), np.uint8)
        for k, b in zip(*np.unravel_index(places, chips.shape), strict=True):
            chip = int(chips[k, b])
            if table.images[chip] != decoded:
                decoded, scaled = int(table.images[chip]), {}
                image = self.decoded(decoded, epoch)
            cut(
                image,
                float(table.factors[chip]),
                table.origins_xy[chip],
                table.sizes_hw[chip],
                scaled=scaled,
                out=pixels[k][b],
                mirror=bool(mirrored[k][b]),
            )
        return pixels

    def _batch(
        self, epoch: int, chips: NDArray, pixels: NDArray[np.uint8], flipped: NDArray, *, seeds: NDArray[np.int64]
    ) -> Batch:
        table = self.epochs.of(epoch)
        targets = [self.targets_of(epoch, int(c), bool(self.flip and m)) for c, m in zip(chips, flipped, strict=True)]
        boxes, labels, ignored, several = zip(*targets, strict=True)
        ranges = [self._range(int(table.scales[c]), float(table.factors[c])) for c in chips]
        ranged = any(s.lo > 0 or s.hi < np.inf for s in self.layout.scales)
        return Batch(
            images=torch.from_numpy(pixels).permute(0, 3, 1, 2),
            boxes_xyxy=list(map(torch.from_numpy, boxes)),
            box_labels=list(map(torch.from_numpy, labels)),
            image_labels=torch.full((len(chips),), -1),
            masks=None,
            image_ids=[self.annotations.image_id(int(table.images[c])) for c in chips],
            ignored=list(map(torch.from_numpy, ignored)) if any(map(len, ignored)) else None,
            group_of=list(map(torch.from_numpy, several)) if any(map(len, several)) else None,
            valid_ranges=Tensor(ranges) if ranged else None,
            seeds=torch.from_numpy(seeds),
        )

    def targets_of(
        self, epoch: int, chip: int, mirror: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Of one chip of an epoch, in its pixels: target boxes (T, 4), their labels (T,), boxes that are ignored since
        they are out of the scale's range or cut by the edge (M, 4), boxes of several objects (G, 4)."""
        table, boxes = self.epochs.of(epoch), self.epochs.boxes_of(epoch)
        image, factor = int(table.images[chip]), float(table.factors[chip])
        origin = rounded_origin(factor, table.origins_xy[chip])
        size_hw = table.sizes_hw[chip]
        part = slice(int(boxes.offsets[image]), int(boxes.offsets[image + 1]))
        rows = np.arange(part.start, part.stop)
        inside, seen = within(boxes.xyxy[part], factor, origin, size_hw, mirror=mirror)
        targets = np.isin(rows, table.rows_of(chip)) & (inside[:, 2:] > inside[:, :2]).all(1)
        xyxy, offsets = self.groups
        several, shown = within(xyxy[offsets[image] : offsets[image + 1]], factor, origin, size_hw, mirror=mirror)
        labels = boxes.labels[part][targets].astype(np.int64)
        return inside[targets], labels, inside[seen & ~targets], several[shown]

    def summary(self) -> str:
        """Inputs of the first epoch, as words."""
        table = self.epochs.of(0)
        images = max(1, len(self.annotations))
        by_scale = ", ".join(f"{n / images:.2f}" for n in np.bincount(table.scales, minlength=len(self.layout.scales)))
        pixels = float(table.sizes_hw.astype(np.float64).prod(1).sum()) / 1e6
        negative = f", {int(table.negative.sum())} of them negative" if table.negative.any() else ""
        return (
            f"{len(table)} {'chips' if self.layout.layout == 'chips' else 'images'}{negative}, "
            f"{len(table) / images:.2f} an image ({by_scale} by scale, finest first), {pixels:.1f} megapixels, "
            f"{self.per_epoch} batches"
        )

    def _range(self, scale: int, factor: float) -> tuple[float, float]:
        return self.layout.scales[scale].lo * factor, self.layout.scales[scale].hi * factor

    def _canvas(self, table: ChipTable, chips: NDArray) -> tuple[int, int]:
        if self.layout.layout == "chips":
            return self.layout.chip, self.layout.chip
        height, width = (-(-int(side) // MULTIPLE) * MULTIPLE for side in table.sizes_hw[chips].max(0))
        return height, width

    def _arranged(self, epoch: int) -> ChipOrder:
        table = self.epochs.of(epoch)
        buckets = np.zeros(len(table), np.int64)
        if self.layout.layout != "chips":  # images of like shape need little padding
            buckets = 2 * table.scales.astype(np.int64) + (table.sizes_hw[:, 0] > table.sizes_hw[:, 1])
        chips, places = self.small.repeated(table.images, self.with_small)
        order = arrange(places, buckets[chips], self.batch_size, self.window, seed=self.seed, epoch=epoch)
        return ChipOrder(chips[order.chips], order.windows)

    def _order(self, epoch: int) -> ChipOrder:
        """The order of an epoch, with as many batches as the first one's."""
        if epoch not in self._orders:
            order = self._arranged(epoch)
            chips = order.chips[np.arange(self.per_epoch) % len(order)]
            windows = np.append(order.windows[order.windows < self.per_epoch], self.per_epoch)
            self._orders = {epoch: ChipOrder(chips, windows)}
        return self._orders[epoch]


def within(
    boxes_xyxy: NDArray[np.float64], factor: float, origin_xy: NDArray[np.float64], size_hw: NDArray, *, mirror: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Boxes of an image in pixels of a chip, clipped to it (M, 4) float32, and whether something is left (M,)."""
    height, width = int(size_hw[0]), int(size_hw[1])
    moved = boxes_xyxy * factor - np.tile(origin_xy, 2)
    clipped = np.clip(moved, 0, [width, height, width, height])
    if mirror:
        clipped = np.stack([width - clipped[:, 2], clipped[:, 1], width - clipped[:, 0], clipped[:, 3]], 1)
    return clipped.astype(np.float32), np.asarray((clipped[:, 2:] - clipped[:, :2] >= SEEN).all(1))


def training_boxes(annotations: Annotations) -> TrainingBoxes:
    """The boxes that are trained on, clipped to their images."""
    rows = np.flatnonzero((annotations.box_flags & NOT_TRAINED_ON) == 0)
    xyxy, offsets = _chosen(annotations, rows)
    return TrainingBoxes(xyxy, offsets, annotations.box_labels[rows], annotations.sizes_hw)


def boxes_of_several(annotations: Annotations) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Boxes (m, 4) around several objects each, and offsets (n + 1,)."""
    return _chosen(annotations, np.flatnonzero((annotations.box_flags & SEVERAL) != 0))


def _chosen(annotations: Annotations, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    image = np.repeat(np.arange(len(annotations)), np.diff(annotations.box_offsets))[rows]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(image, minlength=len(annotations)))]).astype(np.int64)
    limits = annotations.sizes_hw[image][:, [1, 0, 1, 0]]
    return np.clip(annotations.boxes_xyxy[rows], 0, limits), offsets
