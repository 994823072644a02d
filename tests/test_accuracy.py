"""Accuracy and log-loss: worked by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, recall_score

from headstart.errors import DataError
from headstart.metrics.accuracy import accuracy, log_losses


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
