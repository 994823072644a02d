"""Scores of segmentations by hand, and what a grid of outputs could reach."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headstart.metrics.mean_iou import boundary_sums, confusion, mean_iou
from headstart.tasks.segment import TASK, _enlarged, reachable_classes


def halves(size: int, edge: int) -> np.ndarray:
    mask = np.zeros((size, size), dtype=np.uint8)
    mask[:, edge:] = 1
    return mask


@pytest.mark.parametrize(("edge", "found"), [(8, 8), (4, 4), (10, 10), (9, 9)])
def test_an_upright_edge_on_a_grid_of_four(edge, found):
    """16 pixels, cells of 4. Edges at 4 and 8 lie between cells: shares 1 and 0, crossing in the middle. At 10 the
    share of the cell is one half at its center, 10; at 9 it is 3/4 at 10 and 0 at 6: half way at 8.67, between the
    centers of pixels 8 and 9."""
    best = reachable_classes(halves(16, edge), 2, (4, 4))
    assert best.dtype == np.uint8
    assert (best == halves(16, found)).all()


def test_nothing_is_lost_on_a_grid_of_pixels_and_all_but_one_class_on_one_cell():
    truth = np.random.default_rng(0).integers(0, 3, (7, 5)).astype(np.uint8)
    np.testing.assert_array_equal(reachable_classes(truth, 3, (7, 5)), truth)
    assert (reachable_classes(truth, 3, (1, 1)) == np.bincount(truth.ravel()).argmax()).all()


def test_pixels_that_nobody_scores_have_no_say():
    truth = np.full((8, 8), 255, dtype=np.uint8)
    truth[0, 0] = truth[0, 7] = 1
    best = reachable_classes(truth, 2, (2, 2))
    assert best[0, 0] == best[0, 7] == 1


def test_a_small_object_between_cells_is_out_of_reach():
    """2 x 2 pixels where four cells of 8 x 8 meet: a share of 1/64 of each, so background everywhere."""
    truth = np.zeros((16, 16), dtype=np.uint8)
    truth[7:9, 7:9] = 1
    best = reachable_classes(truth, 2, (2, 2))
    assert not best.any() and mean_iou([confusion(truth, best, 2)]).iou[1] == 0.0


def test_of_a_letterbox_only_what_shows_the_image_is_enlarged():
    """An image of 4 x 8 in a picture of 8 x 8: of 2 x 2 cells two are its own, whatever the lower ones say."""
    logits = torch.zeros(2, 2, 2)
    logits[0, 0, 0] = logits[1, 0, 1] = 1
    logits[:, 1] = torch.tensor([[9.0, 0.0], [0.0, 9.0]])
    found = _enlarged(logits, (4, 8), (8, 8))
    assert found.shape == (4, 8) and (found == [[0] * 4 + [1] * 4] * 4).all()
    truth = np.array([[0] * 6 + [1] * 2] * 4, np.uint8)
    assert (reachable_classes(truth, 2, (4, 4), (8, 8)) == reachable_classes(truth, 2, (2, 4))).all()


def test_scores_by_hand():
    truth, predicted = halves(8, 4), halves(8, 5)
    arrays = {
        "confusion": np.stack([confusion(truth, predicted, 2)] * 2),
        "boundary": np.stack([boundary_sums(truth, predicted, 2)] * 2),
    }
    classes = SimpleNamespace(mask_classes=np.array(["background", "thing"]), __len__=lambda: 2)
    metrics, replicates = TASK.score([arrays], [classes], np.array([[1, 1], [2, 0]]), "")
    # Truth 32 and 32 pixels, predicted 40 and 24: 32 / 40 and 24 / 32.
    assert metrics["seg/miou"] == pytest.approx((0.8 + 0.75) / 2)
    assert metrics["seg/foreground_iou"] == pytest.approx(0.75)
    # Rings of 8 x 4 (20), 8 x 5 (22), 8 x 3 (18); in common 14 of background, 12 of thing: all but one upright side.
    assert metrics["seg/boundary_iou"] == pytest.approx((14 / (20 + 22 - 14) + 12 / (20 + 18 - 12)) / 2)
    assert set(replicates) == {"seg/miou", "seg/foreground_iou", "seg/boundary_iou"}
    for name, drawn in replicates.items():
        np.testing.assert_allclose(drawn, metrics[name])
    classes.mask_classes = np.array(["road", "thing"])  # without a background there is no foreground
    assert "seg/foreground_iou" not in TASK.score([arrays], [classes], None, "")[0]


def test_of_equal_logits_the_first_class_is_taken():
    """In the ceiling, shares of two classes are often equal."""
    logits = torch.zeros(3, 2, 2)
    logits[1:, :, 1] = 1.0
    assert _enlarged(logits, (2, 2)).tolist() == [[0, 1], [0, 1]]
