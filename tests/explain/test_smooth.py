"""Smooth curves of log-odds: splines by their definition, and curves that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from headstart.explain.smooth import CURVES, Spline, cubic, smooth
from headstart.stats.bootstrap import image_weights


def test_a_spline_is_straight_beyond_its_knots_and_smooth_within() -> None:
    knots = np.array([0.0, 1, 2, 4])
    x = np.linspace(-3, 8, 1101)
    columns = cubic(x, knots)
    assert columns.shape == (1101, 3) and columns[:, 0].tolist() == x.tolist()
    bend = np.diff(columns, 2, axis=0)  # a second derivative, times the step squared
    outside = (x[1:-1] < -0.02) | (x[1:-1] > 4.02)
    np.testing.assert_allclose(bend[outside], 0, atol=1e-9)
    assert (np.abs(bend[~outside][:, 1:]).max(0) > 1e-6).all() and np.abs(np.diff(bend, axis=0)).max() < 1e-4
    # Harrell's first column of a bend at 3, by hand: 27 - (1 x 4 - 0) / 2 of (x - 2)^3 = 1, over 16.
    assert cubic(np.array([3.0]), knots)[0, 1] == pytest.approx((27 - 1 * 4 / 2) / 16)
    assert cubic(x, np.array([1.0, 2])).shape == (1101, 1)


def test_columns_are_orthonormal_and_can_be_asked_elsewhere() -> None:
    values = np.random.default_rng(0).normal(size=300)
    spline = Spline.of(values)
    np.testing.assert_allclose(spline.columns.T @ spline.columns, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(spline.at(values[:7]), spline.columns[:7], atol=1e-10)
    assert Spline.of(np.array([1.0, 1, 1, 2, 2, 2])).columns.shape == (6, 1)


@pytest.fixture(scope="module")
def curves() -> dict[str, np.ndarray]:
    """One arm whose log-odds fall by 1 at each doubling of the count at equal total area, and rise by 1 at each of the
    area at equal count; one which minds neither."""
    rng = np.random.default_rng(1)
    n = 4000
    counts = rng.integers(1, 9, n).astype(float)
    mean = 2.0 ** rng.uniform(-7, -3, n)
    total = counts * mean
    classes = rng.integers(0, 3, n)
    log_odds = classes - 1 - np.log2(counts) + np.log2(total) + 4
    arms = {"boxes": rng.random(n) < expit(log_odds), "labels": rng.random(n) < 0.5}
    return smooth(arms, classes, counts, (mean, total), weights=image_weights(np.arange(n), 60))


def test_curves_that_are_known(curves: dict[str, np.ndarray]) -> None:
    """log-odds = const - log2(count) + log2(total) = const + log2(mean): free in the count at equal size."""
    assert {name.split("/")[1] for name in curves} == set(CURVES)
    for curve, slope in (("count", -1.0), ("count_free", 0.0), ("area", 1.0)):
        x = np.log2(curves[f"smooth/{curve}/x"])
        for whose, expected in (("boxes", slope), ("labels", 0.0), ("difference", slope)):
            middle, lo, hi = curves[f"smooth/{curve}/{whose}"]
            rise = (middle[-1] - middle[0]) / (x[-1] - x[0])
            assert rise == pytest.approx(expected, abs=0.15), (curve, whose)
            assert (lo <= middle + 1e-9).all() and (middle <= hi + 1e-9).all()
    np.testing.assert_allclose(
        curves["smooth/area/difference"][0], curves["smooth/area/boxes"][0] - curves["smooth/area/labels"][0]
    )


def test_what_cannot_be_told_is_absent() -> None:
    """All of one count."""
    rng = np.random.default_rng(2)
    mean = rng.uniform(0.01, 0.1, 50)
    right = {"boxes": rng.random(50) < 0.5, "labels": rng.random(50) < 0.5}
    assert smooth(right, np.zeros(50, int), np.ones(50), (mean, mean), weights=image_weights(np.arange(50), 9)) == {}
