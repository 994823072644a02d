"""Windows, worked by hand: what is seen through them, and where boxes are then."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from headstart.models.whole.augmenting import OVERLAPS, Changes, changed, seen, through, window_of

SIZE = (40, 60)


def squares() -> Tensor:
    """(1, 40, 60): 1 in columns 20 to 39 of rows 10 to 29, else 0."""
    image = torch.zeros(1, *SIZE)
    image[:, 10:30, 20:40] = 1
    return image


def test_the_whole_image_is_itself():
    assert torch.equal(seen(squares(), (0, 0, 60, 40), SIZE), squares())


def test_a_smaller_window_is_enlarged():
    found = seen(squares(), (20, 10, 40, 30), (10, 10))
    assert found.shape == (1, 10, 10) and bool((found == 1).all())
    half = seen(squares(), (10, 10, 30, 30), (20, 20))
    assert float(half[0, :, :10].max()) == 0 and float(half[0, :, 10:].min()) == 1


def test_beyond_the_image_there_is_zero():
    found = seen(torch.ones(1, *SIZE), (-60, -40, 60, 40), SIZE)
    assert float(found[0, :20].max()) == 0 and float(found[0, :, :30].max()) == 0
    assert float(found[0, 20:, 30:].min()) == 1


@pytest.mark.parametrize(
    ("window", "size_hw", "expected"),
    [
        ((0, 0, 60, 40), SIZE, [[20, 10, 40, 30], [0, 0, 6, 6]]),
        ((0, 0, 60, 40), (80, 60), [[20, 20, 40, 60], [0, 0, 6, 12]]),
        ((-60, -40, 60, 40), SIZE, [[40, 25, 50, 35], [30, 20, 33, 23]]),
        ((25, 5, 55, 25), (20, 30), [[0, 5, 15, 20]]),  # cut at its edges; the other's center is outside
        ((31, 0, 60, 40), SIZE, []),  # the center of the first at 30 is outside, too
    ],
)
def test_boxes_move_with_the_window(window, size_hw, expected):
    boxes, labels = torch.tensor([[20.0, 10, 40, 30], [0, 0, 6, 6]]), torch.tensor([4, 7])
    moved, kept = through(boxes, labels, window, size_hw)
    assert torch.allclose(moved, torch.tensor(expected).view(-1, 4).float(), atol=1e-4)
    assert kept.tolist() == [4, 7][: len(expected)]


def test_pixels_and_boxes_agree_through_any_window():
    """A bright square stays where its box says, to a pixel."""
    box = torch.tensor([[20.0, 10, 40, 30]])
    changes, out = Changes(zoom_out=0.5, overlap_crop=0.4, size_crop=0.4), (64, 96)
    for seed in range(60):
        images, ((moved, _),) = changed(squares()[None], [(box, torch.tensor([0]))], out, changes, seeds=[seed])
        rows, columns = (images[0, 0] > 0.5).nonzero().unbind(1)
        if not len(moved):
            continue
        found = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
        assert np.abs(np.array(found) - moved[0].numpy()).max() <= 3.5, seed  # a pixel of the image is up to 3.4 here


def test_draws_follow_from_the_number_alone_and_their_shares_are_those_asked_for():
    boxes, changes = np.array([[20.0, 10, 40, 30]]), Changes(zoom_out=0.5, size_crop=0.0)
    windows = [window_of(SIZE, boxes, changes, seed) for seed in range(400)]
    assert windows == [window_of(SIZE, boxes, changes, seed) for seed in range(400)]
    larger = [w for w in windows if w[2] - w[0] > 60]
    assert 0.42 < len(larger) / 400 < 0.58
    for x1, y1, x2, y2 in larger:
        assert x1 <= 0 and y1 <= 0 and x2 >= 60 and y2 >= 40 and (x2 - x1) / 60 <= 4
        assert (x2 - x1) / 60 == pytest.approx((y2 - y1) / 40)
    scales = {Changes(scales=(0.5, 1.0, 1.5)).scale(seed) for seed in range(50)}
    assert scales == {0.5, 1.0, 1.5} and Changes().scale(3) == 1.0


def test_an_overlapping_window_holds_a_box_s_center():
    boxes, whole = np.array([[20.0, 10, 40, 30], [50, 2, 58, 8]]), 0
    for seed in range(100):
        x1, y1, x2, y2 = window = window_of(SIZE, boxes, Changes(overlap_crop=1.0), seed)
        whole += window == (0, 0, 60, 40)
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        assert ((centers > (x1, y1)) & (centers < (x2, y2))).all(1).any()
        assert x1 >= 0 and y1 >= 0 and x2 <= 60.0001 and y2 <= 40.0001
    assert 0 < whole < 50 and OVERLAPS[-1] == 1
    assert window_of(SIZE, np.zeros((0, 4)), Changes(overlap_crop=1.0), 1) == (0, 0, 60, 40)
