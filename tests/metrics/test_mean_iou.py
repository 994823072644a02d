"""Mean IoU: worked by hand, and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from headstart.errors import DataError
from headstart.metrics.mean_iou import confusion, foreground_iou, mean_iou


def test_confusion_by_hand():
    target = np.array([[0, 0, 1], [1, 2, 255]], dtype=np.uint8)
    predicted = np.array([[0, 1, 1], [1, 0, 2]], dtype=np.uint8)
    assert confusion(target, predicted, 3).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_mean_iou_by_hand():
    """Class 0: 1 right, 2 true, 2 predicted: 1/3. Class 1: 2, 2, 3: 2/3. Class 2: 0, 1, 0: 0."""
    result = mean_iou([[[1, 1, 0], [0, 2, 0], [1, 0, 0]]])
    assert result.iou == pytest.approx([1 / 3, 2 / 3, 0.0])
    assert result.miou == pytest.approx(1 / 3)
    assert result.pixels.tolist() == [2, 2, 1]


def test_pixels_are_summed_over_images_before_dividing():
    """Class 0: 1 of 1 and 1 of 9 right: (1 + 1) / 10, not the mean of the two."""
    result = mean_iou([[[1, 0], [0, 0]], [[1, 8], [0, 1]]])
    assert result.iou == pytest.approx([2 / 10, 1 / 9])


def test_a_class_without_true_pixels_has_no_value():
    result = mean_iou([[[3, 1, 0], [0, 0, 0], [0, 0, 0]]])
    assert result.iou[0] == pytest.approx(3 / 4)
    assert np.isnan(result.iou[1:]).all()
    assert result.miou == pytest.approx(3 / 4)
    assert np.isnan(mean_iou(np.zeros((2, 3, 3), int)).miou)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 4, (3, 8, 9)).astype(np.uint8)
    predicted = np.where(rng.random(target.shape) < 0.6, target, rng.integers(0, 4, target.shape))
    target[rng.random(target.shape) < 0.1] = 255
    tables = np.stack([confusion(t, p, 4) for t, p in zip(target, predicted, strict=True)])
    scored = target != 255
    np.testing.assert_array_equal(tables.sum(0), confusion_matrix(target[scored], predicted[scored], labels=range(4)))
    oracle = jaccard_score(target[scored], predicted[scored], average=None)
    np.testing.assert_allclose(mean_iou(tables).iou, oracle, atol=1e-12)
    assert mean_iou(tables).miou == pytest.approx(oracle.mean(), abs=1e-12)


def test_replicates_equal_repeated_images():
    rng = np.random.default_rng(0)
    tables = rng.integers(0, 5, (6, 3, 3)) * (rng.random((6, 3, 1)) < 0.5)
    result = mean_iou(tables)
    weights = rng.integers(0, 4, (20, 6)).astype(np.uint16)
    weights[0] = 1
    np.testing.assert_array_equal(result.iou_replicates(weights)[0], result.iou)
    assert result.replicates(weights)[0] == result.miou
    for b, row in enumerate(weights):
        again = mean_iou(np.repeat(tables, row, axis=0))
        np.testing.assert_array_equal(result.iou_replicates(weights)[b], again.iou)
        np.testing.assert_array_equal(result.replicates(weights)[b], again.miou)


def test_faults():
    mask = np.zeros((2, 2), dtype=np.uint8)
    with pytest.raises(DataError, match=r"target mask has shape \(2, 2\), the predicted mask \(2, 3\); bring"):
        confusion(mask, np.zeros((2, 3)), 2)
    with pytest.raises(DataError, match=r"target mask holds \[7\] where class indices 0\.\.1 are expected"):
        confusion(mask + 7, mask, 2)
    with pytest.raises(DataError, match=r"predicted mask holds \[255\]"):
        confusion(mask, mask + 255, 2)
    assert confusion(mask + 255, mask + 9, 2).sum() == 0  # nothing is asked of pixels that nobody scores
    with pytest.raises(ValueError, match=r"weights have shape \(1, 3\); they must be \(resamples, 1 images\)"):
        mean_iou([[[1, 0], [0, 1]]]).replicates(np.ones(3))
    with pytest.raises(ValueError, match="images, classes, classes"):
        mean_iou(np.zeros((3, 3)))


def test_foreground_is_one_area_whatever_its_classes():
    """Truth: 6 pixels of classes 1 and 2. Predicted: 5, of which 4 are true ones, one of the wrong class: 4 / 7."""
    table = [[10, 1, 0], [1, 2, 1], [1, 0, 1]]
    result = foreground_iou([table])
    assert result.iou.tolist() == [4 / 7] == [result.miou] and result.pixels.tolist() == [6]
    turned = np.array(table)[[1, 0, 2]][:, [1, 0, 2]]
    assert foreground_iou([turned], background=1).miou == 4 / 7
    two = foreground_iou([table, np.diag([5, 3, 0])])  # summed before dividing
    assert two.miou == (4 + 3) / (7 + 3)
    np.testing.assert_array_equal(two.replicates([[1, 1], [2, 0], [0, 1]]), [7 / 10, 4 / 7, 1.0])
    with pytest.raises(ValueError, match="background is 3; they must be"):
        foreground_iou([table], background=3)
