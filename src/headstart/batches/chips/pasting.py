"""Compiled parts of copy-paste: hulls of masks from their run lengths, free places in images, and drawing.

Hulls are of the pixels as squares: pixel (column, row) reaches from column to column + 1. An affine (6,) a b c d e f
moves (x, y) to (a x + b y + c, d x + e y + f).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headstart.batches.chips.cover import below, mix

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

MARGIN = 5.0
"""Pixels between a paste and the image's border (arXiv 1902.07296, Sec. 4)."""
GAP = 1.0
"""Pixels between a paste and any box, so that no pixel belongs to both."""
TRIES = 50
"""Places tried for a paste before it is given up."""
SIDE = 4
"""Points along each side of a pixel at which it is looked up whether the object covers it."""


class Objects(NamedTuple):
    """What can be copied, by image."""

    offsets: Ints
    """(n + 1,) objects of each image."""
    hulls: Floats
    """(h, 2) corners of all hulls."""
    hull_offsets: Ints
    """(s + 1,)"""


class Chances(NamedTuple):
    """How often and how objects are pasted, see `small_objects.SmallObjects`."""

    copies: int
    at_most: int
    share: float
    low: float
    """Scale, from here to `high`."""
    high: float
    turn: float
    """Radians."""


@njit(cache=True, nogil=True, inline="always")
def _uniform(state: np.uint64) -> float:
    """A number in [0, 1)."""
    return float(state >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True, nogil=True)
def hull_of(counts: Ints, height: int) -> Floats:
    """Corners (k, 2) of the convex hull of what is inside; none unless that is one piece, corners connecting."""
    spans = _spans(counts, height)
    if not _one_piece(spans):
        return np.empty((0, 2), np.float64)
    left = spans[0, 0]
    width = spans[-1, 0] - left + 2
    top, bottom = np.full(width, np.inf), np.full(width, -np.inf)
    for k in range(len(spans)):
        for x in range(spans[k, 0] - left, spans[k, 0] - left + 2):
            top[x] = min(top[x], spans[k, 1])
            bottom[x] = max(bottom[x], spans[k, 2])
    out = np.empty((2 * width, 2), np.float64)
    upper = _chain(top, 1.0, out[:width])
    lower = _chain(bottom, -1.0, out[width:])
    corners = np.concatenate((out[:upper], out[width : width + lower]))
    corners[:, 0] += left
    return corners


@njit(cache=True, nogil=True)
def _spans(counts: Ints, height: int) -> Ints:
    """What is inside as pieces of columns (k, 3): column, first row, row after the last."""
    num, at = 0, 0
    for k in range(len(counts)):
        if k % 2 and counts[k]:
            num += (at + counts[k] - 1) // height - at // height + 1
        at += counts[k]
    out = np.empty((num, 3), np.int64)
    num, at = 0, 0
    for k in range(len(counts)):
        stop = at + counts[k]
        while k % 2 and at < stop:  # a run that goes on at the top of the next column
            column = at // height
            end = min(stop, (column + 1) * height)
            out[num, 0], out[num, 1], out[num, 2] = column, at - column * height, end - column * height
            num += 1
            at = end
        at = stop
    return out


@njit(cache=True, nogil=True)
def _one_piece(spans: Ints) -> bool:
    parents = np.arange(len(spans))
    pieces = len(spans)
    before, begin = 0, 0  # where the spans of the column before, and of this one, begin
    for k in range(len(spans)):
        if spans[k, 0] != spans[begin, 0]:
            before, begin = begin, k
        for j in range(before, begin):
            if spans[j, 0] == spans[k, 0] - 1 and spans[j, 1] <= spans[k, 2] and spans[k, 1] <= spans[j, 2]:
                a, b = _root(parents, j), _root(parents, k)
                pieces -= a != b
                parents[a] = b
    return pieces == 1


@njit(cache=True, nogil=True)
def _root(parents: Ints, k: int) -> int:
    while parents[k] != k:
        parents[k] = parents[parents[k]]
        k = parents[k]
    return k


@njit(cache=True, nogil=True)
def _chain(values: Floats, sign: float, out: Floats) -> int:
    """Corners of the convex hull among (x, values[x]) on the side of low (sign 1) or high (-1) values; how many."""
    num = 0
    for x in range(len(values)):
        while num > 1:
            turn = (out[num - 1, 0] - out[num - 2, 0]) * (values[x] - out[num - 2, 1])
            turn -= (out[num - 1, 1] - out[num - 2, 1]) * (x - out[num - 2, 0])
            if turn * sign > 0:
                break
            num -= 1
        out[num, 0], out[num, 1] = x, values[x]
        num += 1
    return num


@njit(cache=True, nogil=True)
def places(
    objects: Objects, boxes: Floats, box_offsets: Ints, sizes: Floats, state: np.uint64, chances: Chances
) -> tuple[Ints, Floats, Floats, Ints]:
    """Objects to paste (p,), affines (p, 6), boxes (p, 4), and how many in each image (n,).

    boxes (m, 4) xyxy and offsets (n + 1,): what no paste touches. sizes (n, 2) height and width.
    """
    offsets, hulls, hull_offsets = objects
    copies, at_most, share, low, high, turn = chances
    room, most = 0, 1
    for i in range(len(sizes)):
        most = max(most, offsets[i + 1] - offsets[i])
        room += min(at_most, copies * (offsets[i + 1] - offsets[i]))
    rows, counts = np.empty(room, np.int64), np.zeros(len(sizes), np.int64)
    affines, pasted = np.empty((room, 6), np.float64), np.empty((room, 4), np.float64)
    order = np.empty(most, np.int64)
    total = 0
    for i in range(len(sizes)):
        count, begin = offsets[i + 1] - offsets[i], total
        drawn = mix(state ^ mix(np.uint64(i)))
        if count == 0 or _uniform(drawn) >= share:
            continue
        for k in range(count):  # in random order, since there may be room for the first ones only
            drawn = mix(drawn)
            j = below(drawn, k + 1)
            order[k] = order[j]
            order[j] = offsets[i] + k
        for k in range(copies * count):
            if total - begin == at_most:
                break
            chosen = order[k % count]
            drawn = mix(drawn)
            scale = low + (high - low) * _uniform(drawn)
            drawn = mix(drawn)
            angle = turn * (2.0 * _uniform(drawn) - 1.0)
            a, d = scale * np.cos(angle), scale * np.sin(angle)
            corners = hulls[hull_offsets[chosen] : hull_offsets[chosen + 1]]
            across, down = a * corners[:, 0] - d * corners[:, 1], d * corners[:, 0] + a * corners[:, 1]
            left, top = across.min(), down.min()
            width, height = across.max() - left, down.max() - top
            free_x, free_y = sizes[i, 1] - 2 * MARGIN - width, sizes[i, 0] - 2 * MARGIN - height
            if free_x < 0 or free_y < 0:
                continue
            for _ in range(TRIES):
                drawn = mix(drawn)
                x = MARGIN + free_x * _uniform(drawn)
                drawn = mix(drawn)
                y = MARGIN + free_y * _uniform(drawn)
                pasted[total] = x, y, x + width, y + height
                if _touches(pasted[total], boxes[box_offsets[i] : box_offsets[i + 1]]):
                    continue
                if not _touches(pasted[total], pasted[begin:total]):
                    rows[total] = chosen
                    affines[total] = a, -d, x - left, d, a, y - top
                    total += 1
                    break
        counts[i] = total - begin
    return rows[:total], affines[:total], pasted[:total], counts


@njit(cache=True, nogil=True)
def _touches(box: Floats, others: Floats) -> bool:
    for k in range(len(others)):
        across = box[0] < others[k, 2] + GAP and others[k, 0] < box[2] + GAP
        if across and box[1] < others[k, 3] + GAP and others[k, 1] < box[3] + GAP:
            return True
    return False


@njit(cache=True, nogil=True)
def paste(source: Pixels, mask: Pixels, affine: Floats, box: Floats, out: Pixels) -> None:
    """Draw the pixels of `source` (h, w, 3) inside `mask` (h, w) into `out`, moved by the affine, within the box.

    Each pixel is the mean of SIDE x SIDE points: of the object where that covers them, of what was there elsewhere.
    """
    a, b, c, d, e, f = affine
    inverse = 1.0 / (a * e - b * d)
    height, width = mask.shape
    points = SIDE * SIDE
    for y in range(max(0, int(np.floor(box[1]))), min(out.shape[0], int(np.ceil(box[3])))):
        for x in range(max(0, int(np.floor(box[0]))), min(out.shape[1], int(np.ceil(box[2])))):
            inside, red, green, blue = 0, 0, 0, 0
            for j in range(SIDE):
                down = y + (j + 0.5) / SIDE - f
                for i in range(SIDE):
                    across = x + (i + 0.5) / SIDE - c
                    column = int(np.floor((e * across - b * down) * inverse))
                    row = int(np.floor((a * down - d * across) * inverse))
                    if 0 <= row < height and 0 <= column < width and mask[row, column]:
                        inside += 1
                        red += source[row, column, 0]
                        green += source[row, column, 1]
                        blue += source[row, column, 2]
            if inside:
                rest, half = points - inside, points // 2
                out[y, x, 0] = (red + rest * out[y, x, 0] + half) // points
                out[y, x, 1] = (green + rest * out[y, x, 1] + half) // points
                out[y, x, 2] = (blue + rest * out[y, x, 2] + half) // points
