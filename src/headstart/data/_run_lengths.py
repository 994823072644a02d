"""Compiled run lengths of masks. Importing this module imports numba.

Runs are counted down the columns of an image of height h and width w, from its top left pixel: first how many pixels
are outside, then how many inside, and so on; all runs together are h * w.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

GRID = 5
"""Corners of polygons are rounded to a fifth of a pixel, as in COCO's reference code."""
UNDEFINED = -(2**31)
"""What x86 makes of a number that is none: COCO's reference code divides 0 by 0 where a corner is repeated."""
SHORT, STRAY, LONG = -1, -2, -3
"""Faults of `decompressed`: the text ends within a number; a character of no meaning; a number of more than 60 bits."""


@njit(cache=True, nogil=True)
def runs_of(flat: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Run lengths of the pixels (h * w,) in the order of columns; anything but 0 is inside."""
    counts = np.empty(len(flat) + 1, np.int64)
    at, begun, inside = 0, 0, False
    for i in range(len(flat)):
        if (flat[i] != 0) != inside:
            counts[at] = i - begun
            at, begun, inside = at + 1, i, not inside
    counts[at] = len(flat) - begun
    return counts[: at + 1].copy()


@njit(cache=True, nogil=True)
def fill(flat: NDArray[np.uint8], counts: NDArray[np.int64]) -> None:
    """Set to 1 what is inside; the rest of `flat` (h * w,) stays. The counts must fit."""
    at = 0
    for k in range(len(counts)):
        if k % 2:
            flat[at : at + counts[k]] = 1
        at += counts[k]


@njit(cache=True, nogil=True)
def compressed(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """COCO's text: from the fourth run on the difference to the last but one, five bits a character, lowest first."""
    out = np.empty(13 * len(counts) + 1, np.uint8)
    at = 0
    for k in range(len(counts)):
        rest = counts[k] - counts[k - 2] if k > 2 else counts[k]
        more = True
        while more:
            bits = rest & 31
            rest >>= 5
            more = rest != -1 if bits & 16 else rest != 0
            out[at] = (bits | 32 if more else bits) + 48
            at += 1
    return out[:at].copy()


@njit(cache=True, nogil=True)
def decompressed(text: NDArray[np.uint8]) -> tuple[NDArray[np.int64], int]:
    """Run lengths, which may be negative in damaged text, and 0 or the fault's code."""
    counts = np.empty(len(text), np.int64)
    num, at = 0, 0
    while at < len(text):
        value, shift, more = np.int64(0), 0, True
        while more:
            if at == len(text):
                return counts[:num], SHORT
            bits = np.int64(text[at]) - 48
            if bits < 0 or bits > 63:
                return counts[:num], STRAY
            if shift > 55:
                return counts[:num], LONG
            value |= (bits & 31) << shift
            shift += 5
            at += 1
            more = bits & 32 != 0
            if not more and bits & 16:
                value |= -1 << shift
        counts[num] = value + counts[num - 2] if num > 2 else value
        num += 1
    return counts[:num].copy(), 0


@njit(cache=True, nogil=True)
def united(a: NDArray[np.int64], b: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Run lengths of what is inside `a` or `b`, both of `total` pixels."""
    out = np.empty(len(a) + len(b) + 1, np.int64)
    at, ka, kb = 0, 0, 0
    left_a, left_b = a[0] if len(a) else total, b[0] if len(b) else total
    inside, length, done = False, 0, 0
    while done < total:
        while left_a == 0:
            ka += 1
            left_a = a[ka]
        while left_b == 0:
            kb += 1
            left_b = b[kb]
        step = min(left_a, left_b)
        now = ka % 2 == 1 or kb % 2 == 1
        if now != inside:
            out[at] = length
            at, inside, length = at + 1, now, 0
        left_a, left_b, length, done = left_a - step, left_b - step, length + step, done + step
    out[at] = length
    return out[: at + 1].copy()


@njit(cache=True, nogil=True)
def crossings(ring: NDArray[np.float64], height: int, width: int) -> NDArray[np.int64]:
    """Where the outline (k, 2) passes from one column of pixels to the next: positions in the order of columns.

    The outline is walked on a grid of fifths of pixels. Between two columns it crosses at the height at which the walk
    stands, rounded up to a pixel; positions in a column alternate between entering and leaving.
    """
    k = len(ring)
    # C's conversion to int cuts toward 0, which is not the floor for corners left of or above the image.
    x, y = np.empty(k + 1, np.int64), np.empty(k + 1, np.int64)
    bound = 0
    for j in range(k):
        x[j], y[j] = int(GRID * ring[j, 0] + 0.5), int(GRID * ring[j, 1] + 0.5)
    x[k], y[k] = x[0], y[0]
    for j in range(k):
        bound += abs(x[j + 1] - x[j]) + 3
    positions = np.empty(bound, np.int64)
    num, first, last_u, last_v = 0, True, 0, 0
    for j in range(k):
        dx, dy = abs(x[j + 1] - x[j]), abs(y[j + 1] - y[j])
        flat = dx >= dy
        steps = dx if flat else dy
        # Walked from the end with the lower coordinate, so that both directions of an edge give the same points.
        back = x[j] > x[j + 1] if flat else y[j] > y[j + 1]
        low, high = (j + 1, j) if back else (j, j + 1)
        slope = 0.0
        if steps:
            slope = (y[high] - y[low]) / dx if flat else (x[high] - x[low]) / dy
        for d in range(steps + 1):
            t = steps - d if back else d
            if steps == 0:
                u, v = x[low], UNDEFINED
            elif flat:
                u, v = x[low] + t, int(y[low] + slope * t + 0.5)
            else:
                u, v = int(x[low] + slope * t + 0.5), y[low] + t
            if not first and u != last_u:
                column = ((u if u < last_u else u - 1) + 0.5) / GRID - 0.5
                if math.floor(column) == column and 0 <= column <= width - 1:
                    row = (min(v, last_v) + 0.5) / GRID - 0.5
                    positions[num] = int(column) * height + math.ceil(min(max(row, 0.0), float(height)))
                    num += 1
            first, last_u, last_v = False, u, v
    return positions[:num]


@njit(cache=True, nogil=True)
def runs_between(positions: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Run lengths from positions at which inside and outside change, in any order; equal ones cancel."""
    ordered = np.sort(positions)
    out = np.empty(len(ordered) + 1, np.int64)
    at, begun = 0, 0
    for k in range(len(ordered) + 1):
        here = ordered[k] if k < len(ordered) else total
        if here == begun and at > 0:
            if k < len(ordered):  # A run of length 0: its neighbors are one.
                at -= 1
                begun = here - out[at]
            continue
        out[at] = here - begun
        at, begun = at + 1, here
    return out[:at].copy()
