"""Compiled order of detections (class, score falling, image, input) and of true boxes. Importing this imports numba.

Letters: D detections, m true boxes, K classes, n images. The scores are sorted class by class, by counting digits of
their bits: the cost grows with D alone, and equal scores keep the order that they came in.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headstart.metrics._columns import Floats, Ints, Rows

Keys = NDArray[np.uint64]
SHORT = 48
"""Up to so many detections of a class are sorted by insertion."""


@njit(cache=True, nogil=True)
def sorted_detections(
    labels: Ints, scores: Floats, images: Ints, num_classes: int, num_images: int, last_first: bool
) -> tuple[Rows, Ints]:
    """(D,) rows of the detections in order, and (K + 1,) where each class begins in it.

    last_first: equal scores are taken in exactly the reverse of the order of images and input.
    """
    count = len(labels)
    base = _by_image(images, num_images)
    if last_first:
        base = base[::-1].copy()
    offsets = _offsets(labels, num_classes)
    bits = scores.view(np.uint64)
    keys, order = np.empty(count, dtype=np.uint64), np.empty(count, dtype=np.int32)
    place = offsets[:-1].copy()
    for i in base:
        at = place[labels[i]]
        place[labels[i]] = at + 1
        keys[at], order[at] = _falling(bits[i]), i
    most = longest(offsets)
    spare_keys, spare_order = np.empty(most, dtype=np.uint64), np.empty(most, dtype=np.int32)
    counts = np.empty(2048, dtype=np.int64)
    for k in range(num_classes):
        begin, stop = offsets[k], offsets[k + 1]
        if stop - begin <= SHORT:
            _insertion(keys[begin:stop], order[begin:stop])
        else:
            _radix(keys[begin:stop], order[begin:stop], spare_keys, spare_order, counts)
    return order, offsets


@njit(cache=True, nogil=True)
def ranked(order: Rows, class_offsets: Ints, images: Ints, num_images: int, limit: int) -> tuple[Rows, Ints, Rows]:
    """`order` and `class_offsets` without the detections of an image and class beyond `limit`, and (D,) the rank of
    each that stays among those of its image and class, from 0."""
    staying, offsets = np.empty_like(order), np.zeros_like(class_offsets)
    ranks = np.empty(len(order), dtype=np.int32)
    seen = np.zeros(num_images, dtype=np.int32)
    stamp = np.full(num_images, -1, dtype=np.int64)
    at = 0
    for k in range(len(class_offsets) - 1):
        for i in order[class_offsets[k] : class_offsets[k + 1]]:
            image = images[i]
            if stamp[image] != k:
                stamp[image], seen[image] = k, 0
            if seen[image] < limit:
                staying[at], ranks[at] = i, seen[image]
                at += 1
            seen[image] += 1
        offsets[k + 1] = at
    return staying[:at], offsets, ranks[:at]


@njit(cache=True, nogil=True)
def sorted_truth(labels: Ints, images: Ints, num_classes: int, num_images: int) -> tuple[Ints, Ints]:
    """(m,) rows of the true boxes by class, then image, then input, and (K + 1,) where each class begins in it."""
    by_image = _by_image(images, num_images)
    offsets = _offsets(labels, num_classes)
    at, order = offsets[:-1].copy(), np.empty(len(labels), dtype=np.int64)
    for p in range(len(by_image)):
        row = by_image[p]
        order[at[labels[row]]] = row
        at[labels[row]] += 1
    return order, offsets


@njit(cache=True, nogil=True)
def _offsets(groups: Ints, num_groups: int) -> Ints:
    """(num_groups + 1,) where each group begins once rows stand by group."""
    offsets = np.zeros(num_groups + 1, dtype=np.int64)
    for group in groups:
        offsets[group + 1] += 1
    for k in range(num_groups):
        offsets[k + 1] += offsets[k]
    return offsets


@njit(cache=True, nogil=True)
def longest(offsets: Ints) -> int:
    """Rows of the group that has most."""
    most = 0
    for k in range(len(offsets) - 1):
        most = max(most, offsets[k + 1] - offsets[k])
    return most


@njit(cache=True, nogil=True)
def _by_image(images: Ints, num_images: int) -> Rows:
    """Rows in the order of their images; rows that come so already keep their places."""
    order = np.empty(len(images), dtype=np.int32)
    ordered = True
    for i in range(1, len(images)):
        if images[i] < images[i - 1]:
            ordered = False
            break
    if ordered:
        for i in range(len(images)):
            order[i] = i
        return order
    place = _offsets(images, num_images)
    for i in range(len(images)):
        order[place[images[i]]] = i
        place[images[i]] += 1
    return order


@njit(cache=True, nogil=True)
def _falling(bits: np.uint64) -> np.uint64:
    """Unsigned number that falls as the double of these bits rises; 0.0 and -0.0 give the same."""
    if bits == np.uint64(1) << np.uint64(63):
        bits = np.uint64(0)
    if bits >> np.uint64(63):
        return bits
    return ~(bits | (np.uint64(1) << np.uint64(63)))


@njit(cache=True, nogil=True)
def _insertion(keys: Keys, order: Rows) -> None:
    for i in range(1, len(keys)):
        key, row, j = keys[i], order[i], i
        while j > 0 and keys[j - 1] > key:
            keys[j], order[j] = keys[j - 1], order[j - 1]
            j -= 1
        keys[j], order[j] = key, row


@njit(cache=True, nogil=True)
def _radix(keys: Keys, order: Rows, spare_keys: Keys, spare_order: Rows, counts: Ints) -> None:
    """Sort keys (and order with them), rising and stable, digit by digit over the bits in which they differ."""
    differ = np.uint64(0)
    for i in range(1, len(keys)):
        differ |= keys[i] ^ keys[0]
    if not differ:
        return
    low, high = 0, 64
    while not (differ >> np.uint64(low)) & np.uint64(1):
        low += 1
    while not (differ >> np.uint64(high - 1)) & np.uint64(1):
        high -= 1
    width = 8 if len(keys) < 1500 else 11
    mask = np.uint64((1 << width) - 1)
    a_keys, a_order, b_keys, b_order, moved = keys, order, spare_keys, spare_order, False
    for shift in range(low, high, width):
        counts[: 1 << width] = 0
        by = np.uint64(shift)
        for i in range(len(keys)):
            counts[(a_keys[i] >> by) & mask] += 1
        total = 0
        for digit in range(1 << width):
            here = counts[digit]
            counts[digit] = total
            total += here
        for i in range(len(keys)):
            digit = (a_keys[i] >> by) & mask
            at = counts[digit]
            counts[digit] = at + 1
            b_keys[at], b_order[at] = a_keys[i], a_order[i]
        a_keys, a_order, b_keys, b_order, moved = b_keys, b_order, a_keys, a_order, not moved
    if moved:
        order[:] = spare_order[: len(keys)]
        keys[:] = spare_keys[: len(keys)]
