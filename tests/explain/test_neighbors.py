"""Neighbors and information imbalance: worked by hand on a circle, scipy as oracle, known asymmetries."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from headstart.errors import DataError
from headstart.explain import neighbors
from headstart.explain.neighbors import (
    AGREEMENT,
    equal_dimension,
    find_neighbors,
    information_imbalance,
    made_as_poor,
    measure,
    standardize,
)
from headstart.stats.bootstrap import image_weights

BOTH = [("a", "b"), ("b", "a")]


def on_circle(*degrees):
    angle = np.radians(degrees)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def test_imbalance_by_hand():
    # Cosine distance orders points of a circle by angle. First neighbors in A: 0->1, 1->0, 2->1, 3->2; their ranks
    # in B: 3, 3, 3, 2. First neighbors in B: 0->2, 1->3, 2->0, 3->1; their ranks in A: 2, 3, 2, 2.
    found = find_neighbors({"a": on_circle(0, 10, 30, 70), "b": on_circle(0, 80, 20, 55)}, BOTH)
    assert found.nearest["a"][:, 0].tolist() == [1, 0, 1, 2]
    assert found.ranks["a", "b"][:, 0].tolist() == [3, 3, 3, 2]
    assert found.ranks["b", "a"][:, 0].tolist() == [2, 3, 2, 2]
    assert information_imbalance(found.ranks["a", "b"]) == 2 / 4 * 11 / 4
    assert information_imbalance(found.ranks["b", "a"]) == 2 / 4 * 9 / 4


def test_ties_go_to_the_lower_index_and_never_to_itself():
    same = np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]])
    found = find_neighbors({"a": same, "b": same}, BOTH, k=3)
    assert found.nearest["a"].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert found.ranks["a", "b"].tolist() == [[1, 2, 3]] * 4


@pytest.mark.parametrize("chunk", [1, 64 * 7, 1 << 22])
def test_against_scipy_whatever_the_chunks(monkeypatch, chunk):
    monkeypatch.setattr(neighbors, "_CHUNK_ELEMENTS", chunk)
    rng = np.random.default_rng(0)
    spaces = {"a": rng.standard_normal((64, 5)), "b": rng.standard_normal((64, 9))}
    found = find_neighbors(spaces, BOTH, k=4)
    distance = {name: cdist(x, x, "cosine") + np.diag(np.full(64, 9.0)) for name, x in spaces.items()}
    for a, b in BOTH:
        nearest = np.argsort(distance[a], axis=1)[:, :4]
        np.testing.assert_array_equal(found.nearest[a], nearest)
        np.testing.assert_array_equal(found.ranks[a, b], np.take_along_axis(rankdata(distance[b], axis=1), nearest, 1))


def test_chance_is_one_and_identity_is_two_over_n():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 800, 6))
    assert information_imbalance(find_neighbors({"a": a, "b": b}, BOTH).ranks["a", "b"]) == pytest.approx(1, abs=0.06)
    assert information_imbalance(find_neighbors({"a": a, "b": 3 * a}, BOTH).ranks["a", "b"]) == 2 / 800


def test_a_part_knows_less_than_the_whole():
    whole = np.random.default_rng(2).standard_normal((400, 8))
    found = find_neighbors({"a": whole, "b": whole[:, :3]}, BOTH)
    to_part, to_whole = (information_imbalance(found.ranks[pair]) for pair in BOTH)
    assert to_part < to_whole - 0.1


def test_standardize():
    x = np.array([[1.0, 5.0, 1e6], [3.0, 5.0, -1e6]])
    np.testing.assert_allclose(standardize(x), [[-1, 0, 1], [1, 0, -1]])
    assert standardize(x).dtype == np.float32


def test_equal_dimension_is_set_by_the_narrower_space():
    rng = np.random.default_rng(3)
    wide = rng.standard_normal((200, 10))
    narrow = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 10))
    a, b = equal_dimension(standardize(wide), standardize(narrow))
    assert a.shape == b.shape and a.shape[1] <= 3
    centered = standardize(narrow) - standardize(narrow).mean(0)
    singular = np.linalg.svd(centered, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(b, axis=0), singular[: b.shape[1]], rtol=1e-4)


@pytest.mark.parametrize(("deviations", "kept"), [((1, 1, 1, 1), 4), ((9, 4, 1, 1), 2), ((9, 1, 1, 1), 2)])
def test_components_that_keep_nine_tenths(deviations, kept):
    """Channels that do not correlate: shares of the variance are those of their squares, by hand. At least two stay."""
    signs = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1], [-1, -1, -1, -1], [-1, 1, -1, 1]])
    signs = np.vstack([signs, [[-1, -1, 1, 1], [-1, 1, 1, -1]]]).astype(float)
    assert np.allclose(signs.T @ signs, 8 * np.eye(4))
    a, b = equal_dimension(signs * deviations, signs)
    assert a.shape == b.shape == (8, kept) and a.dtype == b.dtype == np.float32
    np.testing.assert_allclose(a.std(axis=0), sorted(deviations, reverse=True)[:kept], rtol=1e-6)


def test_measure_names_weights_and_examples():
    rng = np.random.default_rng(4)
    n = 150
    classes, counts = rng.integers(0, 3, n), rng.integers(1, 4, n)
    base = np.eye(3)[classes] + 0.1 * rng.standard_normal((n, 3))
    arms = {"boxes": np.column_stack([base, counts]), "labels": base, "early": base + 0.3 * rng.standard_normal((n, 3))}
    weights = image_weights(np.arange(n), 30)
    metrics, replicates, examples = measure(
        arms["boxes"],
        arms["labels"],
        weights,
        random=rng.standard_normal((n, 4)),
        early=arms["early"],
        classes=classes,
        counts=counts,
    )
    both = ("boxes_to_labels", "labels_to_boxes")
    expected = {
        f"{prefix}/{pair}"
        for prefix in ("imbalance", "imbalance_pca", "imbalance_raw", "imbalance_k50")
        for pair in both
    }
    expected |= {f"imbalance/{a}_to_{b}" for arm in ("random", "early") for a, b in ((arm, "labels"), ("labels", arm))}
    expected |= {
        f"agreement/{what}/{of}"
        for what in ("class", "count")
        for of in ("boxes", "labels", "random", "early", "chance")
    } | {"agreement/class/noisy"}
    expected |= {f"imbalance_noisy/{pair}" for pair in ("noisy_to_clean", "clean_to_noisy")}
    assert set(replicates) == expected and set(metrics) == expected | {"imbalance/n_images"}
    assert metrics["imbalance/n_images"] == n
    ranks = examples["ranks/boxes_to_labels"]
    assert metrics["imbalance/boxes_to_labels"] == pytest.approx(information_imbalance(ranks))
    by_hand = (weights * ranks).sum(axis=1) / weights.sum(axis=1) * 2 / n
    np.testing.assert_allclose(replicates["imbalance/boxes_to_labels"], by_hand)
    assert metrics["agreement/count/boxes"] > metrics["agreement/count/labels"]
    share = np.bincount(classes)[classes] - 1
    assert metrics["agreement/class/chance"] == pytest.approx((share / (n - 1)).mean())
    assert (
        examples["nearest/boxes"].shape == (6, 5)
        and not (examples["nearest/boxes"] == examples["queries"][:, None]).any()
    )


def test_the_better_arm_is_made_as_poor_as_the_other():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 4, 300)
    clear, hazy = (standardize(np.eye(4)[classes] + spread * rng.standard_normal((300, 4))) for spread in (0.3, 1.0))

    def shares(features):
        near = find_neighbors({"": features}, [], AGREEMENT).nearest[""]
        return (classes[near] == classes[:, None]).mean()

    assert shares(clear) > shares(hazy) + 0.2
    assert shares(made_as_poor(clear, hazy, classes)) == pytest.approx(shares(hazy), abs=0.01)
    assert made_as_poor(hazy, clear, classes) is hazy
    np.testing.assert_array_equal(made_as_poor(clear, hazy, classes), made_as_poor(clear, hazy, classes))


def test_small_sets_have_no_fifty_neighbors():
    x = np.random.default_rng(5).standard_normal((2, 20, 3))
    few = np.arange(20) % 3
    metrics, _, _ = measure(x[0], x[1], np.ones((2, 20)), classes=few, counts=few)
    assert not any("k50" in name or "early" in name for name in metrics)


def test_faults_are_named():
    x = np.ones((3, 2))
    with pytest.raises(DataError, match=r"different numbers of images \(\{'a': 3, 'b': 2\}\)"):
        find_neighbors({"a": x, "b": x[:2]}, BOTH)
    with pytest.raises(DataError, match=r"3 images cannot have 3 neighbors each\. Give at least 4"):
        find_neighbors({"a": x, "b": x}, BOTH, k=3)
    with pytest.raises(DataError, match=r"features of 'b' are not finite \(first at image 1\)"):
        find_neighbors({"a": x, "b": np.array([[1, 1], [np.inf, 1], [1, 1]])}, BOTH)
