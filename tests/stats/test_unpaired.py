"""Differences of means over seeds that are no pairs: worked by hand, and how often intervals cover."""

import math

import numpy as np
import pytest

from headstart.stats.intervals import crossed_interval, paired_difference
from headstart.stats.unpaired import unpaired_difference

STILL = np.zeros((1, 3))


def test_without_an_images_part_it_is_students_pooled_t():
    """a = 1, 2, 3; b = 0, 2: means 2 and 1, sums of squares 2 and 2, 3 degrees of freedom: s2 = 4/3,
    se = sqrt(4/3 (1/3 + 1/2)) = sqrt(10/9); t of 95 % with 3 degrees is 3.182446."""
    a, b = [1.0, 2.0, 3.0], [0.0, 2.0]
    found = unpaired_difference(a, np.repeat(np.array(a)[:, None], 3, 1), b, np.repeat(np.array(b)[:, None], 3, 1))
    assert found.effect == 1.0 and found.se == pytest.approx(math.sqrt(10 / 9))
    assert found.hi - 1 == pytest.approx(3.182446 * math.sqrt(10 / 9), rel=1e-4)
    assert found.df == pytest.approx(3, rel=1e-3)
    # P(|t| > 0.948683) with 3 degrees of freedom
    assert found.p == pytest.approx(0.412757, abs=1e-4)


def test_one_file_each_is_the_pair_of_images():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1, 200))
    ours = unpaired_difference([0.3], a, [0.1], b)
    pair = paired_difference([0.3], a, [0.1], b)
    assert (ours.lo, ours.hi, ours.p) == (pytest.approx(pair.lo), pytest.approx(pair.hi), None)


def test_what_images_do_to_both_cancels():
    """The same resamples move both sides alike: nothing is left of the images' part."""
    shared = np.random.default_rng(1).normal(size=100)
    values_a, values_b = [0.5, 0.6], [0.1, 0.2, 0.3]
    draws = [np.add.outer(values, shared) for values in (values_a, values_b)]
    still = [np.repeat(np.array(values)[:, None], 100, 1) for values in (values_a, values_b)]
    moved = unpaired_difference(values_a, draws[0], values_b, draws[1])
    alone = unpaired_difference(values_a, still[0], values_b, still[1])
    assert (moved.lo, moved.hi) == pytest.approx((alone.lo, alone.hi))
    assert crossed_interval(values_a, draws[0]).hi > crossed_interval(values_a, still[0]).hi


def test_nothing_to_compute_from():
    assert math.isnan(unpaired_difference([math.nan], STILL, [0.1], STILL).lo)
    assert math.isnan(unpaired_difference([0.1], np.full((1, 3), math.nan), [0.1], STILL).lo)
    with pytest.raises(ValueError, match=r"expected \(S,\), \(S, B\), \(R,\) and \(R, B\) with the same B resamples"):
        unpaired_difference([0.1], STILL, [0.1], np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"shapes are \(\(0,\), "):
        unpaired_difference([], STILL, [0.1], STILL)


def test_the_interval_covers():
    """Seeds and images drawn 400 times, three seeds against two, no difference: 95 % or more of intervals hold 0."""
    rng, inside = np.random.default_rng(2), 0
    for _ in range(400):
        images = rng.normal(0, 0.02, 50)
        boots = rng.multinomial(50, np.full(50, 1 / 50), 100) / 50
        sides = []
        for seeds in (3, 2):
            own = rng.normal(0, 0.02, (seeds, 1)) + rng.normal(0, 0.02, (seeds, 50)) + images
            sides += [own.mean(1), own @ boots.T]
        found = unpaired_difference(*sides)
        inside += found.lo <= 0 <= found.hi
    assert 0.92 <= inside / 400 <= 0.99
