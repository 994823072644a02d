"""Chips out of decoded images: a region of the image times a factor, laid into a canvas at its upper left corner."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch.nn import functional as F

PADDING = (124, 116, 104)
"""What is beyond the image: the mean color of ImageNet, so that it is about zero after preprocessing."""
ONE = 256
"""Of the fixed-point weights: eight bits, as the pixels have."""


def cut(
    image: NDArray[np.uint8],
    factor: float,
    origin_xy: NDArray[np.float64],
    size_hw: NDArray[np.integer],
    *,
    scaled: dict[float, NDArray[np.uint8]],
    out: NDArray[np.uint8],
    mirror: bool = False,
) -> None:
    """Fill `out` (h, w, 3) with the part of `image` times `factor` that begins at `origin_xy` and has `size_hw` pixels,
    padding at its right and below; mirrored left to right within itself.

    `out` is contiguous. Enlarged parts are read straight from the image, bilinearly, at exact places. An image that is
    shrunk is shrunk whole, with antialiasing, once for all its chips: `scaled` keeps it by its factor.
    """
    height, width = int(size_hw[0]), int(size_hw[1])
    out[height:], out[:height, width:] = PADDING, PADDING
    flat = out.reshape(len(out), -1)
    if factor > 1:
        _enlarge(image, 1.0 / factor, origin_xy[0], origin_xy[1], height, width, mirror, flat)
        return
    if factor not in scaled:
        scaled[factor] = shrunk(image, factor)
    x, y = rounded_origin(factor, origin_xy)
    part = scaled[factor][int(y) : int(y) + height, int(x) : int(x) + width]
    if mirror:
        _mirrored(part, flat)
    else:
        out[:height, :width] = part


def rounded_origin(factor: float, origin_xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a chip really begins: at a whole pixel of the scaled image unless it is enlarged."""
    return origin_xy if factor > 1 else np.floor(origin_xy)


def shrunk(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """The image times a factor of at most 1, sides rounded down: bilinear, antialiased."""
    if factor == 1:
        return image
    size = [max(1, int(side * factor)) for side in image.shape[:2]]
    whole = torch.from_numpy(np.require(image, requirements=("C", "W"))).permute(2, 0, 1)[None]
    small = F.interpolate(whole, size=size, mode="bilinear", antialias=True)
    return np.ascontiguousarray(small[0].permute(1, 2, 0).numpy())


@njit(cache=True, nogil=True)
def _enlarge(
    image: NDArray[np.uint8],
    inverse: float,
    left: float,
    top: float,
    rows: int,
    columns: int,
    mirror: bool,
    out: NDArray[np.uint8],
) -> None:
    """Pixel (r, c) of `out`, whose rows are flat, is the image at ((c + 1/2 + left) inverse - 1/2, (r + 1/2 + top)
    inverse - 1/2)."""
    near, share = np.empty(columns, np.int32), np.empty(columns, np.int32)
    for k in range(columns):
        x = min(max((k + 0.5 + left) * inverse - 0.5, 0.0), image.shape[1] - 1.0)
        c = columns - 1 - k if mirror else k
        near[c] = int(x)
        share[c] = int((x - int(x)) * ONE + 0.5)
    # Rows of the image widened: the two that lie above and below; each is made once.
    wide = np.empty((2, columns * 3), np.int32)
    held = np.full(2, -1, np.int64)
    for r in range(rows):
        y = min(max((r + 0.5 + top) * inverse - 0.5, 0.0), image.shape[0] - 1.0)
        above = int(y)
        below = min(above + 1, image.shape[0] - 1)
        for row in (above, below):
            if held[row % 2] != row:
                _widen(image[row], near, share, wide[row % 2])
                held[row % 2] = row
        low = np.int32((y - above) * ONE + 0.5)
        _blend(wide[above % 2], wide[below % 2], low, out[r, : columns * 3])


@njit(cache=True, nogil=True)
def _widen(line: NDArray[np.uint8], near: NDArray[np.int32], share: NDArray[np.int32], out: NDArray[np.int32]) -> None:
    last = line.shape[0] - 1
    for c in range(len(near)):
        a, part = near[c], share[c]
        b = min(a + 1, last)
        for k in range(3):
            out[3 * c + k] = line[a, k] * (ONE - part) + line[b, k] * part


@njit(cache=True, nogil=True)
def _blend(first: NDArray[np.int32], second: NDArray[np.int32], low: np.int32, out: NDArray[np.uint8]) -> None:
    high = np.int32(ONE) - low
    for k in range(len(out)):
        out[k] = np.uint8((first[k] * high + second[k] * low + np.int32(ONE * ONE // 2)) >> np.int32(16))


@njit(cache=True, nogil=True)
def _mirrored(part: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Rows of `part` (h, w, 3) from right to left into the flat rows of `out`."""
    for r in range(part.shape[0]):
        for c in range(part.shape[1]):
            to = 3 * (part.shape[1] - 1 - c)
            for k in range(3):
                out[r, to + k] = part[r, c, k]
