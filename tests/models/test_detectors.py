"""The anchor-free detector: targets and losses worked by hand, and that it learns."""

import math

import pytest
import torch
from torchvision.ops import box_iou

from headstart.models.backbones.building import build_backbone
from headstart.models.detection.anchors import grid_points
from headstart.models.detection.fcos import FcosDetector, assign, centerness_of, giou_loss, in_left_out
from headstart.models.detection.necks import TopDown
from headstart.models.detection.targets import Targets
from headstart.recipes.schema import recipe_of
from headstart.tasks.detect import TASK as DETECT


def targets(*boxes_of_images: list[list[float]]) -> Targets:
    return Targets(
        [torch.tensor(b, dtype=torch.float32).reshape(-1, 4) for b in boxes_of_images],
        [torch.arange(len(b)) for b in boxes_of_images],
    )


def test_grid_points_are_centers_of_cells():
    assert grid_points(2, 3, 8, torch.device("cpu")).tolist() == [
        [4, 4],
        [12, 4],
        [20, 4],
        [4, 12],
        [12, 12],
        [20, 12],
    ]


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


def reach_of(boxes, labels, head: str = "fcos", size: int = 64, **changes) -> list[bool]:
    torch.manual_seed(0)
    recipe = recipe_of({"name": "r", "updates": 1, "batch_size": 1, "lr": 1e-3, "head": head, "channels": 16} | changes)
    model = DETECT.build(build_backbone("shapes-resnet"), recipe, 3, (size, size)).eval()
    reach = model.reach(torch.zeros(1, 3, size, size))
    return reach(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.tensor(labels)).tolist()


def test_a_cell_finds_one_box():
    """Stride 8, one level: of two boxes whose only center is (4, 4) the smaller is found; one beside is, too."""
    assert reach_of([[1, 1, 5, 5], [2, 2, 7, 7], [9, 9, 14, 14]], [0, 1, 2], levels=("C5",)) == [True, False, True]
    assert reach_of([[2, 2, 7, 7]], [1], levels=("C5",)) == [True]
    assert reach_of([], torch.zeros(0, dtype=torch.int64).tolist(), levels=("C5",)) == []


def test_boxes_of_a_class_that_overlap_too_much_hide_each_other():
    """IoU of 48 x 48 and 48 x 40: 5/6. Of another class both are found, the larger where the smaller is not."""
    boxes = [[8, 8, 56, 56], [8, 8, 56, 48]]
    assert sorted(reach_of(boxes, [0, 0], levels=("C5",))) == [False, True]
    assert reach_of(boxes, [0, 1], levels=("C5",)) == [True, True]


@pytest.mark.parametrize("head", ["retinanet", "faster-rcnn"])
def test_anchors_find_what_they_overlap_most(head):
    """Far apart and of sizes of anchors: all found. Two of one class nearly in one place: one of them."""
    apart = [[4, 4, 20, 20], [40, 40, 60, 60]]
    assert reach_of(apart, [0, 0], head, levels=("C5",)) == [True, True]
    assert sorted(reach_of([[4, 4, 20, 20], [4, 4, 20, 19]], [0, 0], head, levels=("C5",))) == [False, True]


def test_images_without_boxes_have_no_positives_and_finite_losses():
    torch.manual_seed(0)
    model = FcosDetector(build_backbone("shapes-resnet"), 3, ("C5",), 16)
    losses = model.losses(torch.randn(2, 3, 64, 64), targets([], []))
    assert all(math.isfinite(v.item()) for v in losses.values())
    assert losses["boxes"].item() == 0


def test_the_weight_of_classes_is_that_of_their_loss_alone():
    model = FcosDetector(build_backbone("shapes-resnet"), 3, ("C5",), 16, class_weight=1.0)
    images, truth = torch.randn(2, 3, 64, 64), targets([[4, 4, 40, 40]], [[10, 10, 30, 30]])
    light = model.losses(images, truth)
    model.class_weight = 4.0
    usual = model.losses(images, truth)
    assert usual["classes"].item() == pytest.approx(4 * light["classes"].item())
    assert usual["boxes"].item() == pytest.approx(light["boxes"].item())


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


LEARNERS: dict[str, dict] = {
    "FCOS": {"head": "fcos", "levels": ("C4", "C5")},
    "FCOS on a pyramid": {"head": "fcos", "neck": "fpn", "levels": ("C3", "C4", "C5")},
    "RetinaNet": {"head": "retinanet", "neck": "fpn", "levels": ("C3", "C4", "C5")},
    "Faster R-CNN": {"head": "faster-rcnn"},
    "Faster R-CNN C4": {"head": "faster-rcnn", "neck": "c4", "proposals": 40, "rois": 24},
    "Faster R-CNN FPN": {
        "head": "faster-rcnn",
        "neck": "fpn",
        "levels": ("C3", "C4", "C5"),
        "anchors": (9, 18, 36, 64),
    },
    "DCNv2": {"head": "faster-rcnn", "neck": "dc5", "deformable": ("C5",), "roi_pool": "deform-modulated"},
    "DCNv1, R-FCN-3000": {
        "head": "faster-rcnn",
        "neck": "dc5",
        "deformable": ("C5",),
        "modulated": False,
        "class_agnostic": True,
        "decoupled": True,
        "soft_background": True,
        "roi_pool": "deform",
    },
}


SLOW = ("DCNv2", "DCNv1, R-FCN-3000", "Faster R-CNN C4")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in LEARNERS])
def test_a_detector_learns_one_image_by_heart(name):
    torch.manual_seed(0)
    settings = {"name": "learn", "updates": 1, "batch_size": 2, "lr": 1e-3, "channels": 32}
    few = {"proposals": 24, "rois": 12} if LEARNERS[name]["head"] == "faster-rcnn" else {}
    recipe = recipe_of(settings | few | LEARNERS[name])
    model = DETECT.build(build_backbone("shapes-resnet"), recipe, 2, (64, 64))
    image = torch.zeros(2, 3, 64, 64)
    image[:, 0, 10:30, 8:40] = 2.0
    image[:, 1, 36:60, 30:56] = 2.0
    truth = targets([[8, 10, 40, 30], [30, 36, 56, 60]], [[8, 10, 40, 30], [30, 36, 56, 60]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(60):
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1, 2 - step / 30)
        optimizer.zero_grad()
        sum(model.losses(image, truth).values()).backward()
        optimizer.step()
    model.eval()
    found = model.detect(image, score_threshold=0.3)[0]
    for label in (0, 1):
        best = found.boxes_xyxy[found.labels == label][:1]
        assert box_iou(best, truth.boxes_xyxy[0][label : label + 1]).item() > 0.6, (label, best)


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


def test_locations_in_ignored_boxes_and_groups_are_no_background():
    points = grid_points(4, 4, 8, torch.device("cpu"))  # centers 4, 12, 20, 28
    truth = Targets(
        [torch.zeros(0, 4)],
        [torch.zeros(0, dtype=torch.int64)],
        [torch.tensor([[0.0, 0, 16, 8]])],
        [torch.tensor([[16.0, 16, 32, 32]])],
    )
    assert in_left_out(points, truth)[0].reshape(4, 4).int().tolist() == [
        [1, 1, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 1, 1],
    ]
    torch.manual_seed(0)
    model = FcosDetector(build_backbone("shapes-resnet"), 3, ("C5",), 16).eval()
    images = torch.randn(1, 3, 32, 32)
    every = Targets([torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)], [torch.tensor([[0.0, 0, 32, 32]])])
    assert model.losses(images, every)["classes"].item() == 0
    assert model.losses(images, truth)["classes"].item() == pytest.approx(
        model.losses(images, targets([]))["classes"].item() * 10 / 16, rel=0.05
    )  # 6 of 16 locations are left out, and an untrained head says nearly the same everywhere


def test_a_pyramid_has_coarser_levels():
    neck = TopDown(build_backbone("shapes-resnet"), ("C3", "C4"), 16, coarser=2, smooth=True)
    assert neck.strides == (4, 8, 16, 32)
    maps = neck(build_backbone("shapes-resnet")(torch.randn(1, 3, 64, 96)))
    assert [m.shape[-2:] for m in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
