"""Image weights of the bootstrap."""

import numpy as np
import pytest

from headstart.stats.bootstrap import ROWS, image_weights, weighted_mean_replicates


def test_every_resample_draws_as_many_images_as_there_are():
    weights = image_weights(np.arange(30), 50)
    assert weights.shape == (50, 30) and weights.dtype == np.uint16
    assert (weights.sum(1) == 30).all()
    assert len(np.unique(weights, axis=0)) == 50


def test_equal_arguments_give_equal_weights():
    first = image_weights(np.arange(20), 7, seed=3)
    np.testing.assert_array_equal(first, image_weights(np.arange(20), 7, seed=3))
    np.testing.assert_array_equal(first, image_weights(np.arange(20) * 5 + 2, 7, seed=3))  # names do not matter
    assert (first != image_weights(np.arange(20), 7, seed=4)).any()
    np.testing.assert_array_equal(first[:4], image_weights(np.arange(20), 4, seed=3))  # more resamples only add
    assert image_weights([0, 1, 2, 3], 2).tolist() == [[0, 1, 2, 1], [3, 1, 0, 0]]  # guards stored results


def test_images_of_a_cluster_are_drawn_together():
    clusters = np.array([4, 9, 4, 9, 4, 1])
    weights = image_weights(clusters, 100)
    for cluster in (1, 4, 9):
        assert (np.ptp(weights[:, clusters == cluster], axis=1) == 0).all()
    assert (weights[:, [0, 1, 5]].sum(1) == 3).all()


def test_replicates_have_the_variance_of_a_mean():
    """Bootstrap variance of a mean: population variance / n, here 4/16 = 0.25, to sampling error."""
    values = np.tile([-2.0, 2.0], 8)
    replicates = weighted_mean_replicates(values, image_weights(np.arange(16), 20000))
    assert replicates.var() == pytest.approx(0.25, rel=0.05)
    assert replicates.mean() == pytest.approx(0.0, abs=0.02)


def test_weighted_means_by_hand():
    with np.errstate(all="raise"):  # a resample without a value is no division by zero
        replicates = weighted_mean_replicates([1.0, 4.0, np.nan], [[1, 1, 5], [3, 1, 0], [1, 0, 0], [0, 0, 2]])
    assert replicates[:3].tolist() == [2.5, 1.75, 1.0]
    assert np.isnan(replicates[3])


def test_small_integers_do_not_overflow():
    """Sums of float32 values or of 16-bit counts alone would lose digits or wrap round."""
    values = np.full(3, 0.1, dtype=np.float32)
    assert weighted_mean_replicates(values, np.full((1, 3), 60_000, np.uint16))[0] == float(np.float32(0.1))
    assert weighted_mean_replicates([True, False], np.array([[3, 1]], np.uint16)).tolist() == [0.75]


def test_one_resample_of_one_image():
    assert image_weights([7], 1).tolist() == [[1]]


def test_more_resamples_than_are_computed_at_once():
    weights = image_weights(np.arange(5), 2 * ROWS + 3)
    expected = [np.average([1.0, 2, 3, 4, 5], weights=row) for row in weights]
    assert weighted_mean_replicates([1.0, 2, 3, 4, 5], weights) == pytest.approx(expected)


def test_faults():
    with pytest.raises(ValueError, match=r"clusters have shape \(0,\)"):
        image_weights([], 5)
    with pytest.raises(ValueError, match="resamples is 0"):
        image_weights([0], 0)
    with pytest.raises(ValueError, match=r"values have shape \(2,\), weights \(1, 3\)"):
        weighted_mean_replicates([0, 1], [[1, 1, 1]])
    with pytest.raises(ValueError, match=r"values have shape \(3, 2\), weights \(4, 3\)"):
        weighted_mean_replicates(np.zeros((3, 2)), np.ones((4, 3)))
