"""SNIPER chips (arXiv 1805.09300): crops of one size, at several scales, that hold every box at a scale that suits it.

Letters: n images, m boxes, c chips. Where the paper, the authors' code (github.com/mahyarnajibi/SNIPER) and this file
differ is said in docs/decisions.md. Everything follows from (seed, epoch): chips of an image are a pure function of
those, of its place in the set and of its boxes, whatever the number of processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from headstart.batches.chips.cover import cover, mix, position
from headstart.errors import DataError
from headstart.recipes.sampling import ScaleSettings

CHIP = 512
"""Pixels, side of a chip."""
STRIDES = (56, 59)
"""The grid's stride is drawn between these for every epoch, both included, as the authors' code does."""
MINIMUM_SIDE = 2.0
"""Pixels of the original image: thinner boxes are not looked for at finer scales."""


@dataclass(frozen=True)
class Scale:
    """One scale of the pyramid.

    kind "factor": the image times `value`. "longest": its longer side brought to `value` pixels. "resolution": its
    shorter side to `value` unless the longer one would pass `limit`. lo, hi: boxes whose square root of the area, in
    pixels of the original image, is in [lo, hi) belong to this scale (0 and inf: no bound).
    """

    kind: Literal["factor", "longest", "resolution"]
    value: float
    lo: float = 0.0
    hi: float = float("inf")
    limit: float = 0.0

    def factors(self, sizes_hw: NDArray[Any]) -> NDArray[np.float64]:
        """(n,) by what images of these sizes (n, 2) are multiplied."""
        sizes = np.asarray(sizes_hw, np.float64)
        longer, shorter = sizes.max(1), sizes.min(1)
        if self.kind == "factor":
            return np.full(len(sizes), self.value)
        if self.kind == "longest":
            return self.value / longer
        return np.minimum(self.value / shorter, self.limit / longer) if self.limit else self.value / shorter


def scales_of(settings: Iterable[ScaleSettings]) -> tuple[Scale, ...]:
    """The scales that a recipe's settings describe."""
    return tuple(Scale(s.kind, s.value, s.lo, float("inf") if s.hi is None else s.hi, s.limit) for s in settings)


@dataclass(frozen=True, eq=False)
class ChipTable:
    """c chips of an epoch, ordered by image, then scale; boxes by offsets."""

    images: NDArray[np.int32]
    """(c,) row of the image."""
    scales: NDArray[np.int8]
    """(c,) index of the scale, finest first."""
    factors: NDArray[np.float64]
    """(c,) by what the image is multiplied."""
    origins_xy: NDArray[np.float64]
    """(c, 2) upper left corner in pixels of the scaled image."""
    sizes_hw: NDArray[np.int32]
    """(c, 2) pixels of image in the chip, at most its side; the rest is padding at the right and below."""
    negative: NDArray[np.bool_]
    """(c,) mined from proposals that no other chip holds."""
    box_offsets: NDArray[np.int64]
    """(c + 1,)"""
    box_rows: NDArray[np.int64]
    """Rows of the boxes that belong to the chip's scale and lie wholly in it: its targets."""

    def __len__(self) -> int:
        return len(self.images)

    def rows_of(self, chip: int) -> NDArray[np.int64]:
        """Rows of the target boxes of one chip."""
        return self.box_rows[self.box_offsets[chip] : self.box_offsets[chip + 1]]


PER_CHIP = ("images", "scales", "factors", "origins_xy", "sizes_hw", "negative")
"""Columns of `ChipTable` with a value for each chip."""


def stride_of(seed: int, epoch: int) -> int:
    """The grid's stride in this epoch, one for the whole set."""
    low, high = STRIDES
    return int(np.random.Generator(np.random.PCG64([seed, 2, epoch])).integers(low, high + 1))


def positive_chips(
    boxes_xyxy: NDArray[np.float64],
    box_offsets: NDArray[np.int64],
    sizes_hw: NDArray[np.integer],
    scales: tuple[Scale, ...],
    *,
    seed: int,
    epoch: int,
    chip: int = CHIP,
    first_image: int = 0,
) -> ChipTable:
    """Chips that together hold every box at each scale whose range admits it.

    boxes_xyxy (m, 4): pixels of the original images, continuous edges, clipped to their image here. box_offsets
    (n + 1,). sizes_hw (n, 2). first_image: place of the first of these images in the whole set, so that parts of a set
    give the chips that the whole gives. A box wider than what every grid position can hold is left to coarser scales.
    Raises DataError when no scale admits any box, or a size is not known.
    """
    prepared = prepared_scales(sizes_hw, scales, seed, epoch, chip=chip)
    _require_admitted(boxes_xyxy, prepared, chip)
    counts, chips, rows = _positive(
        np.ascontiguousarray(boxes_xyxy, np.float64),
        np.asarray(box_offsets, np.int64),
        prepared,
        float(chip),
        first_image,
    )
    return as_table(chips, counts, rows, np.asarray(sizes_hw), factors=prepared[1], chip=chip, negative=False)


Prepared = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float, np.uint64]
"""See `prepared_scales`."""
Room = tuple[
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.int32],
    NDArray[np.bool_],
    NDArray[np.int32],
    NDArray[np.int32],
]
"""See `room_for`."""


def prepared_scales(
    sizes_hw: NDArray[np.integer], scales: tuple[Scale, ...], seed: int, epoch: int, *, chip: int
) -> Prepared:
    """(sizes, factors (n, s), ranges (s, 3), stride, state). The third column of ranges: largest side at the scale."""
    require_sizes(sizes_hw)
    sizes = np.asarray(sizes_hw, np.float64)
    stride = stride_of(seed, epoch) * chip / CHIP
    factors = np.stack([s.factors(sizes) for s in scales], 1) if len(sizes) else np.zeros((0, len(scales)))
    # At the coarsest scale the whole image fits into a chip when it is brought to the chip's side.
    bounds = [chip - stride if k < len(scales) - 1 else float(chip) for k in range(len(scales))]
    ranges = np.array([(s.lo, s.hi, bound) for s, bound in zip(scales, bounds, strict=True)])
    state = np.uint64(np.random.SeedSequence([seed, 3, epoch]).generate_state(1, np.uint64)[0])
    return sizes, factors, ranges, float(stride), state


def require_sizes(sizes_hw: NDArray[np.integer]) -> None:
    """Raises DataError when a size (n, 2) is not known."""
    if not sizes_hw.all():
        unknown = int(np.flatnonzero(~sizes_hw.all(1))[0])
        raise DataError(
            f"image {unknown} has no known size. Chips are laid before images are decoded: fill sizes in "
            "with `headstart.data.sizes.with_sizes`."
        )


def _require_admitted(boxes_xyxy: NDArray[np.float64], prepared: Prepared, chip: int) -> None:
    if not len(boxes_xyxy):
        return
    root = np.sqrt((boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).clip(0).prod(1))
    ranges = prepared[2]
    if not any(((root >= lo) & (root < hi)).any() for lo, hi, _ in ranges):
        said = ", ".join(f"[{lo:g}, {hi:g})" for lo, hi, _ in ranges)
        raise DataError(
            f"none of {len(root)} boxes is in the range of a scale: square roots of areas lie between {root.min():.4g} "
            f"and {root.max():.4g} pixels, the scales take {said}. Choose a recipe whose scales suit these images."
        )


@njit(cache=True, nogil=True)
def _positive(
    boxes: NDArray[np.float64],
    offsets: NDArray[np.int64],
    prepared: Prepared,
    chip: float,
    first_image: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """(targets of each chip (c,), chips (c, 4) image scale x y, rows of targets)."""
    sizes, factors, ranges, stride, state = prepared
    num_images, num_scales = factors.shape
    inside, rows, cells, left, grid, laid = room_for(offsets, sizes, factors, chip, stride)
    chips = np.empty((num_images * num_scales + 16, 4), np.float64)
    counts, targets = np.empty(len(chips), np.int64), np.empty(len(boxes) * 2 + 16, np.int64)
    num_chips, num_targets = 0, 0
    for i in range(num_images):
        for s in range(num_scales):
            count = admitted(
                boxes, offsets[i], offsets[i + 1], sizes[i], factors[i, s], ranges[s], s == num_scales - 1, inside, rows
            )
            if count == 0:
                continue
            height, width = np.floor(sizes[i, 0] * factors[i, s]), np.floor(sizes[i, 1] * factors[i, s])
            start = mix(state ^ mix(np.uint64((first_image + i) * num_scales + s)))
            num_laid = cover(inside, count, width, height, chip, stride, start, cells, left, grid, laid)
            if num_chips + num_laid > len(chips):
                chips = np.concatenate((chips, np.empty((len(chips) + num_laid, 4), np.float64)))
                counts = np.concatenate((counts, np.empty(len(counts) + num_laid, np.int64)))
            for j in range(num_laid):
                x, y = position(laid[j, 0], width, chip, stride), position(laid[j, 1], height, chip, stride)
                chips[num_chips, 0], chips[num_chips, 1], chips[num_chips, 2], chips[num_chips, 3] = i, s, x, y
                if num_targets + count > len(targets):
                    targets = np.concatenate((targets, np.empty(len(targets) + count, np.int64)))
                before = num_targets
                for k in range(count):
                    if cells[k, 0] <= laid[j, 0] <= cells[k, 1] and cells[k, 2] <= laid[j, 1] <= cells[k, 3]:
                        targets[num_targets] = rows[k]
                        num_targets += 1
                counts[num_chips] = num_targets - before
                num_chips += 1
    return counts[:num_chips], chips[:num_chips], targets[:num_targets]


@njit(cache=True, nogil=True)
def room_for(
    offsets: NDArray[np.int64], sizes: NDArray[np.float64], factors: NDArray[np.float64], chip: float, stride: float
) -> Room:
    """Room for any image at any scale: inside and rows of `admitted`; cells, left, grid and out of `cover`."""
    most, columns, lines = 0, 1, 1
    for i in range(factors.shape[0]):
        most = max(most, offsets[i + 1] - offsets[i])
        for s in range(factors.shape[1]):
            columns = max(columns, int(np.ceil(max(sizes[i, 1] * factors[i, s] - chip, 0.0) / stride)) + 1)
            lines = max(lines, int(np.ceil(max(sizes[i, 0] * factors[i, s] - chip, 0.0) / stride)) + 1)
    inside, rows = np.empty((most, 4), np.float64), np.empty(most, np.int64)
    cells, left = np.empty((most, 4), np.int32), np.empty(most, np.bool_)
    grid, laid = np.empty((lines + 2, columns + 2), np.int32), np.empty((most, 2), np.int32)
    return inside, rows, cells, left, grid, laid


@njit(cache=True, nogil=True)
def admitted(
    boxes: NDArray[np.float64],
    first: int,
    stop: int,
    size: NDArray[np.float64],
    factor: float,
    bounds: NDArray[np.float64],
    coarsest: bool,
    inside: NDArray[np.float64],
    rows: NDArray[np.int64],
) -> int:
    """Boxes of an image that belong to a scale, scaled and clipped to it, into `inside` and `rows`; how many."""
    count = 0
    right, bottom = np.floor(size[1] * factor), np.floor(size[0] * factor)
    for r in range(first, stop):
        width, height = boxes[r, 2] - boxes[r, 0], boxes[r, 3] - boxes[r, 1]
        area = width * height
        if width <= 0.0 or height <= 0.0 or area < bounds[0] * bounds[0] or area >= bounds[1] * bounds[1]:
            continue
        if not coarsest and (width < MINIMUM_SIDE or height < MINIMUM_SIDE or max(width, height) * factor > bounds[2]):
            continue
        inside[count, 0] = min(max(boxes[r, 0] * factor, 0.0), right)
        inside[count, 1] = min(max(boxes[r, 1] * factor, 0.0), bottom)
        inside[count, 2] = min(boxes[r, 2] * factor, right)
        inside[count, 3] = min(boxes[r, 3] * factor, bottom)
        rows[count] = r
        count += 1
    return count


def as_table(
    chips: NDArray[np.float64],
    counts: NDArray[np.int64],
    rows: NDArray[np.int64],
    sizes_hw: NDArray[np.integer],
    *,
    factors: NDArray[np.float64],
    chip: int,
    negative: bool,
) -> ChipTable:
    images, scales = chips[:, 0].astype(np.int32), chips[:, 1].astype(np.int8)
    chosen = factors[images, scales]
    extent = np.floor(sizes_hw[images] * chosen[:, None])
    inside = np.minimum(extent - chips[:, [3, 2]], chip).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return ChipTable(images, scales, chosen, chips[:, 2:].copy(), inside, np.full(len(images), negative), offsets, rows)


def join(first: ChipTable, second: ChipTable) -> ChipTable:
    """Chips of two tables of the same images, ordered by image and scale, those of `first` before those of `second`."""
    order = np.lexsort(
        (
            np.repeat([0, 1], [len(first), len(second)]),
            np.concatenate([first.scales, second.scales]),
            np.concatenate([first.images, second.images]),
        )
    )
    counts = np.concatenate([np.diff(first.box_offsets), np.diff(second.box_offsets)])[order]
    rows = np.concatenate([first.box_rows, second.box_rows])
    starts = np.concatenate([first.box_offsets[:-1], second.box_offsets[:-1] + len(first.box_rows)])[order]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    picked = rows[np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])]
    columns = {n: np.concatenate([getattr(first, n), getattr(second, n)])[order] for n in PER_CHIP}
    return ChipTable(**columns, box_offsets=offsets, box_rows=picked)


def choose_negatives(
    pool: ChipTable, at_most: int, seed: int, epoch: int, *, images: ArrayLike | None = None
) -> ChipTable:
    """At most so many of the pool's chips an image, drawn evenly and anew in every epoch.

    images: place of each image in the whole set, where `pool` is of a part of it.
    """
    place = pool.images if images is None else np.asarray(images)[pool.images]
    ordinal = np.arange(len(pool)) - np.searchsorted(pool.images, pool.images)
    drawn = _draw(
        place.astype(np.int64),
        ordinal.astype(np.int64),
        np.uint64(np.random.SeedSequence([seed, 4, epoch]).generate_state(1, np.uint64)[0]),
    )
    order = np.lexsort((drawn, pool.images))
    rank = np.arange(len(pool)) - np.searchsorted(pool.images[order], pool.images[order])
    chips = np.sort(order[rank < at_most])
    columns = {n: getattr(pool, n)[chips] for n in PER_CHIP}
    return ChipTable(**columns, box_offsets=np.zeros(len(chips) + 1, np.int64), box_rows=np.zeros(0, np.int64))


@njit(cache=True, nogil=True)
def _draw(images: NDArray[np.int64], ordinals: NDArray[np.int64], state: np.uint64) -> NDArray[np.uint64]:
    out = np.empty(len(images), np.uint64)
    for k in range(len(images)):
        out[k] = mix(state ^ mix(np.uint64(images[k] * 4096 + ordinals[k])))
    return out
