"""The order of a training: one random permutation of its images after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from headstart.batches.batch import Batch


class Shuffled(ABC):
    """Endless batches of `count` images; batch t follows from (seed, t) alone and may span two permutations."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self._order: dict[int, NDArray[np.int64]] = {}

    @abstractmethod
    def batch(self, t: int, part: slice = slice(None)) -> Batch:
        """Batch t, augmented; or the images `part` of it, for one of several processes."""

    def indices(self, t: int) -> NDArray[np.int64]:
        """Which images batch t holds, (batch_size,)."""
        positions = np.arange(t * self.batch_size, (t + 1) * self.batch_size)
        return np.array([self._permutation(int(p) // self.count)[int(p) % self.count] for p in positions])

    def together(self, first: int, stop: int) -> Iterator[range]:
        """The steps from `first` to `stop`, in groups that are best made by one process: each batch for itself."""
        return (range(t, t + 1) for t in range(first, stop))

    def made(self, steps: range, part: slice) -> list[Batch]:
        """The batches of one of the groups of `together`."""
        return [self.batch(t, part) for t in steps]

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._order:
            self._order = {k: v for k, v in self._order.items() if k == epoch - 1}
            self._order[epoch] = np.random.Generator(np.random.PCG64([self.seed, 0, epoch])).permutation(self.count)
        return self._order[epoch]
