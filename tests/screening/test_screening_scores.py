"""Scores of a screen against their papers' formulas, written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, multivariate_normal
from sklearn.neighbors import KNeighborsClassifier

from headstart.errors import UsageError
from headstart.screening.agreement import agreement, kendall, partial
from headstart.screening.scores import (
    gbc,
    h_score,
    knn_accuracy,
    leep,
    log_evidence,
    logme,
    mixture_posteriors,
    nleep,
    tlogme,
)


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(3), 20)
    return rng.normal(size=(60, 8)) + 1.5 * rng.normal(size=(3, 8))[labels], labels


def test_the_evidence_is_the_density_of_the_marginal_at_its_best(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """y ~ N(0, I / beta + F F' / alpha): the largest log density over a grid of both, a sample."""
    features, labels = drawn
    y = (labels == 1).astype(float)
    best = max(
        multivariate_normal(np.zeros(60), np.eye(60) / beta + features @ features.T / alpha).logpdf(y)
        for alpha in np.logspace(-1, 4, 41)
        for beta in np.logspace(-1, 3, 41)
    )
    assert log_evidence(features, y) == pytest.approx(best / 60, abs=2e-3)
    assert log_evidence(features, y) >= best / 60 - 1e-3


def test_more_channels_than_samples() -> None:
    rng = np.random.default_rng(0)
    features, y = rng.normal(size=(10, 30)), rng.normal(size=10)
    best = max(
        multivariate_normal(np.zeros(10), np.eye(10) / beta + features @ features.T / alpha).logpdf(y)
        for alpha in np.logspace(-1, 6, 60)
        for beta in np.logspace(-2, 4, 60)
    )
    assert log_evidence(features, y) == pytest.approx(best / 10, abs=2e-2)


def test_logme_is_the_mean_over_classes_and_tlogme_adds_the_box(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = drawn
    by_hand = np.mean([log_evidence(features, (labels == k).astype(float)) for k in range(3)])
    assert logme(features, labels) == pytest.approx(by_hand)
    boxes = np.random.default_rng(1).uniform(size=(60, 4))
    scaled = (boxes - boxes.mean(0)) / boxes.std(0)
    box = np.mean([log_evidence(features, scaled[:, k]) for k in range(4)])
    assert tlogme(features, labels, boxes) == pytest.approx(by_hand + box)


def test_h_score_by_its_formula(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = drawn
    means = np.stack([features[labels == k].mean(0) for k in labels])
    expected = np.trace(np.linalg.inv(np.cov(features.T, bias=True)) @ np.cov(means.T, bias=True))
    assert h_score(features, labels) == pytest.approx(expected)


def test_gbc_by_its_formula() -> None:
    """Two classes in one channel: means 0 and 2, variances 1 and 1: D = 4 / 8, so -2 exp(-1/2)."""
    x = np.array([[-1.0], [1], [1], [3]])
    assert gbc(x, np.array([0, 0, 1, 1])) == pytest.approx(-2 * np.exp(-0.5), abs=1e-4)


def test_leep_by_hand() -> None:
    """Two sure components: p(y|v) = (1, 0) and (1/3, 2/3): mean of log 1, log 1/3, log 2/3, log 2/3."""
    posteriors = np.array([[1.0, 0], [0, 1], [0, 1], [0, 1]])
    assert leep(posteriors, np.array([0, 0, 1, 1])) == pytest.approx(np.log([1, 1 / 3, 2 / 3, 2 / 3]).mean())


def test_a_mixture_finds_clusters_that_lie_apart_and_nleep_likes_pure_ones() -> None:
    rng = np.random.default_rng(0)
    where = np.repeat(np.arange(4), 25)
    x = rng.normal(size=(100, 3)) + 40 * np.eye(4, 3)[where]
    posterior = mixture_posteriors(x, 4)
    assert np.allclose(posterior.sum(1), 1)
    assert nleep(x, where) > nleep(x, rng.permutation(where))


def test_neighbors_as_scikit_learns(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = drawn
    mine = knn_accuracy(features, labels, np.arange(60), k=1)
    right = 0
    for k in range(60):
        rest = np.delete(np.arange(60), k)
        near = KNeighborsClassifier(1, metric="cosine").fit(features[rest], labels[rest])
        right += int(near.predict(features[k : k + 1])[0] == labels[k])
    assert mine == right / 60


def test_boxes_of_one_image_do_not_answer_for_each_other() -> None:
    features, labels = np.array([[1.0, 0], [1, 0.01], [0, 1], [0.01, 1]]), np.array([0, 0, 1, 1])
    assert knn_accuracy(features, labels, np.arange(4), k=1) == 1.0
    assert knn_accuracy(features, labels, np.array([0, 0, 1, 1]), k=1) == 0.0


def test_tau_as_scipys_and_partial_tau_by_hand() -> None:
    a, b = np.array([1.0, 2, 2, 4, 5]), np.array([2.0, 1, 3, 3, 5])
    assert kendall(a, b) == pytest.approx(kendalltau(a, b).statistic)
    g = np.array([1.0, 3, 2, 5, 4])
    ab, ag, bg = (kendalltau(x, y).statistic for x, y in ((a, b), (a, g), (b, g)))
    assert partial(a, b, g) == pytest.approx((ab - ag * bg) / np.sqrt((1 - ag**2) * (1 - bg**2)))


def test_regret_is_what_is_lost_and_few_weights_are_refused() -> None:
    fine = np.array([10.0, 20, 30, 40, 50, 60, 70, 80])
    found = agreement("x", np.array([9.0, 1, 2, 3, 4, 5, 8, 7]), fine, np.arange(8.0))
    assert found.regret == {1: 70.0, 3: 0.0}
    with pytest.raises(UsageError, match="a screen needs 8 weights or more, and there are 7: with fewer"):
        agreement("x", np.arange(7.0), np.arange(7.0), np.arange(7.0))


def test_where_only_size_matters_a_screen_is_no_better() -> None:
    """Zoos of 12 networks whose score and fine-tuned result both follow size, with noise of their own."""
    rng = np.random.default_rng(0)
    better = 0
    for _ in range(100):
        size = rng.uniform(0, 3, 12)
        score, fine = size + rng.normal(scale=0.7, size=12), size + rng.normal(scale=0.7, size=12)
        better += agreement("x", score, fine, size, resamples=200).better_than_size
    assert better <= 5


def test_where_the_screen_knows_more_it_is_better() -> None:
    rng = np.random.default_rng(1)
    size, quality = rng.uniform(0, 3, 30), rng.normal(size=30)
    found = agreement("x", quality + rng.normal(scale=0.1, size=30), quality, size)
    assert found.better_than_size and found.verdict == "better than size"
