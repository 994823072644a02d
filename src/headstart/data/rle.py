"""Masks as COCO's run lengths: compressed and not, from polygons, their union, area and box.

Pixels, counts and text equal those of COCO's reference code (github.com/cocodataset/cocoapi, common/maskApi.c) bit for
bit, with two exceptions: what is damaged raises ValueError instead of reading beyond its end, and a polygon of two
corners is a line and covers nothing, where the reference takes its four numbers for a box.

Counts (r,) are int64: down the columns of a mask (h, w), the pixels outside, inside, outside, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.int64]
FARTHEST = 1e6
"""Corners of polygons farther out, in pixels, are refused: the work grows with the length of the outline."""
FAULTS = {-1: "it ends within a number", -2: "it holds characters that mean nothing", -3: "it holds a number too large"}


def encode(mask: ArrayLike) -> Counts:
    """Counts of a mask (h, w); anything but 0 is inside."""
    from headstart.data import _run_lengths

    values = np.asarray(mask)
    if values.ndim != 2:
        raise ValueError(f"a mask has two dimensions, this has {values.ndim}")
    return _run_lengths.runs_of(np.ascontiguousarray((values != 0).T).reshape(-1).view(np.uint8))


def decode(counts: ArrayLike, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask, uint8 `size_hw`, 1 inside. Raises ValueError when the counts are not those of this size."""
    return union([checked(counts, size_hw)], size_hw)


def union(parts: Sequence[Counts], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask, uint8 `size_hw`, of what is inside any of the parts; their counts must fit the size."""
    height, width = size_hw
    flat = np.zeros(height * width, np.uint8)
    draw(flat, parts)
    return flat.reshape(width, height).T


def draw(flat: NDArray[np.uint8], parts: Sequence[Counts]) -> None:
    """Set to 1 what is inside any of the parts, in the pixels (h * w,) down the columns; their counts must fit."""
    from headstart.data import _run_lengths

    for counts in parts:
        _run_lengths.fill(flat, counts)


def checked(counts: ArrayLike, size_hw: tuple[int, int]) -> Counts:
    """The counts as an array. Raises ValueError unless they are natural numbers whose sum is the number of pixels."""
    values = np.asarray(counts)
    if values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
        raise ValueError("run lengths are a list of whole numbers")
    whole = values.astype(np.int64)
    if (whole < 0).any():
        raise ValueError(f"run length {int(whole.min())} is negative")
    # As floats, so that no sum of huge lengths wraps around to the right one.
    total, pixels = float(whole.sum(dtype=np.float64)), size_hw[0] * size_hw[1]
    if total != pixels or int(whole.sum()) != pixels:
        raise ValueError(f"run lengths are {total:.0f} pixels together, {size_hw[1]} x {size_hw[0]} has {pixels}")
    return whole


def compress(counts: ArrayLike) -> bytes:
    """COCO's text of the counts."""
    from headstart.data import _run_lengths

    return _run_lengths.compressed(np.asarray(counts, np.int64)).tobytes()


def decompress(text: bytes) -> Counts:
    """Counts from COCO's text. Raises ValueError for text that is none; negative counts are left to `checked`."""
    from headstart.data import _run_lengths

    counts, fault = _run_lengths.decompressed(np.frombuffer(text, np.uint8))
    if fault:
        raise ValueError(f"the text of the run lengths is damaged: {FAULTS[fault]}")
    return counts


def from_polygon(ring: ArrayLike, size_hw: tuple[int, int]) -> Counts:
    """Counts of the inside of one closed outline: x0 y0 x1 y1 .. (2 k,) or (k, 2) in pixels, continuous edges.

    What leaves the image is cut off; fewer than three corners cover nothing. Raises ValueError for an odd number of
    numbers, and for corners that are not finite or more than `FARTHEST` pixels out.
    """
    from headstart.data import _run_lengths

    values = np.asarray(ring, np.float64)
    if values.size % 2:
        raise ValueError(f"an outline of {values.size} numbers lacks one: corners have an x and a y each")
    if values.size and not np.abs(values).max() <= FARTHEST:
        raise ValueError(f"an outline has corners that are not finite or more than {FARTHEST:.0f} pixels away")
    height, width = size_hw
    if values.size < 6:
        return np.array([height * width], np.int64)
    corners = np.ascontiguousarray(values.reshape(-1, 2))
    return _run_lengths.runs_between(_run_lengths.crossings(corners, height, width), height * width)


def merge(parts: Sequence[Counts], size_hw: tuple[int, int]) -> Counts:
    """Counts of what is inside any of the parts."""
    from headstart.data import _run_lengths

    total = size_hw[0] * size_hw[1]
    merged = parts[0] if len(parts) else np.array([total], np.int64)
    for other in parts[1:]:
        merged = _run_lengths.united(merged, other, total)
    return merged


def area(counts: Counts) -> int:
    """Pixels inside."""
    return int(counts[1::2].sum())


def to_bbox(counts: Counts, size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """x, y, width, height (4,) of the smallest box around what is inside, in pixels; zeros where that is nothing."""
    height = size_hw[0]
    ends = np.cumsum(counts)
    begins, ends = (ends - counts)[1::2], ends[1::2]
    begins, ends = begins[ends > begins], ends[ends > begins]
    if not len(ends):
        return np.zeros(4)
    left, right = int(begins[0]) // height, (int(ends[-1]) - 1) // height
    within_one = begins // height == (ends - 1) // height
    # A run that goes on in the next column touches the lower and the upper border.
    if not within_one.all():
        top, bottom = 0, height - 1
    else:
        top, bottom = int((begins % height).min()), int(((ends - 1) % height).max())
    return np.array([left, top, right - left + 1, bottom - top + 1], np.float64)
