"""Anchors: places and sizes by hand, matching and coding against torchvision's, what is ignored, what is drawn."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.ops import box_iou

from headstart.models.detection.anchors import (
    BACKGROUND,
    IGNORED,
    anchors_of,
    decode,
    encode,
    hashed,
    leave_out,
    match,
    part_within,
    sample,
)

NONE = torch.zeros(0, 4)


def random_boxes(count: int, seed: int) -> torch.Tensor:
    draws = torch.rand(count, 4, generator=torch.Generator().manual_seed(seed)) * 60
    return torch.cat([draws[:, :2], draws[:, :2] + 3 + draws[:, 2:]], 1)


def test_anchors_lie_around_centers_with_equal_areas():
    found = anchors_of((1, 2), 16, (16.0, 32.0), torch.zeros(()))
    assert found.shape == (1 * 2 * 2 * 3, 4)
    width = 16 / 0.5**0.5  # ratio 0.5: half as high as wide
    assert torch.allclose(found[0], torch.tensor([8 - width / 2, 8 - width / 4, 8 + width / 2, 8 + width / 4]))
    assert found[1].tolist() == [0, 0, 16, 16]
    assert found[4].tolist() == [-8, -8, 24, 24]
    assert found[7].tolist() == [16, 0, 32, 16]
    areas = (found[:, 2:] - found[:, :2]).prod(1)
    assert torch.allclose(areas, torch.tensor([256.0] * 3 + [1024.0] * 3).repeat(2))


@pytest.mark.parametrize("rescue", [False, True])
def test_matching_is_torchvisions(rescue):
    for seed in range(20):
        boxes, anchors = random_boxes(5, seed), random_boxes(200, 100 + seed)
        expected = Matcher(0.5, 0.4, allow_low_quality_matches=rescue)(box_iou(boxes, anchors))
        assert torch.equal(match(boxes, anchors, 0.5, 0.4, rescue=rescue), expected)


def test_a_box_that_nothing_overlaps_makes_nothing_positive():
    anchors = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    assert match(torch.tensor([[50.0, 50, 60, 60]]), anchors, 0.5, 0.4, rescue=True).tolist() == [
        BACKGROUND,
        BACKGROUND,
    ]
    assert match(NONE, anchors, 0.5, 0.4, rescue=True).tolist() == [BACKGROUND, BACKGROUND]


def test_what_is_ignored_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 4], [0, 0, 10, 3], [40, 40, 50, 50], [40, 40, 50, 51.2]])
    ignored = torch.tensor([[0.0, 0, 10, 10]])  # IoU 1, .4, .3 and none
    rows = torch.tensor([0, BACKGROUND, BACKGROUND, BACKGROUND, BACKGROUND])
    assert leave_out(rows, boxes, ignored, NONE, least_iou=0.3, positives_too=True).tolist() == [
        IGNORED,
        IGNORED,
        -1,
        -1,
        -1,
    ]
    assert leave_out(rows, boxes, ignored, NONE, least_iou=0.3, positives_too=False).tolist() == [
        0,
        IGNORED,
        -1,
        -1,
        -1,
    ]
    group = torch.tensor([[30.0, 30, 60, 50]])  # holds the fourth wholly and 10 / 11.2 of the fifth
    assert leave_out(rows, boxes, NONE, group, least_iou=0.3, positives_too=True).tolist() == [0, -1, -1, IGNORED, -1]
    assert part_within(boxes, group)[:, 0].tolist() == pytest.approx([0, 0, 0, 1, 10 / 11.2])
    assert leave_out(torch.tensor([3] * 5), boxes, NONE, group, least_iou=0.3, positives_too=True).tolist() == [3] * 5


def test_drawn_anchors_are_so_many_and_never_ignored():
    torch.manual_seed(0)
    rows = torch.tensor([2] * 30 + [BACKGROUND] * 100 + [IGNORED] * 50)
    chosen = sample(rows, 40, 0.5)
    assert [int(chosen[a:b].sum()) for a, b in ((0, 30), (30, 130), (130, 180))] == [20, 20, 0]
    assert int(sample(rows[20:], 40, 0.5).sum()) == 40  # 10 positive, the rest is filled up
    assert sample(rows[:30], 40, 0.5).sum() == 20
    often = torch.stack([sample(rows, 40, 0.5) for _ in range(200)]).float().mean(0)
    assert (often[:30] > 0.4).all() and (often[30:130] < 0.4).all() and (often[30:130] > 0.05).all()


def test_draws_are_splitmix_and_follow_from_the_number_of_the_image():
    """Values of the reference program for seeds 0 and 1234567."""
    for seed, expected in (
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]),
        (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423]),
    ):
        assert [int(v) % 2**64 for v in hashed(3, torch.tensor(seed))] == expected
    rows = torch.tensor([2] * 30 + [BACKGROUND] * 100 + [IGNORED] * 50)
    seeds = torch.arange(200) * 2**40

    def chosen(seed: torch.Tensor, purpose: int = 0) -> torch.Tensor:
        return sample(rows, 40, 0.5, seed, purpose=purpose)

    torch.manual_seed(0)
    before = torch.get_rng_state()
    found = torch.stack([chosen(seed) for seed in seeds])
    assert torch.equal(found, torch.stack([chosen(seed) for seed in seeds]))
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[0], chosen(seeds[0], 1))
    often = found.float().mean(0)  # 20 of 30 and 20 of 100, each by itself within four standard deviations
    assert ((often[:30] - 2 / 3).abs() < 4 * (2 / 9 / 200) ** 0.5).all()
    assert ((often[30:130] - 1 / 5).abs() < 4 * (0.16 / 200) ** 0.5).all() and not often[130:].any()


def test_coding_is_torchvisions_and_turns_back():
    boxes, anchors = random_boxes(50, 1).double(), random_boxes(50, 2).double()
    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    codes = encode(boxes, anchors, (0.1, 0.2))
    assert torch.allclose(codes, coder.encode_single(boxes, anchors))
    assert torch.allclose(decode(codes, anchors, (0.1, 0.2)), boxes)
    assert torch.allclose(decode(3 * codes, anchors, (0.1, 0.2)), coder.decode_single(3 * codes, anchors))
