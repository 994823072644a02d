"""Compiled parts of chip sampling: fewest chips of one size that hold all boxes of an image, by greedy set cover.

Chips stand at the crossings of a grid: x at 0, stride, 2 stride, .. below the last position, and at the last position,
where the chip ends with the image; y likewise. A chip at grid cell (column, row) holds a box wholly exactly when the
column and the row each lie in an interval that depends on the box alone. So chips are not tried one after the other:
boxes are rectangles in grid cells, and the best chip is the cell that most of them share. All positions are pixels of
the scaled image, continuous edges. Random numbers are hashes of what the caller passes: no order changes a result.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FEW = 12
"""Up to so many boxes, shared cells are found from the boxes' own corners; beyond, by counting in all cells."""


@njit(cache=True, nogil=True, inline="always")
def mix(state: np.uint64) -> np.uint64:
    """The finalizer of SplitMix64 (Steele et al., OOPSLA 2014): equally spread whatever comes in."""
    z = state + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True, inline="always")
def below(state: np.uint64, limit: int) -> int:
    """A number in 0..limit - 1 from the upper 32 bits (limit below 2^31; the bias is below 2^-31)."""
    return int(((state >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32))


@njit(cache=True, nogil=True, inline="always")
def _interval(low: float, high: float, extent: float, chip: float, stride: float) -> tuple[int, int]:
    """First and last grid index whose chip holds [low, high]; first > last where none does."""
    last = extent - chip
    if last <= 0.0:
        return 0, 0 if high - low <= chip else -1
    grid = int(np.ceil(last / stride))  # indices 0..grid - 1 are on the grid, index `grid` is the last position
    first = int(np.ceil((high - chip) / stride)) if high > chip else 0
    end = int(low / stride)
    if end > grid - 1:
        end = grid - 1
    if low >= last and high <= extent:  # the last position holds it, too
        end = grid
        if first > grid:
            first = grid
    return first, end


@njit(cache=True, nogil=True, inline="always")
def position(index: int, extent: float, chip: float, stride: float) -> float:
    """Where the chip of a grid index begins."""
    last = extent - chip
    if last <= 0.0:
        return 0.0
    at = index * stride
    return at if at < last else last


@njit(cache=True, nogil=True)
def _best_of_few(
    cells: NDArray[np.int32], left: NDArray[np.bool_], count: int, state: np.uint64
) -> tuple[int, int, int, np.uint64]:
    """(column, row, boxes held, state) of a cell that most boxes share, drawn at random among all such cells."""
    most, ways, column, row = 0, 0, -1, -1
    for a in range(count):
        if not left[a]:
            continue
        x = cells[a, 0]
        for b in range(count):
            if not left[b]:
                continue
            y = cells[b, 2]
            if cells[a, 2] > y or cells[a, 3] < y or cells[b, 0] > x or cells[b, 1] < x:
                continue  # the leftmost and the topmost box of a group share the cell
            held, right, bottom = 0, 1 << 30, 1 << 30
            for c in range(count):
                if left[c] and cells[c, 0] <= x <= cells[c, 1] and cells[c, 2] <= y <= cells[c, 3]:
                    held += 1
                    right = min(right, cells[c, 1])
                    bottom = min(bottom, cells[c, 3])
            if held < most:
                continue
            if held > most:
                most, ways = held, 0
            size = (right - x + 1) * (bottom - y + 1)
            ways += size
            state = mix(state)
            if below(state, ways) < size:  # each group of cells in proportion to its size
                state = mix(state)
                pick = below(state, size)
                column, row = x + pick % (right - x + 1), y + pick // (right - x + 1)
    return column, row, most, state


@njit(cache=True, nogil=True)
def cover(
    boxes: NDArray[np.float64],
    count: int,
    width: float,
    height: float,
    chip: float,
    stride: float,
    state: np.uint64,
    cells: NDArray[np.int32],
    left: NDArray[np.bool_],
    grid: NDArray[np.int32],
    out: NDArray[np.int32],
) -> int:
    """Chips (column, row) that together hold each of the first `count` boxes that any chip can hold; how many.

    boxes (.., 4): xyxy in the scaled image of `width` x `height`. cells, left, grid, out: room for the work and the
    result. Boxes that no chip can hold (larger than a chip) stay out.
    """
    remaining = 0
    for k in range(count):
        cells[k, 0], cells[k, 1] = _interval(boxes[k, 0], boxes[k, 2], width, chip, stride)
        cells[k, 2], cells[k, 3] = _interval(boxes[k, 1], boxes[k, 3], height, chip, stride)
        left[k] = cells[k, 0] <= cells[k, 1] and cells[k, 2] <= cells[k, 3]
        remaining += left[k]
    if count > FEW:
        return _cover_many(cells, left, count, remaining, width, height, chip, stride, state, grid, out)
    chips = 0
    while remaining > 0:
        column, row, held, state = _best_of_few(cells, left, count, state)
        out[chips, 0], out[chips, 1] = column, row
        chips += 1
        remaining -= held
        for k in range(count):
            if cells[k, 0] <= column <= cells[k, 1] and cells[k, 2] <= row <= cells[k, 3]:
                left[k] = False
    return chips


@njit(cache=True, nogil=True)
def _cover_many(
    cells: NDArray[np.int32],
    left: NDArray[np.bool_],
    count: int,
    remaining: int,
    width: float,
    height: float,
    chip: float,
    stride: float,
    state: np.uint64,
    grid: NDArray[np.int32],
    out: NDArray[np.int32],
) -> int:
    """`cover` by counting the boxes of every cell: one sweep to fill the counts, then each box is taken off once."""
    columns = int(np.ceil(max(width - chip, 0.0) / stride)) + 1
    rows = int(np.ceil(max(height - chip, 0.0) / stride)) + 1
    grid[: rows + 1, : columns + 1] = 0
    for k in range(count):  # corners of rectangles; summed twice they are counts
        if left[k]:
            grid[cells[k, 2], cells[k, 0]] += 1
            grid[cells[k, 2], cells[k, 1] + 1] -= 1
            grid[cells[k, 3] + 1, cells[k, 0]] -= 1
            grid[cells[k, 3] + 1, cells[k, 1] + 1] += 1
    for r in range(rows):
        for c in range(1, columns):
            grid[r, c] += grid[r, c - 1]
        if r:
            for c in range(columns):
                grid[r, c] += grid[r - 1, c]
    chips = 0
    while remaining > 0:
        most, ways, column, row = 0, 0, 0, 0
        for r in range(rows):
            for c in range(columns):
                value = grid[r, c]
                if value > most:
                    most, ways, column, row = value, 1, c, r
                elif value == most and most > 0:
                    ways += 1
                    state = mix(state)
                    if below(state, ways) == 0:
                        column, row = c, r
        out[chips, 0], out[chips, 1] = column, row
        chips += 1
        for k in range(count):
            if left[k] and cells[k, 0] <= column <= cells[k, 1] and cells[k, 2] <= row <= cells[k, 3]:
                left[k] = False
                remaining -= 1
                for r in range(cells[k, 2], cells[k, 3] + 1):
                    for c in range(cells[k, 0], cells[k, 1] + 1):
                        grid[r, c] -= 1
    return chips
