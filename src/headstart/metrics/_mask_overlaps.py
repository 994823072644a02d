"""Compiled overlaps of masks in run lengths. Importing this module imports numba.

Letters as in `headstart.metrics._matching`. A mask is its run lengths down the columns: how many pixels are outside,
how many inside, and so on; those of mask i are counts[offsets[i]:offsets[i + 1]].
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def inside_of(counts: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """(m, 3) of every mask: pixels inside, the first of them and the one behind the last, in the order of columns."""
    out = np.zeros((len(offsets) - 1, 3), np.int64)
    for i in range(len(offsets) - 1):
        at = 0
        for c in range(offsets[i], offsets[i + 1]):
            if (c - offsets[i]) % 2 and counts[c] > 0:
                if out[i, 0] == 0:
                    out[i, 1] = at
                out[i, 0] += counts[c]
                out[i, 2] = at + counts[c]
            at += counts[c]
    return out


@njit(cache=True, nogil=True)
def _shared(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    """Pixels inside both masks, of equal size."""
    i, j, pixels = 0, 0, 0
    a_end, b_end = a[0], b[0]
    at = 0
    while True:
        stop = min(a_end, b_end)
        if i % 2 and j % 2:
            pixels += stop - at
        at = stop
        if a_end == at:
            i += 1
            if i == len(a):
                return pixels
            a_end += a[i]
        if b_end == at:
            j += 1
            if j == len(b):
                return pixels
            b_end += b[j]


@njit(cache=True, nogil=True)
def mask_overlaps(
    order: NDArray[np.int32],
    class_offsets: NDArray[np.int64],
    images: NDArray[np.int64],
    counts: NDArray[np.int64],
    offsets: NDArray[np.int64],
    truth_order: NDArray[np.int64],
    truth_offsets: NDArray[np.int64],
    truth_images: NDArray[np.int64],
    truth_counts: NDArray[np.int64],
    truth_mask_offsets: NDArray[np.int64],
    region: NDArray[np.bool_],
    num_images: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Intersection over union of every detection with the true masks of its image and class that it meets; over the
    detection's own area where the true one is a region.

    order, class_offsets, images: of the detections, in order; truth_order, truth_offsets, truth_images, region: of the
    true ones, in order. Masks of both are in input order. Returns begins (D + 1,), and of each pair the place of the
    true one and the overlap: those of detection p are begins[p]:begins[p + 1].
    """
    own, true = inside_of(counts, offsets), inside_of(truth_counts, truth_mask_offsets)
    first, last = np.full(num_images, -1, np.int64), np.zeros(num_images, np.int64)
    begins = np.zeros(len(order) + 1, np.int64)
    places, values = np.empty(1024, np.int32), np.empty(1024)
    total = 0
    for k in range(len(class_offsets) - 1):
        for j in range(truth_offsets[k + 1] - 1, truth_offsets[k] - 1, -1):
            if first[truth_images[j]] < 0:
                last[truth_images[j]] = j + 1
            first[truth_images[j]] = j
        for p in range(class_offsets[k], class_offsets[k + 1]):
            image, i = images[p], order[p]
            for j in range(max(first[image], 0), last[image] if first[image] >= 0 else 0):
                g = truth_order[j]
                if own[i, 1] >= true[g, 2] or true[g, 1] >= own[i, 2]:
                    continue
                shared = _shared(
                    counts[offsets[i] : offsets[i + 1]], truth_counts[truth_mask_offsets[g] : truth_mask_offsets[g + 1]]
                )
                if shared == 0:
                    continue
                if total == len(places):
                    places, values = np.append(places, places), np.append(values, values)
                places[total] = j
                values[total] = shared / (own[i, 0] if region[j] else own[i, 0] + true[g, 0] - shared)
                total += 1
            begins[p + 1] = total
        for j in range(truth_offsets[k], truth_offsets[k + 1]):
            first[truth_images[j]] = -1
    return begins, places[:total].copy(), values[:total].copy()
