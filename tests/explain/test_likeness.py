"""Neighbors of two networks without roles: values by hand, properties, and what cannot be measured."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.explain.likeness import likeness
from headstart.explain.neighbors import standardize


def ones(n: int) -> np.ndarray:
    return np.ones((3, n), np.uint16)


def test_a_space_against_itself_and_against_chance() -> None:
    rng = np.random.default_rng(0)
    a, other = rng.normal(size=(400, 6)), rng.normal(size=(400, 3))
    same = likeness(a, 2 * a + 1, ones(400), np.full(400, -1))
    assert same.metrics["imbalance/a_to_b"] == pytest.approx(2 / 400)
    assert same.metrics["overlap/k5"] == 1 and same.metrics["overlap_chance/k5"] == pytest.approx(5 / 399)
    assert same.said == ["Whether neighbors share a class cannot be said: no class of an image is known."]
    apart = likeness(a, other, ones(400), np.zeros(400, int)).metrics
    assert apart["imbalance/a_to_b"] == pytest.approx(1, abs=0.12)
    assert apart["overlap/k50"] == pytest.approx(apart["overlap_chance/k50"], abs=0.02)
    part = likeness(a, a[:, :1] + 0 * a[:, :2], ones(400), np.zeros(400, int)).metrics
    assert part["imbalance/a_to_b"] < part["imbalance/b_to_a"], "a knows all that a projection of it knows"
    assert part["imbalance/a_less_b"] == pytest.approx(part["imbalance/a_to_b"] - part["imbalance/b_to_a"])


def orders_by_hand(features: np.ndarray) -> list[list[int]]:
    """All other images of each image, nearest first, by plain arithmetic."""
    mean, std = features.mean(0), features.std(0)
    rows = [[(x - m) / s for x, m, s in zip(row, mean, std, strict=True)] for row in features]

    def cosine(p: list[float], q: list[float]) -> float:
        return sum(x * y for x, y in zip(p, q, strict=True)) / (sum(x * x for x in p) * sum(y * y for y in q)) ** 0.5

    every = range(len(rows))
    return [sorted((j for j in every if j != i), key=lambda j: -cosine(rows[i], rows[j])) for i in every]


def test_ranks_neighbors_and_agreement_by_hand() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
    classes = np.array([0, 0, 0, 1, 1, 2, -1])
    found, of_a, of_b = likeness(a, b, ones(7), classes), orders_by_hand(a), orders_by_hand(b)
    assert found.arrays["nearest_a"].tolist() == of_a and found.arrays["nearest_b"].tolist() == of_b
    ranks = [[of_b[i].index(j) + 1 for j in row] for i, row in enumerate(of_a)]
    assert found.arrays["ranks_a"].tolist() == ranks
    assert found.metrics["imbalance/a_to_b"] == pytest.approx(2 / 7 * np.mean([row[0] for row in ranks]))
    assert found.metrics["overlap/k2"] == np.mean([np.mean([r <= 2 for r in row[:2]]) for row in ranks])
    assert found.arrays["curve/rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert found.arrays["curve/a_to_b"].tolist() == [np.mean([row[0] <= r for row in ranks]) for r in range(1, 7)]
    # All six others are neighbors: 2 of 6 have the class of the first three, 1 of 6 that of the next two, 0 the sixth.
    assert found.metrics["agreement/class/a"] == pytest.approx((3 * 2 / 6 + 2 * 1 / 6 + 0) / 6)
    assert found.metrics["agreement/class/chance"] == pytest.approx(found.metrics["agreement/class/a"])


def test_replicates_are_of_the_weights() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(30, 4)), rng.normal(size=(30, 9))
    weights = np.stack([np.ones(30), np.eye(30)[7]]).astype(np.uint16)
    found = likeness(a, b, weights, np.arange(30) % 2)
    assert found.replicates["imbalance/a_to_b"][0] == pytest.approx(found.metrics["imbalance/a_to_b"])
    assert found.replicates["overlap/k2"][1] == (found.arrays["ranks_a"][7, :2] <= 2).mean()


def test_what_cannot_be_said_is_said() -> None:
    few = likeness(np.eye(2), np.eye(2), ones(2), np.zeros(2, int))
    assert few.metrics == {} and few.said == [
        "Neighbors need 3 images or more, and there are 2: nothing is said of them."
    ]
    still = likeness(np.ones((9, 3)), np.eye(9), ones(9), np.zeros(9, int))
    assert still.metrics == {} and "{a} gives every image the same features" in still.said[0]
    one = likeness(np.eye(9), np.eye(9)[::-1], ones(9), np.zeros(9, int))
    assert one.said == ["Whether neighbors share a class cannot be said: all have one class."]
    assert "agreement/class/a" not in one.metrics and "imbalance/a_to_b" in one.metrics
    broken = np.eye(9)
    broken[4] = np.nan
    with pytest.raises(DataError, match="features of 'a' are not finite"):
        likeness(broken, np.eye(9), ones(9), np.zeros(9, int))
    assert not standardize(np.ones((9, 3))).any()
