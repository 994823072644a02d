"""Regression of probe losses on what images hold: worked by hand, numpy's least squares as oracle."""

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.explain.composition import (
    AREA_EDGES,
    COUNT_EDGES,
    Composition,
    binned,
    main_class_composition,
    measure,
    usable_images,
    visible_areas,
)
from headstart.explain.least_squares import coefficients
from headstart.explain.matching import Answers, mixture, share_right, weakened
from headstart.stats.bootstrap import image_weights


def test_coefficients_by_hand():
    # Two classes with constants 10 and -4 and no noise: d = constant + 2 x1 - 3 x2 in each.
    x = np.array([[0, 0], [1, 0], [0, 1], [5, 5], [6, 5], [5, 6.0]])
    classes = np.array([7, 7, 7, 2, 2, 2])
    d = np.array([10, 12, 7, -4 + 10 - 15, -4 + 12 - 15, -4 + 10 - 18])
    np.testing.assert_allclose(coefficients(d, classes, x, np.ones((1, 6))), [[2, -3]], atol=1e-12)


def test_coefficients_are_weighted_least_squares():
    rng = np.random.default_rng(0)
    n = 120
    classes = rng.integers(0, 5, n)
    x = np.column_stack([rng.integers(1, 6, n), 100 + rng.standard_normal(n)])  # an offset must not cost digits
    d = rng.standard_normal(n) + 0.3 * x[:, 0] + classes
    weights = image_weights(np.arange(n), 600)
    found = coefficients(d, classes, x, weights)
    assert found.shape == (600, 2)
    for b in (0, 1, 299, 599):
        root = np.sqrt(weights[b].astype(float))
        design = np.column_stack([x, np.eye(5)[classes]])
        expected = np.linalg.lstsq(design * root[:, None], d * root, rcond=None)[0][:2]
        np.testing.assert_allclose(found[b], expected, rtol=1e-8, atol=1e-9)


def test_what_does_not_vary_within_classes_has_no_coefficient():
    classes = np.array([0, 0, 1, 1])
    x = np.column_stack([[1.0, 1, 2, 2], [0.1, 0.2, 0.3, 0.4]])
    assert np.isnan(coefficients(np.arange(4.0), classes, x, np.ones((2, 4)))).all()
    collinear = np.column_stack([[1.0, 2, 3, 4], [2.0, 4, 6, 8]])
    assert np.isnan(coefficients(np.arange(4.0), np.zeros(4, dtype=int), collinear, np.ones((2, 4)))).all()


def test_composition_of_the_main_class():
    # Image 0 (class 1): objects of classes 1, 0, 1; image 1 (class 2): none; image 2 (class 0): one of its own.
    found = main_class_composition(
        np.array([1, 2, 0]), np.array([1, 0, 1, 0]), np.array([0, 3, 3, 4]), np.array([0.1, 0.5, 0.3, 0.25])
    )
    assert found.counts.tolist() == [2, 0, 1]
    np.testing.assert_allclose(found.mean_area, [0.2, 0, 0.25])
    np.testing.assert_allclose(found.total_area, [0.4, 0, 0.25])


def test_visible_areas():
    instances = np.zeros((2, 2, 4), dtype=np.uint8)
    instances[0, 0] = [1, 1, 2, 0]
    instances[1, 1] = [0, 1, 1, 1]
    assert visible_areas(instances, np.array([0, 3, 4])).tolist() == [2 / 8, 1 / 8, 0, 3 / 8]


def test_only_classes_in_which_both_vary_take_part():
    classes = np.array([0, 0, 1, 1, 2, 2, -1, 0])
    counts = np.array([1, 2, 1, 1, 1, 2, 1, 0])
    areas = np.array([0.1, 0.2, 0.1, 0.2, 0.3, 0.3, 0.1, 0.0])
    assert usable_images(classes, counts, areas).tolist() == [True, True] + [False] * 6


def test_bins_own_their_lower_edge_and_an_empty_one_has_no_value():
    curve = binned(np.array([1.0, 0.0, 1.0, 5.0]), np.array([1, 2, 2, 9]), COUNT_EDGES)
    assert curve.n == (1, 2, 0, 0, 1) and curve.mean == (1.0, 0.5, None, None, 5.0)
    assert binned(np.ones(2), np.array([1 / 64, 1.0]), AREA_EDGES).n == (0, 0, 1, 0, 0, 0, 0, 1)


def answers(correct, p=None, train_images=100):
    right = np.asarray(correct, dtype=bool)
    return Answers(right, -np.log(np.where(right, 0.8, 0.1) if p is None else p), train_images)


def world(n: int = 4000, seed: int = 0, interaction: float = 0.0):
    """Log-odds that fall by .3 an instance at equal total area, and by .3 + interaction for boxes."""
    rng = np.random.default_rng(seed)
    classes, counts, area = rng.integers(0, 4, n), rng.integers(1, 6, n), rng.uniform(0.01, 0.3, n)
    total = counts * area
    arms = {}
    for arm, slope, shift in (("boxes", -0.3 - interaction, 0.0), ("labels", -0.3, 1.0)):
        odds = shift + 2.0 + 0.5 * (classes - 1.5) + slope * counts + 0.8 * np.log(total)
        p = 1 / (1 + np.exp(-odds))
        arms[arm] = [answers(rng.random(n) < p, p), answers(rng.random(n) < 1 / (1 + np.exp(3.5 - odds)), p, 50)]
    return {"boxes": arms["boxes"][:1], "labels": arms["labels"]}, classes, Composition(counts, area, total)


def test_measure_recovers_what_was_planted():
    arms, classes, composition = world(interaction=0.4)
    weights = image_weights(np.arange(4000), 50)
    metrics, replicates, examples = measure(arms, classes, composition, weights=weights)
    for arm, slope in (("boxes", -0.7), ("labels", -0.3)):
        deviation = replicates[f"{arm}/odds/count"].std()
        assert 0.02 < deviation < 0.1 and abs(metrics[f"{arm}/odds/count"] - slope) < 3 * deviation
        assert abs(replicates[f"{arm}/odds/count"].mean() - metrics[f"{arm}/odds/count"]) < deviation
        # What more instances of one size do: the same slope, and .8 of the log of the count.
        assert metrics[f"{arm}/odds_same_size/count"] > metrics[f"{arm}/odds/count"] + 0.1
    assert metrics["boxes/odds/n_images"] == 4000
    assert metrics["boxes/odds_matched/count"] == metrics["boxes/odds/count"]  # the arm that is right less often
    assert metrics["labels/odds_matched/top1"] == metrics["boxes/odds/top1"] < metrics["labels/odds/top1"]
    assert 50 < metrics["labels/odds_matched/train_images"] < 100
    assert metrics["boxes/odds_p/count"] == pytest.approx(-0.7, abs=0.01)  # the probabilities have no noise
    counted = {n for n in metrics if n.endswith(("top1", "images"))}
    assert set(replicates) == set(metrics) - counted
    assert examples["curve/count/n"].sum() == 4000 and examples["curve/count/edges"].tolist() == list(COUNT_EDGES)
    ones = composition.counts == 1
    assert examples["curve/count/top1_boxes"][0] == arms["boxes"][0].correct[ones].mean()
    assert np.isnan(examples["curve/area/log_loss_labels"][0])  # empty


def test_images_without_an_object_are_in_no_curve():
    arms, classes, composition = world(400)
    counts = composition.counts.copy()
    counts[::4] = 0
    missing = Composition(counts, composition.mean_area, composition.total_area)
    _, _, examples = measure(arms, classes, missing, weights=np.ones((2, 400)))
    assert examples["curve/count/n"].sum() == examples["curve/area/n"].sum() == 300 == examples["used"].sum()
    ones = counts == 1
    assert examples["curve/count/log_loss_labels"][0] == pytest.approx(arms["labels"][0].log_loss[ones].mean())


def test_exchanging_the_arms_exchanges_their_numbers():
    arms, classes, composition = world(600)
    weights = image_weights(np.arange(600), 10)
    forth = measure(arms, classes, composition, weights=weights)
    back = measure({"boxes": arms["labels"], "labels": arms["boxes"]}, classes, composition, weights=weights)
    other = {"boxes": "labels", "labels": "boxes"}
    for name in forth[0]:
        arm, _, rest = name.partition("/")
        assert back[0][f"{other[arm]}/{rest}"] == forth[0][name]
        if name in forth[1]:
            np.testing.assert_array_equal(back[1][f"{other[arm]}/{rest}"], forth[1][name])


def test_nothing_to_tell_apart_gives_no_slope():
    arms, classes, _ = world(20)
    alike = Composition(np.ones(20), np.full(20, 0.25), np.full(20, 0.25))
    metrics, replicates, _ = measure(arms, classes, alike, weights=np.ones((2, 20)))
    assert metrics["boxes/odds/n_images"] == 0.0 and replicates == {}
    assert {name.rpartition("/")[2] for name in metrics} == {"n_images", "top1"}


def test_of_one_object_an_image_the_area_is_told_alone():
    """As it is by the images of one object among others of more."""
    arms, classes, composition = world()
    ones = composition.counts == 1
    of_ones = {
        arm: [Answers(a.correct[ones], a.log_loss[ones], a.train_images) for a in ladder]
        for arm, ladder in arms.items()
    }
    single = Composition(composition.counts[ones], composition.mean_area[ones], composition.total_area[ones])
    n = int(ones.sum())
    weights = image_weights(np.arange(n), 50)
    metrics, replicates, examples = measure(of_ones, classes[ones], single, weights=weights)
    assert metrics["boxes/odds/n_images"] == n and examples["used"].all()
    for arm in ("boxes", "labels"):
        deviation = replicates[f"{arm}/odds/log_area"].std()
        assert deviation < 0.15 and abs(metrics[f"{arm}/odds/log_area"] - 0.8) < 3 * deviation
        assert f"{arm}/odds_matched/log_area" in metrics and f"{arm}/odds_p/log_area" in metrics
    assert not [name for name in metrics if name.endswith("/count")]


def test_an_arm_that_cannot_be_made_as_bad_has_no_matched_slope():
    arms, classes, composition = world(600)
    metrics, _, _ = measure(
        {"boxes": arms["boxes"], "labels": arms["labels"][:1]}, classes, composition, weights=np.ones((2, 600))
    )
    assert "labels/odds/count" in metrics and "labels/odds_matched/count" not in metrics
    assert "boxes/odds_matched/count" in metrics


def test_lengths_are_checked():
    arms, classes, composition = world(20)
    with pytest.raises(DataError, match=r"composition: 19 classes but arrays of \[20\] images"):
        measure(arms, classes[:-1], composition, weights=np.ones((2, 20)))


def right(share: float, train_images: int) -> Answers:
    return answers(np.arange(100) < 100 * share, train_images=train_images)


def test_the_ladder_ends_at_the_first_probe_that_is_right_no_more_often():
    shares = {100: 0.9, 50: 0.8, 25: 0.6, 12: 0.7, 6: 0.3}
    ladder = weakened(right(0.9, 100), 0.65, 3, lambda count: right(shares[count], count))
    assert [a.train_images for a in ladder] == [100, 50, 25]
    assert [a.train_images for a in weakened(right(0.5, 100), 0.65, 3, right)] == [100]
    low = weakened(right(0.9, 100), 0.1, 3, lambda count: right(shares[count], count))
    assert [a.train_images for a in low] == [100, 50, 25, 12, 6]  # two images of each of three classes are the least


def test_mixture_by_hand():
    ladder = [right(0.9, 100), right(0.8, 50), right(0.5, 25)]
    # Log-odds 1.386 and 0: those of 0.6667 (0.693) lie half way.
    (above, first), (below, second) = mixture(ladder, 2 / 3)
    assert (above, below) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (first, second) == (ladder[1], ladder[2])
    assert mixture(ladder, 0.9) == [(1.0, ladder[0])] and mixture(ladder, 0.95) == [(1.0, ladder[0])]
    ((share, only),) = mixture(ladder, 0.5)
    assert (share, only) == (1.0, ladder[2]) and share_right(only) == 0.5
    assert mixture(ladder, 0.4) == []
    never = [right(1.0, 8), right(0.0, 4)]  # what was never, or always, right counts as half an answer
    assert sum(share for share, _ in mixture(never, 0.5)) == 1.0
