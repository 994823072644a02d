"""Accuracy and log-loss: worked by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    log_loss,
    recall_score,
    top_k_accuracy_score,
)

from headstart.errors import DataError
from headstart.metrics.accuracy import accuracy, calibration, log_losses, multilabel_ap, top_k_correct


def test_by_hand():
    """Class 0: 2 of 3, class 1: 0 of 1; class 2 has no image."""
    result = accuracy([0, 0, 0, 1], [0, 0, 2, 0], 3)
    assert result.top1 == 0.5
    assert result.class_accuracy[:2] == pytest.approx([2 / 3, 0.0])
    assert np.isnan(result.class_accuracy[2])
    assert result.mean_class_accuracy == pytest.approx(1 / 3)
    assert result.counts.tolist() == [3, 1, 0]
    assert math.isnan(result.log_loss)
    assert set(result.replicates(np.ones((1, 4)))) == {"top1", "mean_class_accuracy"}


def test_log_losses_by_hand():
    assert log_losses([[0.0, 0.0], [math.log(3), 0.0]], [1, 0]) == pytest.approx([math.log(2), math.log(4 / 3)])
    assert log_losses([[1000.0, 0.0]], [1]) == pytest.approx([1000.0])  # far below what exp can hold


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels, logits = np.r_[np.arange(4), rng.integers(0, 4, 40)], rng.normal(size=(44, 4))
    predicted = logits.argmax(1)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    result = accuracy(labels, predicted, 4, log_losses(logits, labels))
    assert result.top1 == pytest.approx(accuracy_score(labels, predicted), abs=1e-12)
    assert result.mean_class_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted), abs=1e-12)
    np.testing.assert_allclose(result.class_accuracy, recall_score(labels, predicted, average=None), atol=1e-12)
    assert result.log_loss == pytest.approx(log_loss(labels, probabilities), abs=1e-12)


def test_replicates_equal_repeated_images():
    rng = np.random.default_rng(2)
    labels, predicted, losses = rng.integers(0, 3, 12), rng.integers(0, 3, 12), rng.exponential(size=12)
    weights = rng.integers(0, 3, (15, 12)).astype(np.uint16)
    weights[0] = 1
    replicates = accuracy(labels, predicted, 3, losses).replicates(weights)
    for b, row in enumerate(weights):
        again = accuracy(np.repeat(labels, row), np.repeat(predicted, row), 3, np.repeat(losses, row))
        assert replicates["top1"][b] == pytest.approx(again.top1, abs=1e-12)
        assert replicates["mean_class_accuracy"][b] == pytest.approx(again.mean_class_accuracy, abs=1e-12)
        assert replicates["log_loss"][b] == pytest.approx(again.log_loss, abs=1e-12)
    assert np.isnan(accuracy([0], [0], 1).replicates([[0]])["top1"]).all()


def test_faults():
    with pytest.raises(DataError, match=r"2 of 3 images have a label outside 0\.\.1 \(image 1: 2, image 2: -1\)"):
        accuracy([0, 2, -1], [0, 0, 0], 2)
    with pytest.raises(DataError, match=r"1 of 1 images have a predicted class outside 0\.\.1"):
        accuracy([0], [2], 2)
    with pytest.raises(DataError, match=r"1 of 2 log-losses are not a number, first of images \[1\]"):
        accuracy([0, 0], [0, 0], 2, [0.1, np.nan])
    with pytest.raises(DataError, match=r"label outside 0\.\.1"):
        log_losses([[0.0, 0.0]], [2])
    with pytest.raises(ValueError, match="not empty"):
        accuracy([], [], 2)
    with pytest.raises(ValueError, match="equally long"):
        accuracy([0], [0], 1, [0.0, 0.0])
    with pytest.raises(ValueError, match=r"expected \(n, K\)"):
        log_losses([0.0], [0])
    with pytest.raises(ValueError, match=r"\(resamples, 1 images\)"):
        accuracy([0], [0], 1).replicates(np.ones((2, 2)))


# ---- top-k, several labels, calibration


def test_top_k_by_hand():
    """Scores .5, .3, .2: class 1 is second. Of equal scores the lower class comes first."""
    scores = [[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2]]
    assert top_k_correct(scores, [1, 0, 1], 1).tolist() == [False, True, False]
    assert top_k_correct(scores, [1, 0, 1], 2).tolist() == [True, True, True]
    assert top_k_correct(scores, [2, 2, 2], 3).all()


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_equals_scikit_learn(k):
    rng = np.random.default_rng(k)
    labels, scores = np.r_[np.arange(8), rng.integers(0, 8, 60)], rng.normal(size=(68, 8))
    assert top_k_correct(scores, labels, k).mean() == pytest.approx(top_k_accuracy_score(labels, scores, k=k))


def test_several_labels_by_hand():
    """Class 0 ranks hit, miss, hit: (1 + 2/3) / 2. Class 1: its two images tie with a third: 2/3. Class 2: none has it.
    Class 3: the image nobody knows about is left out: hit first."""
    scores = [[0.9, 0.5, 0.1, 0.9], [0.8, 0.5, 0.2, 0.8], [0.7, 0.5, 0.3, 0.7]]
    present = [[1, 1, 0, -1], [0, 1, 0, 1], [1, 0, 0, 0]]
    result = multilabel_ap(scores, present)
    assert result.ap == pytest.approx([5 / 6, 2 / 3, np.nan, 1.0], nan_ok=True)
    assert result.map == pytest.approx((5 / 6 + 2 / 3 + 1) / 3) and result.counts.tolist() == [2, 2, 0, 1]


@pytest.mark.parametrize("ties", [True, False])
def test_several_labels_equal_scikit_learn(ties):
    rng = np.random.default_rng(ties)
    present = rng.random((80, 6)) < 0.3
    scores = present + rng.normal(size=present.shape)
    scores = scores.round(1) if ties else scores
    result = multilabel_ap(scores, present)
    expected = average_precision_score(present, scores, average=None)
    np.testing.assert_allclose(result.ap, expected, rtol=0, atol=1e-12)
    assert result.map == pytest.approx(average_precision_score(present, scores), abs=1e-12)
    weights = rng.integers(0, 3, (4, 80))
    for row, value in zip(weights, result.replicates(weights), strict=True):
        again = average_precision_score(np.repeat(present, row, axis=0), np.repeat(scores, row, axis=0))
        assert value == pytest.approx(again, abs=1e-12)


def test_calibration_by_hand():
    """Two bins. Below .5: .2 and .4, one right: |.5 - .3|. From .5 on: .5 and 1, both right: |1 - .75|."""
    result = calibration([0.2, 0.4, 0.5, 1.0], [1, 0, 1, 1], 2)
    assert result.counts.tolist() == [2, 2]
    assert result.confidence == pytest.approx([0.3, 0.75]) and result.accuracy == pytest.approx([0.5, 1.0])
    assert result.error == pytest.approx((0.2 + 0.25) / 2)
    assert np.isnan(calibration([0.9], [1], 2).accuracy[0])


def test_one_bin_and_whole_numbers():
    """One bin: the mean confidence beside the accuracy."""
    result = calibration([1, 0, 1, 1], [1, 1, 0, 1], 1)
    assert (result.error, result.counts.tolist()) == (0.0, [4])
    assert calibration([0.25, 0.75], [True, True], 1).error == pytest.approx(0.5)
    with pytest.raises(ValueError, match="not empty"):
        calibration([0.5], [1], 0)
    with pytest.raises(ValueError, match=r"confidence has shape \(1, 1\)"):
        calibration([[0.5]], [[1]])


def test_calibration_equals_a_loop_over_bins():
    rng = np.random.default_rng(0)
    confidence = np.r_[rng.random(300), 0.0, 0.2, 0.4, 1.0]
    right, expected = rng.random(304) < confidence, 0.0
    for low, high in zip([0, 0.2, 0.4, 0.6, 0.8], [0.2, 0.4, 0.6, 0.8, 1.1], strict=True):
        inside = [(c, r) for c, r in zip(confidence, right, strict=True) if low <= c < high]
        if inside:
            expected += abs(np.mean([r for _, r in inside]) - np.mean([c for c, _ in inside])) * len(inside) / 304
    assert calibration(confidence, right, 5).error == pytest.approx(expected, abs=1e-12)


def test_faults_of_scores():
    with pytest.raises(DataError, match=r"1 of 2 images have a score that is not a number, first images \[1\]"):
        top_k_correct([[0.0, 1.0], [np.nan, 0.0]], [0, 0], 1)
    with pytest.raises(DataError, match=r"1 of 1 images have a score that is not a number"):
        multilabel_ap([[np.nan]], [[1]])
    with pytest.raises(DataError, match=r"2 of 3 confidences are outside 0\.\.1 \(image 1: 1\.5, image 2: nan\)"):
        calibration([0.5, 1.5, np.nan], [1, 1, 1])
    with pytest.raises(ValueError, match="k is 3; expected"):
        top_k_correct([[0.0, 1.0]], [0], 3)
    for scores, labels, k in [([0.0, 1.0], [0, 1], 1), ([[0.0, 1.0]], [0, 1], 1), ([[0.0, 1.0]], [0], 0)]:
        with pytest.raises(ValueError, match=r"expected \(n, K\), \(n,\) and 1 <= k <= K"):
            top_k_correct(scores, labels, k)
    with pytest.raises(ValueError, match="present 1, 0, -1"):
        multilabel_ap([[0.5]], [[2]])
    with pytest.raises(ValueError, match="not empty"):
        calibration([], [])
