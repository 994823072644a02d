"""Slopes of log-odds: worked by hand, against scikit-learn, against a fit of every resample."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from headstart.explain.least_squares import coefficients
from headstart.explain.log_odds import slopes
from headstart.stats.bootstrap import image_weights


def drawn(n, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, classes, n)
    x = np.column_stack([rng.integers(1, 6, n), 50 + rng.standard_normal(n)])
    odds = 1.0 + 0.5 * group - 0.4 * x[:, 0] + 0.7 * (x[:, 1] - 50)
    return (rng.random(n) < expit(odds)).astype(float), group, x


def test_two_by_two_by_hand():
    """One class, x 0 or 1: 3 of 4 and 1 of 4 right. Firth adds half to each of the four counts where the model is
    saturated: log(1.5 / 3.5) - log(3.5 / 1.5)."""
    right = np.array([1, 1, 1, 0, 1, 0, 0, 0.0])
    point, _ = slopes(right, np.zeros(8, int), np.repeat([0.0, 1.0], 4)[:, None], np.ones((1, 8)))
    assert point == pytest.approx([2 * np.log(1.5 / 3.5)])


def test_many_images_agree_with_scikit_learn():
    right, group, x = drawn(20_000)
    point, _ = slopes(right, group, x, np.ones((1, len(right))))
    design = np.column_stack([x - x.mean(0), np.eye(3)[group]])
    oracle = LogisticRegression(C=1e8, fit_intercept=False, tol=1e-10, max_iter=1000).fit(design, right).coef_[0, :2]
    np.testing.assert_allclose(point, oracle, atol=2e-3)  # the penalty is of order 1 / n


def penalized(right, group, x, weights):
    """Maximum of the likelihood and half the log determinant of its information, by a general optimizer."""
    design = np.column_stack([x - x.mean(0), np.eye(int(group.max()) + 1)[group]])

    def loss(beta):
        p = expit(design @ beta)
        information = design.T @ (design * (weights * p * (1 - p))[:, None])
        value = weights @ (right * np.log(p) + (1 - right) * np.log1p(-p))
        return -value - np.linalg.slogdet(information)[1] / 2

    return minimize(loss, np.zeros(design.shape[1]), method="BFGS", options={"gtol": 1e-7}).x[: x.shape[1]]


def test_few_images_agree_with_a_general_optimizer():
    right, group, x = drawn(60, seed=1)
    point, _ = slopes(right, group, x, np.ones((1, 60)))
    np.testing.assert_allclose(point, penalized(right, group, x, np.ones(60)), atol=1e-4)


def test_replicates_are_those_of_fits_of_every_resample():
    right, group, x = drawn(1500, seed=2)
    weights = image_weights(np.arange(1500), 40)
    point, drawn_slopes = slopes(right, group, x, weights)
    whole = np.stack([penalized(right, group, x, w.astype(float)) for w in weights])
    assert (np.abs(drawn_slopes - whole).max(0) < 0.25 * whole.std(0)).all()
    np.testing.assert_allclose(drawn_slopes.std(0), whole.std(0), rtol=0.05)
    np.testing.assert_allclose(slopes(right, group, x, np.ones((1, 1500)))[1][0], point, atol=1e-7)


def test_an_arm_that_is_weaker_everywhere_by_one_logit_shows_no_interaction():
    """What differences of log-losses make of it (the measure of before) is many standard errors away from 0."""
    n, rng = 6000, np.random.default_rng(5)
    group = rng.integers(0, 12, n)
    counts = 1.0 + rng.choice(5, n, p=[0.4, 0.25, 0.17, 0.11, 0.07])
    log_area = rng.uniform(np.log(0.02), np.log(0.3), n)
    x = np.column_stack([counts, log_area])
    odds = 3.6 + rng.normal(0, 0.5, 12)[group] - 0.2 * counts + 0.8 * (log_area + 2)
    weights = image_weights(np.arange(n), 100)
    labels, boxes = expit(odds), expit(odds - 1)
    lost = -np.log(boxes) + np.log(labels)
    before = coefficients(lost, group, x, np.ones((1, n)))[0] / coefficients(lost, group, x, weights).std(0)
    assert np.abs(before).min() > 20
    (a, of_boxes), (b, of_labels) = (slopes(rng.random(n) < p, group, x, weights) for p in (boxes, labels))
    assert (np.abs(a - b) < 2.5 * (of_boxes - of_labels).std(0)).all()
    sure, _ = slopes(boxes, group, x, weights)
    np.testing.assert_allclose(sure, slopes(labels, group, x, weights)[0], atol=0.01)


def test_a_class_without_errors_and_a_perfect_split_are_finite():
    right, group, x = drawn(300, seed=3)
    right[group == 1] = 1.0
    assert np.isfinite(slopes(right, group, x, np.ones((1, 300)))[0]).all()
    split = (x[:, 0] < 3).astype(float)
    point, _ = slopes(split, group, x, np.ones((1, 300)))
    assert np.isfinite(point).all() and point[0] < -2


def test_probabilities_are_fitted_as_they_are():
    _, group, x = drawn(200)
    odds = 0.3 * group - 0.25 * x[:, 0] + 0.5 * (x[:, 1] - 50)
    np.testing.assert_allclose(slopes(expit(odds), group, x, np.ones((1, 200)))[0], [-0.25, 0.5], atol=0.02)


def test_what_does_not_vary_has_no_slope():
    right, group, x = drawn(50)
    point, replicates = slopes(right, group, np.column_stack([x[:, 0], x[:, 0]]), np.ones((3, 50)))
    assert np.isnan(point).all() and replicates.shape == (3, 2) and np.isnan(replicates).all()
