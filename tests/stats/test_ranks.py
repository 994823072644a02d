"""Ranks within blocks: against SciPy, and the sign test by hand."""

import numpy as np
import pytest
from scipy.stats import rankdata, studentized_range

from headstart.stats.ranks import best_by_rank, block_ranks


def test_ranks_are_scipys() -> None:
    cells = np.random.default_rng(0).integers(4, size=(20, 5)).astype(float)
    assert block_ranks(cells) == pytest.approx(rankdata(-cells, axis=1))


def test_blocks_with_holes_are_left_out() -> None:
    assert block_ranks(np.array([[1.0, 2.0], [np.nan, 3.0]])).tolist() == [[2, 1]]


@pytest.mark.parametrize(("blocks", "shown"), [(2, False), (5, False), (6, True)])
def test_two_columns_are_a_sign_test(blocks: int, shown: bool) -> None:
    """The second wins everywhere: p = 2 / 2^5 = .0625 with five blocks, 2 / 2^6 = .031 with six."""
    best = best_by_rank(np.tile([2.0, 1.0], (blocks, 1)), draws=4000)
    assert best.tolist() == [not shown, True]


def test_many_blocks_have_nemenyis_critical_difference() -> None:
    """q sqrt(M (M + 1) / (12 D)) with the studentized range of infinite degrees of freedom (J. Demsar 2006, eq. 8)."""
    known = studentized_range.ppf(0.95, 4, np.inf) * np.sqrt(4 * 5 / (12 * 100))
    rows = np.array([[1.0, 2, 3, 4], [4, 3, 2, 1]])
    for first, shown in ((50 + round(known / 3 * 50) + 3, True), (50 + round(known / 3 * 50) - 3, False)):
        ranks = np.repeat(rows, [first, 100 - first], axis=0)
        assert best_by_rank(ranks)[3] == (not shown)
