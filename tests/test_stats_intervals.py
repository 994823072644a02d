"""Intervals over crossed seeds and images: worked by hand, and their coverage by simulation."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from headstart.stats.bootstrap import image_weights
from headstart.stats.intervals import crossed_interval, detectable_effect, paired_difference

VALUES = np.array([0.1, 0.2, 0.3])


def test_formula_by_hand_when_seeds_share_the_images():
    """s2 = .01; every seed moves alike, by -.03, 0, .03: V_img(mean) = V_img(seed) = .0009, so V_e = 0."""
    result = crossed_interval(VALUES, VALUES[:, None] + [[-0.03, 0.0, 0.03]])
    variance = 0.01 / 3 + 0.0009
    df = variance**2 / ((0.01 / 3) ** 2 / 2)
    assert result.effect == pytest.approx(0.2)
    assert result.se == pytest.approx(math.sqrt(variance))
    assert result.df == pytest.approx(df)
    half = stats.t.ppf(0.975, df) * math.sqrt(variance)
    assert (result.lo, result.hi) == pytest.approx((0.2 - half, 0.2 + half))
    assert result.p == pytest.approx(2 * stats.t.sf(0.2 / math.sqrt(variance), df))
    assert result.per_seed == (0.1, 0.2, 0.3)


def test_formula_by_hand_with_interaction():
    """Seeds move in orthogonal directions: V_img(seed) = .0024/3 = .0008, V_img(mean) a third of it; it all is V_e."""
    moves = 0.02 * np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) * math.sqrt(1.5)
    within = 4 * 0.0006 / 3
    of_mean = within / 3
    shared = (within - of_mean) / 2
    assert shared == pytest.approx(of_mean)
    result = crossed_interval(VALUES, VALUES[:, None] + moves)
    assert result.se**2 == pytest.approx(0.01 / 3)  # the interaction is in s2 already: V_img(mean) - V_e = 0
    assert result.df == pytest.approx(2)


def test_never_below_the_variance_from_images():
    """Three equal values: s2 = 0 and V_e > 0 would give less than V_img(mean)."""
    moves = 0.02 * np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    result = crossed_interval([0.2, 0.2, 0.2], 0.2 + moves)
    assert result.se**2 == pytest.approx(np.var(moves.mean(0), ddof=1))
    assert result.df == math.inf
    assert result.hi - result.effect == pytest.approx(1.959964 * result.se, rel=1e-5)


def test_at_least_one_degree_less_than_seeds():
    """Seeds that move in opposite directions: V_e exceeds V_img(mean), and the seeds' part exceeds V."""
    result = crossed_interval([0.1, 0.3], [[0.05, 0.15, 0.1], [0.35, 0.25, 0.3]])
    assert result.df >= 1
    assert result.se == pytest.approx(math.sqrt(0.02 / 2 + 0 - 0.0025))


def test_one_seed_has_an_interval_from_images_and_no_p():
    result = crossed_interval([0.5], [[0.4, 0.5, 0.6]])
    assert result.p is None
    assert result.df == math.inf
    assert (result.lo, result.hi) == pytest.approx((0.5 - 0.1959964, 0.5 + 0.1959964))
    assert result.excludes_zero


@pytest.mark.parametrize("num_seeds", [2, 3])
def test_identical_arms(num_seeds):
    rng = np.random.default_rng(0)
    values, draws = rng.random(num_seeds), rng.random((num_seeds, 50))
    result = paired_difference(values, draws, values, draws)
    assert (result.effect, result.lo, result.hi, result.p, result.se) == (0, 0, 0, 1.0, 0)
    assert not result.excludes_zero


def test_a_difference_without_any_variance():
    result = crossed_interval([0.5, 0.5], np.full((2, 10), 0.5))
    assert (result.lo, result.hi, result.p) == (0.5, 0.5, 0.0)


def test_pairs_cancel_what_they_share():
    rng = np.random.default_rng(1)
    values, draws = rng.random(3), rng.random((3, 40))
    result = paired_difference(values + 0.1, draws + 0.1, values, draws)
    assert (result.lo, result.hi) == pytest.approx((0.1, 0.1))


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


def test_json_has_no_number_for_infinity():
    result = crossed_interval([0.5], [[0.4, 0.5, 0.6]]).to_json(p_holm=None)
    assert json.loads(json.dumps(result, allow_nan=False))["df"] is None
    assert list(result) == ["effect", "lo", "hi", "p", "p_holm", "df", "se", "per_seed"]


def test_shapes_that_do_not_pair():
    with pytest.raises(ValueError, match=r"values have shape \(3,\), replicates \(2, 5\)"):
        crossed_interval(VALUES, np.zeros((2, 5)))
    with pytest.raises(ValueError, match="the same seeds and the same resamples"):
        paired_difference([0.0], np.zeros((1, 5)), [0.0], np.zeros((1, 6)))
    with pytest.raises(ValueError, match="level is 95"):
        crossed_interval(VALUES, np.zeros((3, 5)), level=95)


@pytest.mark.parametrize("df", [2, 3.7, 30, math.inf])
def test_detectable_effect_has_the_power(df):
    """Power by scipy's noncentral t, of the test that the interval is."""
    effect = detectable_effect(0.01, df)
    if math.isinf(df):
        power = stats.norm.sf(stats.norm.ppf(0.975) - effect / 0.01)
        assert effect == pytest.approx(0.01 * (1.959964 + 0.841621), rel=1e-5)
    else:
        power = stats.nct.sf(stats.t.ppf(0.975, df), df, effect / 0.01)
    assert power == pytest.approx(0.8, abs=1e-6)


def test_detectable_effect_limits():
    assert detectable_effect(0.0, 4) == 0.0
    assert math.isnan(detectable_effect(math.nan, math.nan))
    assert detectable_effect(1.0, 2) > detectable_effect(1.0, 4) > detectable_effect(1.0, math.inf)
    assert detectable_effect(1.0, 2e6) == pytest.approx(detectable_effect(1.0, 9e5), rel=1e-5)


@pytest.mark.parametrize("sd", [(1.0, 0.2, 0.5), (0.3, 2.0, 2.0), (0.0, 3.0, 3.0)])
def test_coverage(sd):
    """800 studies of 3 seeds and 60 images: sd of seeds, of images and of their interaction. Truth 0."""
    rng, num_seeds, num_images = np.random.default_rng(0), 3, 60
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
    assert of_seeds / 800 < 0.85
