"""Negative chips (arXiv 1805.09300, Sec. 3.3): where a proposal network sees objects and no positive chip looks."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headstart.batches.chips.cover import cover, mix, position
from headstart.batches.chips.scales import (
    CHIP,
    ChipTable,
    Prepared,
    Scale,
    admitted,
    as_table,
    prepared_scales,
    room_for,
)

CLUSTERED = (25, 10)
"""A negative chip is kept when it holds more proposals than this, at the finest scale and at the others."""


def negative_chips(
    proposals_xyxy: NDArray[np.float64],
    proposal_offsets: NDArray[np.int64],
    sizes_hw: NDArray[np.integer],
    scales: tuple[Scale, ...],
    *,
    positives: ChipTable,
    seed: int,
    epoch: int,
    chip: int = CHIP,
    first_image: int = 0,
) -> ChipTable:
    """All chips that hold many proposals which no positive chip of their scale holds wholly; without targets.

    Arguments as in `positive_chips`; positives: its result for the same images, seed and epoch. `choose_negatives` then
    draws a few of them for an epoch.
    """
    prepared = prepared_scales(sizes_hw, scales, seed, epoch, chip=chip)
    bounds = np.searchsorted(positives.images, np.arange(len(sizes_hw) + 1))
    laid = np.column_stack([positives.scales, positives.origins_xy]).astype(np.float64)
    chips = _negative(
        np.ascontiguousarray(proposals_xyxy, np.float64),
        np.asarray(proposal_offsets, np.int64),
        prepared,
        float(chip),
        first_image,
        bounds.astype(np.int64),
        laid,
        np.array(CLUSTERED, np.int64),
    )
    counts = np.zeros(len(chips), np.int64)
    return as_table(
        chips, counts, np.zeros(0, np.int64), np.asarray(sizes_hw), factors=prepared[1], chip=chip, negative=True
    )


@njit(cache=True, nogil=True)
def _negative(
    boxes: NDArray[np.float64],
    offsets: NDArray[np.int64],
    prepared: Prepared,
    chip: float,
    first_image: int,
    positive_bounds: NDArray[np.int64],
    positives: NDArray[np.float64],
    clustered: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Chips (c, 4): image, scale, x, y."""
    sizes, factors, ranges, stride, state = prepared
    num_images, num_scales = factors.shape
    inside, rows, cells, left, grid, laid = room_for(offsets, sizes, factors, chip, stride)
    out = np.empty((num_images * 8 + 16, 4), np.float64)
    num_chips = 0
    for i in range(num_images):
        for s in range(num_scales):
            count = admitted(
                boxes, offsets[i], offsets[i + 1], sizes[i], factors[i, s], ranges[s], s == num_scales - 1, inside, rows
            )
            count = _uncovered(inside, count, positives[positive_bounds[i] : positive_bounds[i + 1]], s, chip)
            least = clustered[0] if s == 0 and num_scales > 1 else clustered[1]
            if count <= least:
                continue
            height, width = np.floor(sizes[i, 0] * factors[i, s]), np.floor(sizes[i, 1] * factors[i, s])
            start = mix(state ^ mix(np.uint64((first_image + i) * num_scales + s) ^ np.uint64(1 << 62)))
            num_laid = cover(inside, count, width, height, chip, stride, start, cells, left, grid, laid)
            for j in range(num_laid):
                held = 0
                for k in range(count):
                    held += cells[k, 0] <= laid[j, 0] <= cells[k, 1] and cells[k, 2] <= laid[j, 1] <= cells[k, 3]
                if held <= least:
                    continue
                if num_chips == len(out):
                    out = np.concatenate((out, np.empty((len(out), 4), np.float64)))
                out[num_chips, 0], out[num_chips, 1] = i, s
                out[num_chips, 2] = position(laid[j, 0], width, chip, stride)
                out[num_chips, 3] = position(laid[j, 1], height, chip, stride)
                num_chips += 1
    return out[:num_chips]


@njit(cache=True, nogil=True)
def _uncovered(boxes: NDArray[np.float64], count: int, positives: NDArray[np.float64], scale: int, chip: float) -> int:
    """Move boxes that no chip (scale, x, y) of this scale holds wholly to the front; how many."""
    num_free = 0
    for k in range(count):
        held = False
        for j in range(len(positives)):
            x, y = positives[j, 1], positives[j, 2]
            if positives[j, 0] == scale and boxes[k, 0] >= x and boxes[k, 1] >= y and boxes[k, 2] <= x + chip:
                held |= boxes[k, 3] <= y + chip
        if not held:
            for axis in range(4):
                boxes[num_free, axis] = boxes[k, axis]
            num_free += 1
    return num_free
