"""The anchor-free detector: targets and losses worked by hand, and that it learns."""

import math

import pytest
import torch
from torch import nn

from headstart.models.backbones import build_backbone
from headstart.models.detectors import FcosDetector, Targets, assign, centerness_of, giou_loss, grid_points
from headstart.models.faster_rcnn import FasterRcnnDetector
from headstart.models.necks import TopDown


def targets(*boxes_of_images: list[list[float]]) -> Targets:
    return Targets(
        [torch.tensor(b, dtype=torch.float32).reshape(-1, 4) for b in boxes_of_images],
        [torch.arange(len(b)) for b in boxes_of_images],
    )


def test_grid_points_are_centers_of_cells():
    assert grid_points(2, 3, 8, torch.device("cpu")).tolist() == [
        [4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12],
    ]  # fmt: skip


def test_every_location_inside_a_box_is_positive_and_the_smallest_box_wins():
    points = grid_points(4, 4, 8, torch.device("cpu"))  # centers 4, 12, 20, 28
    strides = torch.full((16,), 8.0)
    # Box 0 holds all 16 centers; box 1 (8..24) holds the four middle ones and is smaller.
    labels, sides = assign(points, strides, targets([[0, 0, 32, 32], [8, 8, 24, 24]]), last_stride=8.0)
    assert labels[0].reshape(4, 4).tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert sides[0, 5].tolist() == [4, 4, 12, 12]  # center (12, 12) in box 1: left 4, top 4, right 12, bottom 12
    assert sides[0, 0].tolist() == [4, 4, 28, 28]


def test_a_box_between_centers_still_gets_a_location():
    points, strides = grid_points(4, 4, 8, torch.device("cpu")), torch.full((16,), 8.0)
    labels, _ = assign(points, strides, targets([[6, 6, 9, 9]]), last_stride=8.0)
    assert (labels >= 0).sum() == 1
    assert labels[0, 0] == 0  # only (4, 4) is within half a stride (4) of the box's center (7.5, 7.5)


def test_levels_share_boxes_by_size():
    fine, coarse = grid_points(16, 16, 8, torch.device("cpu")), grid_points(8, 8, 16, torch.device("cpu"))
    points = torch.cat([fine, coarse])
    strides = torch.cat([torch.full((256,), 8.0), torch.full((64,), 16.0)])
    labels, _ = assign(points, strides, targets([[0, 0, 128, 128], [40, 40, 72, 72]]), last_stride=16.0)
    positives_fine, positives_coarse = labels[0, :256], labels[0, 256:]
    assert set(positives_coarse[positives_coarse >= 0].tolist()) == {0}  # the small box is never on the coarse level
    assert 1 in positives_fine.tolist()


def test_images_without_boxes_have_no_positives_and_finite_losses():
    torch.manual_seed(0)
    model = FcosDetector(build_backbone("shapes-resnet"), 3, ("C5",), 16)
    losses = model.losses(torch.randn(2, 3, 64, 64), targets([], []))
    assert all(math.isfinite(v.item()) for v in losses.values())
    assert losses["boxes"].item() == 0


def test_centerness_and_giou_by_hand():
    # left 2, top 3, right 8, bottom 3: sqrt(2/8 * 3/3) = 0.5
    assert centerness_of(torch.tensor([[2.0, 3, 8, 3]])).item() == pytest.approx(0.5)
    same = torch.tensor([[2.0, 3, 8, 3]])
    assert giou_loss(same, same).item() == pytest.approx(0, abs=1e-6)
    # 2x2 box in a 4x4 box: IoU 4/16, the hull is the larger box: loss 1 - .25
    assert giou_loss(torch.ones(1, 4), 2 * torch.ones(1, 4)).item() == pytest.approx(0.75)
    # 4x2 and 2x4: intersection 4, union 12, hull 16: loss 1 - 1/3 + 4/16
    wide, tall = torch.tensor([[2.0, 1, 2, 1]]), torch.tensor([[1.0, 2, 1, 2]])
    assert giou_loss(wide, tall).item() == pytest.approx(1 - 1 / 3 + 0.25)


@pytest.mark.parametrize("kind", ["fcos", "faster-rcnn"])
def test_a_detector_learns_one_image_by_heart(kind):
    torch.manual_seed(0)
    backbone = build_backbone("shapes-resnet")
    model: nn.Module = (
        FcosDetector(backbone, 2, ("C4", "C5"), 32) if kind == "fcos" else FasterRcnnDetector(backbone, 2, "C5", 32, 64)
    )
    image = torch.zeros(2, 3, 64, 64)
    image[:, 0, 10:30, 8:40] = 2.0
    image[:, 1, 36:60, 30:56] = 2.0
    truth = targets([[8, 10, 40, 30], [30, 36, 56, 60]], [[8, 10, 40, 30], [30, 36, 56, 60]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        sum(model.losses(image, truth).values()).backward()
        optimizer.step()
    model.eval()
    found = model.detect(image, score_threshold=0.3)[0]
    for label in (0, 1):
        best = found.boxes_xyxy[found.labels == label][0]
        assert torch.allclose(best, truth.boxes_xyxy[0][label], atol=3.0), (label, best)


def test_detections_stay_inside_the_image_and_scores_fall():
    torch.manual_seed(0)
    model = FcosDetector(build_backbone("shapes-resnet"), 3, ("C5",), 16).eval()
    found = model.detect(torch.randn(1, 3, 64, 96), score_threshold=0.0, max_detections=20)[0]
    assert len(found.scores) == 20
    assert (found.scores.diff() <= 0).all()
    assert (
        (found.boxes_xyxy >= 0).all() and (found.boxes_xyxy[:, 2] <= 96).all() and (found.boxes_xyxy[:, 3] <= 64).all()
    )


def test_the_neck_names_a_stage_that_is_missing():
    with pytest.raises(ValueError, match=r"C6.*the backbone has C2, C3, C4, C5"):
        TopDown(build_backbone("shapes-resnet"), ("C6",), 16)


def test_the_neck_keeps_the_finest_size_first():
    neck = TopDown(build_backbone("shapes-resnet"), ("C3", "C4", "C5"), 16)
    maps = neck(build_backbone("shapes-resnet")(torch.randn(1, 3, 72, 104)))
    assert [m.shape[-2:] for m in maps] == [(18, 26), (9, 13), (9, 13)]
