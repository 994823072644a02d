"""Regression of probe losses on what images hold: worked by hand, numpy's least squares as oracle."""

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.explain.composition import (
    AREA_EDGES,
    COUNT_EDGES,
    Composition,
    binned,
    coefficients,
    main_class_composition,
    measure,
    usable_images,
    visible_areas,
)
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


def world(n: int = 400, seed: int = 0):
    rng = np.random.default_rng(seed)
    classes, counts, area = rng.integers(0, 4, n), rng.integers(1, 6, n), rng.uniform(0.01, 0.3, n)
    labels = rng.random(n)
    boxes = labels + 0.2 * counts - 0.1 * np.log(area) + 0.05 * rng.standard_normal(n)
    correct = {"boxes": rng.random(n) > 0.1 * counts, "labels": rng.random(n) > 0.1}
    return {"boxes": boxes, "labels": labels}, correct, classes, Composition(counts, area, counts * area)


def test_measure_recovers_what_was_planted():
    loss, correct, classes, composition = world()
    weights = image_weights(np.arange(400), 50)
    metrics, replicates, examples = measure(loss, correct, classes, composition, weights=weights)
    assert metrics["coef/count"] == pytest.approx(0.2, abs=0.01)
    assert metrics["coef/log_area"] == pytest.approx(-0.1, abs=0.01)
    assert metrics["coef_top1/count"] > 0.05 and metrics["coef_total/count"] > metrics["coef/count"]
    assert metrics["coef/n_images"] == 400 and set(replicates) == set(metrics) - {"coef/n_images"}
    assert abs(replicates["coef/count"].mean() - metrics["coef/count"]) < 3 * replicates["coef/count"].std()
    assert examples["curve/count/n"].sum() == 400 and examples["curve/count/edges"].tolist() == list(COUNT_EDGES)
    ones = composition.counts == 1
    assert examples["curve/count/top1_boxes"][0] == correct["boxes"][ones].mean()
    assert examples["curve/area/log_loss_labels"][0] != examples["curve/area/log_loss_labels"][0]  # empty: nan


def test_images_without_an_object_are_in_no_curve():
    loss, correct, classes, composition = world()
    counts = composition.counts.copy()
    counts[::4] = 0
    _, _, examples = measure(
        loss,
        correct,
        classes,
        Composition(counts, composition.mean_area, composition.total_area),
        weights=np.ones((1, 400)),
    )
    assert examples["curve/count/n"].sum() == examples["curve/area/n"].sum() == 300
    ones = counts == 1
    assert examples["curve/count/log_loss_labels"][0] == pytest.approx(loss["labels"][ones].mean())


def test_swapping_the_arms_flips_every_sign():
    loss, correct, classes, composition = world()
    weights = image_weights(np.arange(400), 10)
    forth = measure(loss, correct, classes, composition, weights=weights)
    back = measure(
        {"boxes": loss["labels"], "labels": loss["boxes"]},
        {"boxes": correct["labels"], "labels": correct["boxes"]},
        classes,
        composition,
        weights=weights,
    )
    for name in forth[1]:
        assert back[0][name] == -forth[0][name]
        np.testing.assert_array_equal(back[1][name], -forth[1][name])


def test_nothing_to_tell_apart_gives_no_number():
    loss, correct, classes, composition = world(20)
    one_each = Composition(np.ones(20), composition.mean_area, composition.mean_area)
    metrics, replicates, _ = measure(loss, correct, classes, one_each, weights=np.ones((2, 20)))
    assert metrics == {"coef/n_images": 0.0} and replicates == {}


def test_lengths_are_checked():
    loss, correct, classes, composition = world(20)
    with pytest.raises(DataError, match=r"composition: 19 classes but arrays of \[20\] images"):
        measure(loss, correct, classes[:-1], composition, weights=np.ones((2, 20)))
