"""Intervals over crossed seeds and images: worked by hand, and their coverage by simulation."""

import json
import math

import numpy as np
import pytest
from scipy import optimize, stats

from headstart.stats.bootstrap import image_weights
from headstart.stats.intervals import LEVEL, Error, critical, crossed_interval

VALUES = np.array([0.1, 0.2, 0.3])


def exceeded(error, of_mean, of_seeds, shared, num_seeds):
    """Probability of such an error, either way: s2 replaced by s2 (S - 1) / X, averaged over quantiles of X."""
    probability = (np.arange(40_000) + 0.5) / 40_000
    factors = (num_seeds - 1) / stats.chi2(num_seeds - 1).ppf(probability)
    variance = np.maximum(of_mean + np.maximum(of_seeds * factors - shared, 0), 1e-30)
    return 2 * stats.norm.sf(error / np.sqrt(variance)).mean()


def half_width(*parts, level=0.95):
    return optimize.brentq(lambda error: exceeded(error, *parts) - (1 - level), 1e-3, 10, rtol=1e-7)


def test_formula_by_hand_when_seeds_share_the_images():
    """s2 = .01; every seed moves alike, by -.03, 0, .03: V_img(mean) = V_img(seed) = .0009, so V_e = 0."""
    result = crossed_interval(VALUES, VALUES[:, None] + [[-0.03, 0.0, 0.03]])
    half = half_width(0.0009, 0.01 / 3, 0.0, 3)
    assert result.effect == pytest.approx(0.2)
    assert result.se == pytest.approx(math.sqrt(0.01 / 3 + 0.0009))
    assert (result.lo, result.hi) == pytest.approx((0.2 - half, 0.2 + half), rel=1e-5)
    assert stats.t.ppf(0.975, result.df) * result.se == pytest.approx(half, rel=1e-5)
    assert 2 < result.df < 2 * (1 + 0.0009 * 3 / 0.01) ** 2  # Satterthwaite's would be the latter
    assert result.p == pytest.approx(exceeded(0.2, 0.0009, 0.01 / 3, 0.0, 3), rel=1e-3)
    assert result.per_seed == (0.1, 0.2, 0.3)


def test_formula_by_hand_with_interaction():
    """Seeds move in orthogonal directions: V_img(seed) = .0024/3 = .0008, V_img(mean) a third of it; it all is V_e."""
    moves = 0.02 * np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) * math.sqrt(1.5)
    within = 4 * 0.0006 / 3
    of_mean = within / 3
    shared = (within - of_mean) / 2
    assert shared == pytest.approx(of_mean)
    result = crossed_interval(VALUES, VALUES[:, None] + moves)
    assert result.se**2 == pytest.approx(0.01 / 3)  # the interaction is in s2 already
    assert result.hi - 0.2 == pytest.approx(half_width(of_mean, 0.01 / 3, shared, 3), rel=1e-5)
    assert result.df == pytest.approx(2, rel=1e-2)


def test_never_below_the_variance_from_images():
    """Three equal values: s2 = 0 and V_e > 0 would give less than V_img(mean)."""
    moves = 0.02 * np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    result = crossed_interval([0.2, 0.2, 0.2], 0.2 + moves)
    assert result.se**2 == pytest.approx(np.var(moves.mean(0), ddof=1))
    assert result.df == math.inf
    assert result.hi - result.effect == pytest.approx(1.959964 * result.se, rel=1e-5)


@pytest.mark.parametrize("spread", [1e-3, 1e-5, 1e-8])
def test_seeds_that_hardly_differ(spread):
    """Between a little and nothing from seeds the interval tends to the normal one, without a jump."""
    moves = 0.02 * np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    result = crossed_interval([0.2 - spread, 0.2, 0.2 + spread], 0.2 + moves)
    normal = 1.959964 * np.std(moves.mean(0), ddof=1)
    assert normal * (1 - 1e-6) <= result.hi - result.effect <= normal * (1 + 0.1)


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 10, 30])
def test_students_t_where_images_do_not_matter(num_seeds):
    values = np.random.default_rng(num_seeds).normal(size=num_seeds)
    result = crossed_interval(values, np.repeat(values[:, None], 4, axis=1))
    expected = stats.ttest_1samp(values, 0)
    assert result.df == pytest.approx(num_seeds - 1, rel=1e-6)
    assert result.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert (result.lo, result.hi) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-6)


def test_values_of_any_number_type():
    exact = crossed_interval(VALUES, VALUES[:, None] + [[-0.03, 0.0, 0.03]])
    single = crossed_interval(VALUES.astype(np.float32), (VALUES[:, None] + [[-0.03, 0.0, 0.03]]).astype(np.float32))
    assert single.effect == pytest.approx(exact.effect, rel=1e-7) and single.effect == VALUES.astype("f4").mean(
        dtype=float
    )
    whole = crossed_interval([1, 2, 4], [[1, 2], [2, 3], [4, 5]])
    assert whole.per_seed == (1.0, 2.0, 4.0) and whole.effect == pytest.approx(7 / 3)


def test_two_resamples_are_enough_for_an_interval():
    result = crossed_interval([0.5], [[0.4, 0.6]])
    assert result.se == pytest.approx(math.sqrt(0.02)) and not math.isnan(result.lo)
    only = crossed_interval([0.5], [[0.4]])
    assert math.isnan(only.lo) and math.isnan(only.hi) and math.isnan(only.se) and math.isnan(only.df)


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 95])
def test_a_level_is_a_probability(level):
    with pytest.raises(ValueError, match=r"level is .*; it must lie between 0 and 1, for example 0.95"):
        critical(3, level)


def test_critical_values():
    assert critical(math.inf) == pytest.approx(1.959964) and critical(3) == pytest.approx(3.182446)
    assert critical(3, 0.5) == pytest.approx(stats.t.ppf(0.75, 3)) and LEVEL == 0.95


def test_seeds_that_move_in_opposite_directions():
    """V_img(mean) = 0 and V_e = .0025: the seeds' part is s2 / 2 less V_e."""
    result = crossed_interval([0.1, 0.3], [[0.05, 0.15, 0.1], [0.35, 0.25, 0.3]])
    assert result.se == pytest.approx(math.sqrt(0.02 / 2 - 0.0025))
    assert result.hi - 0.2 == pytest.approx(half_width(0.0, 0.01, 0.0025, 2), rel=1e-4)
    assert result.p == pytest.approx(exceeded(0.2, 0.0, 0.01, 0.0025, 2), rel=1e-3)


def test_one_seed_has_an_interval_from_images_and_no_p():
    result = crossed_interval([0.5], [[0.4, 0.5, 0.6]])
    assert result.p is None
    assert result.df == math.inf
    assert (result.lo, result.hi) == pytest.approx((0.5 - 0.1959964, 0.5 + 0.1959964))
    assert result.excludes_zero


def test_a_difference_without_any_variance():
    result = crossed_interval([0.5, 0.5], np.full((2, 10), 0.5))
    assert (result.lo, result.hi, result.p) == (0.5, 0.5, 0.0)


def test_resamples_without_a_value_are_left_out():
    draws = VALUES[:, None] + [[-0.03, 0.0, 0.03]]
    holed = np.hstack([draws, np.array([[np.nan], [9.0], [9.0]])])
    assert crossed_interval(VALUES, holed) == crossed_interval(VALUES, draws)


def test_nothing_to_compute_from():
    result = crossed_interval(VALUES, np.full((3, 5), np.nan))
    assert result.effect == pytest.approx(0.2) and result.p is None and math.isnan(result.lo)
    assert not result.excludes_zero
    result = crossed_interval([0.1, np.nan], np.zeros((2, 5)))
    assert result.to_json()["effect"] is None and result.to_json()["per_seed"] == [0.1, None]


@pytest.mark.parametrize("where", [(0, 0), (2, 3)])
def test_infinite_values(where):
    """The logarithm of an AP of 0: there is no variance to speak of, and no interval."""
    draws = np.random.default_rng(0).random((3, 5))
    draws[where] = -math.inf
    result = crossed_interval(draws[:, 0], draws[:, 1:])
    assert math.isnan(result.lo) and result.p is None and not result.excludes_zero


def test_json_has_no_number_for_infinity():
    result = crossed_interval([0.5], [[0.4, 0.5, 0.6]]).to_json(p_adjusted=None)
    assert json.loads(json.dumps(result, allow_nan=False))["df"] is None
    assert list(result) == ["effect", "lo", "hi", "p", "p_adjusted", "df", "se", "per_seed"]


def test_shapes_that_do_not_pair():
    with pytest.raises(ValueError, match=r"values have shape \(3,\), replicates \(2, 5\)"):
        crossed_interval(VALUES, np.zeros((2, 5)))
    for values, draws in [(np.zeros((3, 1)), np.zeros((3, 5))), ([], np.zeros((0, 5))), (VALUES, VALUES)]:
        with pytest.raises(ValueError, match=r"expected \(S,\) and \(S, B\) of the same S seeds"):
            crossed_interval(values, draws)
    with pytest.raises(ValueError, match="level is 95"):
        crossed_interval(VALUES, np.zeros((3, 5)), level=95)


@pytest.mark.parametrize(
    ("num_seeds", "sd"),
    [(3, (1.0, 0.2, 0.5)), (3, (0.95, 1.7, 1.7)), (3, (0.0, 3.0, 3.0)), (5, (1.0, 2.0, 2.0))],
)
def test_coverage(num_seeds, sd):
    """800 studies of 60 images: sd of seeds, of images and of their interaction. Truth 0. The second is the case that
    Satterthwaite's degrees of freedom cover by 92 %; the whole grid is `benchmarks/interval_coverage.py`."""
    rng, num_images = np.random.default_rng(0), 60
    weights = image_weights(np.arange(num_images), 200).astype(float) / num_images
    covered, of_seeds = 0, 0
    for _ in range(800):
        scores = (
            sd[0] * rng.normal(size=(num_seeds, 1))
            + sd[1] * rng.normal(size=num_images)
            + sd[2] * rng.normal(size=(num_seeds, num_images))
        )
        values = scores.mean(1)
        result = crossed_interval(values, scores @ weights.T)
        covered += result.lo <= 0 <= result.hi
        drawn = values[rng.integers(num_seeds, size=(200, num_seeds))].mean(1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        of_seeds += low <= 0 <= high
    assert covered / 800 >= 0.93
    assert of_seeds / 800 < 0.88


def test_an_error_that_is_mostly_none_has_no_width():
    """What varies weighs less than what is left out: there is no larger error to look for."""
    error = Error(0.0, np.array([3.0, 0.0]), np.array([0.02, 0.98]), 1)
    assert error.half_width(0.95) == 0.0 and error.half_width(0.99) > 0
    assert error.p(error.half_width(0.99)) == pytest.approx(0.01)
