"""Boundary IoU: worked by hand, and against eroding step by step."""

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.metrics.mean_iou import boundary_iou, boundary_sums


def square(size, top, left, side):
    mask = np.zeros((size, size), dtype=np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_a_square_moved_by_one():
    """5 x 5 in 9 x 9 (d = 1): a ring of 16 pixels. Moved right by one, the rings share their top and bottom sides but
    for the ends, 4 + 4, and no upright side: 8 of 24."""
    sums = boundary_sums(square(9, 2, 2, 5), square(9, 2, 3, 5), 2)
    assert sums[:, 1].tolist() == [8, 16, 16]
    assert boundary_iou([sums]).iou[1] == pytest.approx(8 / 24)


def test_the_border_of_the_image_is_an_edge():
    """A class that fills 4 x 4 pixels has a ring of 12 along the border."""
    sums = boundary_sums(np.zeros((4, 4), int), np.zeros((4, 4), int), 2)
    assert sums.tolist() == [[12, 0], [12, 0], [12, 0]]
    result = boundary_iou([sums])
    assert result.iou[0] == 1.0 and np.isnan(result.iou[1]) and result.miou == 1.0


def test_the_width_of_the_band():
    """2 % of the diagonal of 100 x 100 is 2.83, so 3 steps: a 20 x 20 square keeps 14 x 14 inside. At 5 %: 7."""
    mask = square(100, 40, 40, 20)
    assert boundary_sums(mask, mask, 2)[1, 1] == 400 - 14**2
    assert boundary_sums(mask, mask, 2, dilation_ratio=0.05)[1, 1] == 400 - 6**2


def test_pixels_that_nobody_scores_leave_both_areas():
    """The right half of a 4 x 12 area is not scored: 4 x 6 is left, 2 x 4 of it away from edges. The prediction, which
    goes on there, has the same edges."""
    target = np.zeros((8, 14), dtype=np.uint8)
    target[2:6, 1:13] = 1
    predicted = target.copy()
    target[:, 7:] = 255
    sums = boundary_sums(target, predicted, 2)
    assert sums[:, 1].tolist() == [6 * 4 - 4 * 2] * 3


def eroded(area, steps):
    """The area after `steps` erosions by 3 x 3; outside the image is outside."""
    for _ in range(steps):
        wide = np.pad(area, 1)
        shifts = [wide[i : i + area.shape[0], j : j + area.shape[1]] for i in range(3) for j in range(3)]
        area = np.all(shifts, axis=0)
    return area


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_eroding_step_by_step(seed):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 4, (2, 6, 8))
    target, predicted = np.kron(coarse, np.ones((9, 9), int))[:, :50, :70]
    predicted = np.where(rng.random(target.shape) < 0.7, target, predicted)
    scored = rng.random(target.shape) < 0.97
    ratio = [0.01, 0.02, 0.04][seed % 3]
    steps = max(1, round(ratio * float(np.sqrt(50**2 + 70**2))))
    expected = np.zeros((3, 5), int)
    for k in range(4):
        a, b = ((m == k) & scored for m in (target, predicted))
        a, b = a & ~eroded(a, steps), b & ~eroded(b, steps)
        expected[:, k] = (a & b).sum(), a.sum(), b.sum()
    np.testing.assert_array_equal(
        boundary_sums(np.where(scored, target, 255), predicted, 5, 255, dilation_ratio=ratio), expected
    )


def test_images_are_summed_and_replicated():
    sums = np.array([[[8, 0], [16, 0], [16, 0]], [[0, 3], [4, 3], [0, 7]]])
    result = boundary_iou(sums)
    assert result.iou.tolist() == pytest.approx([8 / 28, 3 / 7])
    assert result.replicates([[1, 0], [0, 1]]).tolist() == pytest.approx([1 / 3, (0 + 3 / 7) / 2])


def test_faults():
    with pytest.raises(DataError, match=r"the predicted mask holds \[7\] where class indices 0\.\.1 are expected"):
        boundary_sums(np.zeros((2, 2), int), np.full((2, 2), 7), 2)
    with pytest.raises(ValueError, match=r"the masks have shape \(4,\); give one image"):
        boundary_sums(np.zeros(4, int), np.zeros(4, int), 2)
    with pytest.raises(ValueError, match=r"sums have shape \(2, 2\); they must be \(images, 3, classes\)"):
        boundary_iou(np.zeros((2, 2)))
