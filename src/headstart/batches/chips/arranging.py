"""Which chips make a batch: in windows, so that an image is decoded once for all its chips and still met among others.

An epoch's chips stand in a random order of their images. Each lane of a batch draws from a window of consecutive chips
of that order, shuffled; lanes are the same whatever the number of processes, and a process decodes its lanes alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LANE = 16
"""Chips of a batch that come from one window, at most."""


@dataclass(frozen=True, eq=False)
class ChipOrder:
    """An epoch: rows (batches, batch_size) of the chips, and where each window of batches begins, (windows + 1,)."""

    chips: NDArray[np.int32]
    windows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.chips)


def arrange(
    images: NDArray[np.integer], buckets: NDArray[np.integer], batch_size: int, window: int, *, seed: int, epoch: int
) -> ChipOrder:
    """The order of an epoch's chips.

    images (c,): row of each chip's image, ascending. buckets (c,): only chips of one bucket share a batch (those of one
    shape). window: chips that are shuffled together in each lane. Batches of a window follow each other; the last of
    each bucket is filled up with its first chips.
    """
    draw = np.random.Generator(np.random.PCG64([seed, 0, epoch]))
    place = draw.permutation(int(images.max()) + 1 if len(images) else 0)
    by_image = np.argsort(place[images], kind="stable")
    lane = math.gcd(batch_size, LANE)
    together = max(1, window // lane)
    parts: list[NDArray[np.integer]] = []
    for bucket in np.unique(buckets):
        chips = by_image[buckets[by_image] == bucket]
        batches = -(-len(chips) // batch_size)
        chips = np.resize(chips, batches * batch_size)
        for first in range(0, batches, together):
            count = min(together, batches - first)
            block = chips[first * batch_size : (first + count) * batch_size].reshape(batch_size // lane, lane * count)
            shuffled = draw.permuted(block, axis=1).reshape(batch_size // lane, count, lane)
            parts.append(shuffled.transpose(1, 0, 2).reshape(count, batch_size))
    order = draw.permutation(len(parts))
    starts = np.cumsum([0, *(len(parts[k]) for k in order)])
    return ChipOrder(np.concatenate([parts[k] for k in order]).astype(np.int32), starts.astype(np.int64))


def groups(windows: NDArray[np.int64], first: int, stop: int) -> Iterator[tuple[int, int]]:
    """Windows (begin, end) of an epoch, cut to the batches from `first` to `stop`; none of which nothing is left."""
    for begin, end in zip(windows[:-1].tolist(), windows[1:].tolist(), strict=True):
        if max(begin, first) < min(end, stop):
            yield max(begin, first), min(end, stop)
