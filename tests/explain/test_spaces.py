"""Imbalance under two distances and three scalings: by hand, and what each scaling does not see."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.explain.likeness import likeness
from headstart.explain.spaces import DISTANCES, SCALINGS, first_ranks, imbalances, scaled, whiten


def ranks_by_hand(a: np.ndarray, b: np.ndarray, distance: str) -> list[int]:
    def apart(p: np.ndarray, q: np.ndarray) -> float:
        if distance == "euclidean":
            return float(((p - q) ** 2).sum())
        return float(-(p @ q) / np.sqrt((p @ p) * (q @ q)))

    found = []
    for i in range(len(a)):
        others = [j for j in range(len(a)) if j != i]
        first = min(others, key=lambda j: apart(a[i], a[j]))
        found.append(1 + sorted(others, key=lambda j: apart(b[i], b[j])).index(first))
    return found


@pytest.mark.parametrize("distance", DISTANCES)
def test_ranks_by_plain_arithmetic(distance: str) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(9, 3)) + 1, rng.normal(size=(9, 2)) + 1
    there, back = first_ranks(a, b, distance)
    assert there.tolist() == ranks_by_hand(a, b, distance) and back.tolist() == ranks_by_hand(b, a, distance)
    same, _ = first_ranks(np.ones((4, 2)), np.ones((4, 2)), distance)
    assert same.tolist() == [1, 1, 1, 1], "of equal ones the first"


def test_blocks_and_the_choice_that_is_made_elsewhere() -> None:
    """More images than a block has rows; cosine of standardized channels is what `likeness` has,
    which counts in single precision."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(700, 4))
    b = a[:, :2] + 0.1 * rng.normal(size=(700, 2))
    weights = np.stack([np.ones(700), np.eye(700)[3]]).astype(np.uint16)
    metrics, drawn = imbalances({"C5": a}, {"C5": b}, weights)
    elsewhere = likeness(a, b, weights, np.full(700, -1)).metrics
    assert len(metrics) == len(SCALINGS) * len(DISTANCES) * 3
    for way in ("a_to_b", "b_to_a", "a_less_b"):
        assert metrics[f"choice/C5/standardized/cosine/{way}"] == pytest.approx(elsewhere[f"imbalance/{way}"], abs=1e-3)
        assert drawn[f"choice/C5/raw/euclidean/{way}"][0] == pytest.approx(metrics[f"choice/C5/raw/euclidean/{way}"])
    assert all(metrics[f"choice/C5/{s}/euclidean/a_less_b"] < 0 for s in SCALINGS), "a knows all of b, not the reverse"


def test_what_a_scaling_does_not_see() -> None:
    """A channel times 100 changes raw distances alone; a channel said twice changes all but whitened ones."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=(200, 5))
    stretched, again = a * [1, 1, 1, 1, 100], np.concatenate([a, a[:, :1]], axis=1)
    weights = np.ones((2, 200), np.uint16)

    def of(b: np.ndarray, scaling: str) -> float:
        return imbalances({"C5": a}, {"C5": b}, weights)[0][f"choice/C5/{scaling}/euclidean/a_to_b"]

    assert of(stretched, "standardized") == pytest.approx(2 / 200) and of(stretched, "raw") > 0.2
    assert of(stretched, "whitened") == of(again, "whitened") == pytest.approx(2 / 200)
    full = np.linalg.qr(rng.normal(size=(200, 5)))[0]  # equal variances: all five components are kept
    assert whiten(full).shape == (200, 5) and np.allclose(whiten(full).std(0), 1)
    assert of(again, "standardized") > 2 / 200 and of(again, "raw") > 2 / 200
    assert whiten(rng.normal(size=(20, 50))).shape == (20, 5), "a quarter as many as images"


def test_stages_of_both_that_vary() -> None:
    rng = np.random.default_rng(3)
    a, still = rng.normal(size=(8, 3)), np.ones((8, 3))
    weights = np.ones((2, 8), np.uint16)
    metrics, _ = imbalances({"C4": still, "C5": a, "C6": a}, {"C4": a, "C5": a, "C3": a}, weights)
    assert {name.split("/")[1] for name in metrics} == {"C5"}
    assert scaled(still, "raw").tolist() == still.tolist()
