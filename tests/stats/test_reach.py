"""The forecast by which an arm that still learns cannot win any more, worked by hand."""

import math

import numpy as np
import pytest

from headstart.stats.reach import reach

BEST = [[0.58], [0.60], [0.60]]


def of(*scores: float) -> list[list[float]]:
    return [[score] for score in scores]


def test_three_times_the_gain_of_each_doubling_is_added_to_the_highest_score() -> None:
    """.03 in the last third, which is a doubling of .585: .0513; over all of log2(3) doublings .07, that is .0442."""
    found = reach(of(0.20, 0.24, 0.27), BEST, 2)
    assert found is not None
    assert found.gain == pytest.approx(0.03 / math.log2(1.5))
    assert found.most == pytest.approx(0.27 + 6 * 0.0513, abs=1e-3) and found.behind == pytest.approx(0.33)
    assert found.best == pytest.approx(0.52) and not found.is_out, ".578 is above what luck may have made of .60"
    nearer = reach(of(0.20, 0.24, 0.27), BEST, 1)
    assert nearer is not None and nearer.most == pytest.approx(0.4239, abs=1e-4) and nearer.is_out


def test_what_falls_is_taken_at_its_highest_and_to_gain_what_it_gained_in_all() -> None:
    found = reach(of(0.38, 0.48, 0.40), BEST, 1)
    assert found is not None and found.gain == pytest.approx(0.02 / math.log2(3))
    assert found.most == pytest.approx(0.48 + 3 * 0.02 / math.log2(3)) and found.is_out
    none = reach(of(0.40, 0.50, 0.39), BEST, 3)
    assert none is not None and (none.gain, none.most) == (0.0, 0.5)


def test_an_arm_that_has_not_begun_or_has_no_scores_is_not_judged() -> None:
    assert reach(of(0.01, 0.02, 0.149), BEST, 0) is None and reach(of(0.01, 0.02, 0.151), BEST, 0) is not None
    assert reach(of(np.nan, 0.2, 0.3), BEST, 0) is None and reach(of(0.2, 0.2, 0.3), of(0.5, np.nan, 0.6), 0) is None


def test_luck_is_less_over_several_seeds() -> None:
    found = reach(np.repeat(of(0.3, 0.3, 0.3), 4, axis=1), np.repeat(BEST, 4, axis=1), 2)
    assert found is not None and found.best == pytest.approx(0.56) and found.most == 0.3
