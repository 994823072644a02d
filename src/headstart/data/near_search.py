"""Pairs of near thumbnails among many, without comparing each with each. Compiled.

Two hashes of 64 bits that differ in at most 8 differ in at most 2 in one of their four quarters (of 16 bits). So for
each quarter, hashes are sorted by it, and a hash is compared with those of the 137 buckets whose number differs in at
most 2 bits. Nothing is missed (multi-index hashing: Norouzi, Punjani and Fleet, CVPR 2012).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

QUARTERS, BUCKETS = 4, 1 << 16
FIRST_CAPACITY = 1024


def _masks() -> NDArray[np.uint32]:
    """(137,) numbers of 16 bits with at most two set."""
    bits = 1 << np.arange(16)
    pairs = (bits[:, None] | bits[None]).ravel()
    return np.unique(np.concatenate([[0], pairs])).astype(np.uint32)


MASKS = _masks()


@njit(cache=True, nogil=True)
def popcount(x: np.uint64) -> np.int64:
    """Number of bits set."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def by_quarter(hashes, quarter):  # type: ignore[no-untyped-def]
    """Rows sorted by one quarter, and where each of its 65536 values begins: a counting sort."""
    starts = np.zeros(BUCKETS + 1, np.int64)
    shift = np.uint64(16 * quarter)
    for h in hashes:
        starts[np.int64((h >> shift) & np.uint64(0xFFFF)) + 1] += 1
    starts = np.cumsum(starts)
    at = starts.copy()
    order = np.empty(len(hashes), np.int64)
    for row in range(len(hashes)):
        value = np.int64((hashes[row] >> shift) & np.uint64(0xFFFF))
        order[at[value]] = row
        at[value] += 1
    return order, starts


@njit(cache=True, nogil=True)
def are_near(a, b, bits, sure_bits, most_gray, least_correlation, flat):  # type: ignore[no-untyped-def]
    """Whether thumbnails (72,) whose hashes differ in `bits` are near-duplicates, see `headstart.data.duplicates`."""
    n = len(a)
    difference, sum_a, sum_b = 0.0, 0.0, 0.0
    for k in range(n):
        x, y = float(a[k]), float(b[k])
        difference += abs(x - y)
        sum_a += x
        sum_b += y
    if difference > most_gray * n:
        return False
    if bits <= sure_bits:
        return True
    mean_a, mean_b = sum_a / n, sum_b / n
    var_a, var_b, product = 0.0, 0.0, 0.0
    for k in range(n):
        x, y = a[k] - mean_a, b[k] - mean_b
        var_a += x * x
        var_b += y * y
        product += x * y
    if min(var_a, var_b) <= flat * flat * n:
        return False
    return product >= least_correlation * np.sqrt(var_a * var_b)


@njit(cache=True, nogil=True)
def near_rows(queries, query_thumbs, hashes, thumbs, order, starts, quarter, same_set, masks, rule):  # type: ignore[no-untyped-def]
    """Pairs (query, row, bits) found by one quarter; (p, 3) int64. rule: (bits, sure bits, gray, correlation, flat).

    same_set: the queries are the rows; each pair is given once, with the query before the row. A pair that an earlier
    quarter finds is left to that one.
    """
    shift = np.uint64(16 * quarter)
    low = np.uint64(0xFFFF)
    pairs = np.empty((FIRST_CAPACITY, 3), np.int64)
    count = 0
    for q in range(len(queries)):
        part = np.uint32((queries[q] >> shift) & low)
        for mask in masks:
            bucket = np.int64(part ^ mask)
            for place in range(starts[bucket], starts[bucket + 1]):
                row = order[place]
                if same_set and row <= q:
                    continue
                different = queries[q] ^ hashes[row]
                bits = popcount(different)
                if bits > rule[0]:
                    continue
                earlier = False
                for k in range(quarter):
                    if popcount((different >> np.uint64(16 * k)) & low) <= 2:
                        earlier = True
                if earlier or not are_near(query_thumbs[q], thumbs[row], bits, *rule[1:]):
                    continue
                if count == len(pairs):
                    longer = np.empty((2 * count, 3), np.int64)
                    longer[:count] = pairs
                    pairs = longer
                pairs[count] = (q, row, bits)
                count += 1
    return pairs[:count]
