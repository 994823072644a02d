"""Columns compared by their ranks within blocks: a reading that no block can dominate, whatever its scale.

Letters: D blocks, M columns. Mean ranks are compared by the largest difference over all pairs, whose distribution
without differences is found by dealing each block's ranks anew (M. Friedman, JASA 32, 1937; P. Nemenyi, 1963, as J.
Demšar, JMLR 7, 2006, recommends it for classifiers over data sets; exact here for few blocks and for ties).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CHUNK = 2_000_000
"""Numbers held at once."""


def block_ranks(cells: ArrayLike) -> Floats:
    """Ranks (whole blocks, M) within the blocks that have every column: 1 is the highest, equal ones share their
    mean."""
    table = np.asarray(cells, np.float64)
    whole = table[~np.isnan(table).any(1)]
    above = np.stack([(whole > column[:, None]).sum(1) for column in whole.T], axis=1)
    equal = np.stack([(whole == column[:, None]).sum(1) for column in whole.T], axis=1)
    return above + (equal + 1) / 2


def best_by_rank(ranks: Floats, level: float = 0.95, draws: int = 2000, seed: int = 0) -> NDArray[np.bool_]:
    """(M,) columns whose mean rank is not shown to be worse than another's. ranks (D, M) with D >= 1.

    All pairs together at `level`, exactly where no column differs from any other. All True where the blocks are too few
    for any difference to show.
    """
    means = ranks.mean(0)
    rng = np.random.default_rng(seed)
    ranges, step = [], max(1, CHUNK // ranks.size)
    for start in range(0, draws, step):
        shape = (min(step, draws - start), *ranks.shape)
        dealt = rng.permuted(np.broadcast_to(ranks, shape), axis=2).mean(1)
        ranges.append(dealt.max(1) - dealt.min(1))
    # A difference counts where fewer than 1 - level of the deals reach it; equal sums must be equal despite rounding.
    gaps = means - means.min() - 1e-9
    drawn = np.sort(np.concatenate(ranges))
    reached = draws - np.searchsorted(drawn, gaps)
    return (1 + reached) / (1 + draws) >= 1 - level
