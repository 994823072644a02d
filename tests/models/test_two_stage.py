"""Faster R-CNN: proposals, the choice of RoIs and their levels, heads, dilation; by hand on tiny inputs."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.ops import nms, roi_align

from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.dilation import dilate_last
from headstart.models.detection.anchors import decode
from headstart.models.detection.roi_classes import DecoupledClasses, background_weight
from headstart.models.detection.roi_heads import RoiHead, RoiPool, with_image
from headstart.models.detection.rpn import ProposalNetwork
from headstart.models.detection.targets import Targets
from headstart.models.detection.two_stage import TwoStageDetector, TwoStageSettings
from headstart.recipes.schema import recipe_of


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def boxes(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def proposal_network(proposals: int = 30) -> tuple[ProposalNetwork, list[torch.Tensor]]:
    network = ProposalNetwork(8, 8, (8, 16), ((12.0,), (24.0,)), proposals=proposals)
    for layer in (network.objectness, network.codes):
        torch.nn.init.normal_(layer.weight, std=0.5)
    return network, [torch.randn(2, 8, 8, 8), torch.randn(2, 8, 4, 4)]


def test_proposals_are_those_of_a_plain_loop():
    network, maps = proposal_network()
    raw = network(maps)
    assert raw.per_level == (192, 48)
    found, scores = network.propose(raw, (64, 64))
    for i in range(2):
        kept = []
        for part in (slice(0, 192), slice(192, 240)):
            order = raw.objectness[i, part].argsort(descending=True)[:120]
            box = decode(raw.codes[i, part][order], raw.anchors[part][order]).clamp(0, 64)
            score = raw.objectness[i, part][order].sigmoid()
            big = ((box[:, 2:] - box[:, :2]) >= 1).all(1)
            box, score = box[big], score[big]
            rows = nms(box, score, 0.7)
            kept += list(zip(score[rows].tolist(), box[rows].tolist(), strict=True))
        kept.sort(key=lambda pair: -pair[0])
        count = min(30, len(kept))
        assert torch.allclose(found[i, :count], torch.tensor([box for _, box in kept[:count]]))
        assert scores[i, :count].tolist() == pytest.approx([score for score, _ in kept[:count]])


def test_proposals_out_of_range_are_left_out_and_places_stay():
    network, maps = proposal_network(100)
    found, scores = network.propose(network(maps), (64, 64), torch.tensor([[0.0, 10], [20, math.inf]]))
    root = (found[..., 2:] - found[..., :2]).prod(-1).sqrt()
    assert found.shape == (2, 100, 4)
    assert (root[0][scores[0] >= 0] < 10).all() and (root[1][scores[1] >= 0] >= 20).all()
    assert (scores[0] < 0).any() and (scores[0] >= 0).any()
    assert (scores.diff() <= 0).all()


def test_losses_of_the_proposals_by_hand():
    network = ProposalNetwork(4, 4, (8,), ((8.0,),), proposals=10)
    raw = network([torch.randn(1, 4, 2, 2)])
    square = 4  # the second cell's anchor of ratio 1: exactly the box
    truth = Targets([boxes([8, 0, 16, 8])], [torch.tensor([0])])
    losses = network.losses(raw, truth)
    wide = 8 / 2**-0.5
    # The anchors of ratio 1/2 and 2 in that cell have an IoU of 1 / (2 * 2**.5 - 1) = .547: positive, too.
    inter = 8 * 8 / 2**0.5
    assert inter / (64 + 64 - inter) == pytest.approx(0.547, abs=1e-3)
    labels = torch.zeros(12)
    labels[3:6] = 1
    expected = torch.nn.functional.binary_cross_entropy_with_logits(raw.objectness[0], labels)
    assert losses["rpn_objectness"].item() == pytest.approx(expected.item())
    wanted = torch.zeros(3, 4)  # codes: the box is narrower than the wide anchor, and less high than the tall one
    wanted[0, 2:] = torch.tensor([math.log(8 / wide), math.log(8 / (wide / 2))])
    wanted[2, 2:] = wanted[0, 2:].flip(0)
    off = torch.nn.functional.smooth_l1_loss(raw.codes[0, 3:6], wanted, beta=1 / 9, reduction="sum")
    assert losses["rpn_boxes"].item() == pytest.approx(off.item() / 12, rel=1e-5)
    assert raw.anchors[square].tolist() == [8, 0, 16, 8]
    # The same box ignored: those three anchors count no more, and nothing is positive.
    left_out = network.losses(raw, Targets([boxes()], [torch.zeros(0, dtype=torch.int64)], [boxes([8, 0, 16, 8])]))
    rest = torch.cat([raw.objectness[0, :3], raw.objectness[0, 6:]])
    assert left_out["rpn_boxes"].item() == 0
    assert left_out["rpn_objectness"].item() == pytest.approx(torch.nn.functional.softplus(rest).mean().item())


def head(**changes) -> RoiHead:
    settings = {"rois": 6, "positive_part": 1.0, "class_agnostic": False, "decoupled": False, "soft_background": False}
    return RoiHead(RoiPool("align", 2, (8,), 4, width=8), 16, 3, **(settings | changes))


def test_rois_are_chosen_and_labelled_by_hand():
    proposals = boxes([0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 4], [40, 40, 60, 60], [0, 0, 0, 0])[None]
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6, -1.0]])
    truth = Targets([boxes([0, 0, 10, 10])], [torch.tensor([2])])
    chosen = head().choose(proposals, scores, truth)
    columns = (chosen.boxes[0].tolist(), chosen.labels[0].tolist(), chosen.weights[0].tolist())
    found = {tuple(b): (k, w) for b, k, w in zip(*columns, strict=True)}
    assert found == {
        (0, 0, 10, 10): (2, 1),
        (0, 0, 10, 6): (2, 1),
        (0, 0, 10, 4): (3, 1),
        (40, 40, 60, 60): (3, 1),
        (0, 0, 0, 0): (3, 0),
    }
    assert int(chosen.weights.sum()) == 5  # four proposals and the true box itself
    # Group: what lies in it is no background. Ignored: neither. Range: the true box is not proposed itself.
    more = Targets(
        [boxes([0, 0, 10, 10])],
        [torch.tensor([2])],
        [boxes([0, 0, 10, 4])],
        [boxes([30, 30, 70, 70])],
        torch.tensor([[20.0, 50.0]]),
    )
    chosen = head().choose(proposals, scores, more)
    assert sorted(zip(chosen.labels[0].tolist(), chosen.weights[0].tolist(), strict=True)) == [
        (2, 1),
        (2, 1),
        (3, 0),
        (3, 0),
        (3, 0),
        (3, 0),
    ]
    soft = head(soft_background=True).choose(proposals, scores, truth)
    weight = dict(zip(map(tuple, soft.boxes[0].tolist()), soft.weights[0].tolist(), strict=True))
    assert weight[40, 40, 60, 60] == pytest.approx(0.25)
    assert weight[0, 0, 10, 4] == pytest.approx(0.25 + 0.75 * math.exp(-50 * math.exp(-20 * 0.4)))
    without = Targets([boxes()], [torch.zeros(0, dtype=torch.int64)])
    alone = head(soft_background=True).choose(proposals.repeat(1, 2, 1), scores.repeat(1, 2), without)
    assert alone.weights.tolist() == [pytest.approx([0.25] * 6)]
    ends = background_weight(torch.tensor([0.0, 1.0])).tolist()
    assert ends == pytest.approx([0.25, 1.0])  # exp(-50) and exp(-50 exp(-20))


@pytest.mark.parametrize("decoupled", [False, True])
def test_an_untrained_head_has_the_losses_of_guessing(decoupled):
    part = head(decoupled=decoupled, class_agnostic=True)
    for layer in part.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.zeros_(layer.weight)
    truth = Targets([boxes([0, 0, 16, 16])], [torch.tensor([1])])
    proposals = boxes([0, 0, 16, 16], [0, 0, 16, 12], [30, 30, 50, 60])[None]
    chosen = part.choose(proposals, torch.tensor([[0.9, 0.8, 0.7]]), truth)
    losses = part.losses(part.pool([torch.randn(1, 4, 8, 8)], with_image(chosen.boxes)).flatten(1), chosen)
    if decoupled:
        assert losses["objectness"].item() == pytest.approx(math.log(2))
        assert losses["classes"].item() == pytest.approx(math.log(3))  # of the objects alone
    else:
        assert losses["classes"].item() == pytest.approx(math.log(4))
    # Only 16 x 12 is off: center 2 / 12 / .1, height log(16 / 12) / .2; four RoIs in all.
    off = sum(x - 0.5 if x > 1 else x * x / 2 for x in (2 / 12 / 0.1, math.log(16 / 12) / 0.2))
    assert losses["boxes"].item() == pytest.approx(off / 4, rel=1e-5)


def test_scores_of_the_decoupled_head_are_products():
    layer, x = DecoupledClasses(4, 5), torch.randn(3, 4)
    assert torch.allclose(layer(x).sum(1), layer.objectness(x).sigmoid().squeeze(1))


def test_each_roi_is_read_from_the_level_of_its_size():
    maps = [torch.randn(1, 2, 64, 64), torch.randn(1, 2, 32, 32), torch.randn(1, 2, 16, 16)]
    rois = torch.tensor([[0.0, 0, 0, 111, 111], [0, 0, 0, 112, 112], [0, 0, 0, 224, 224], [0, 9, 9, 20, 30]])
    found = RoiPool("align", 7, (4, 8, 16), 2, width=8)(maps, rois)
    for row, (level, stride) in enumerate(((0, 4), (1, 8), (2, 16), (0, 4))):
        alone = roi_align(maps[level], rois[row : row + 1], 7, 1 / stride, 2, aligned=True)
        assert torch.allclose(found[row : row + 1], alone)


def test_dilation_refines_the_last_stage_and_keeps_its_values():
    for name in ("resnet18", "resnet50"):
        backbone = build_backbone(name).eval()
        x = torch.randn(1, 3, 64, 96)
        before = backbone(x)["C5"]
        assert dilate_last(backbone).stages[-1].stride == 16
        after = backbone(x)["C5"]
        assert after.shape[2:] == (4, 6) and before.shape[2:] == (2, 3)
        assert torch.allclose(after[:, :, ::2, ::2], before, atol=1e-4 * before.abs().max().item())
    with pytest.raises(ValueError, match="called layer4, such as a ResNet"):
        dilate_last(build_backbone("csp-v5n"))


def test_c4_runs_the_last_stage_on_rois_only():
    backbone = build_backbone("resnet18")
    seen = []
    backbone.layer4.register_forward_hook(lambda _, inputs, __: seen.append(tuple(inputs[0].shape)))
    model = TwoStageDetector(backbone, 3, TwoStageSettings("c4", ("C5",), 16, proposals=5, rois=4), 64).eval()
    found = model.detect(torch.randn(2, 3, 64, 64), score_threshold=0.0, max_detections=7)
    assert seen == [(10, 256, 14, 14)]  # five RoIs of each image, 14 bins that the stage halves
    assert len(found) == 2 and all(len(d.scores) <= 7 and (d.scores.diff() <= 0).all() for d in found)
    with pytest.raises(ValueError, match="this backbone has none"):
        TwoStageDetector(build_backbone("csp-v5n"), 3, TwoStageSettings("c4", ("C5",), 16), 64)


def test_images_without_boxes_have_finite_losses():
    for settings in (
        TwoStageSettings("plain", ("C5",), 16, proposals=9, rois=8),
        TwoStageSettings("fpn", ("C4", "C5"), 16, (9, 18, 36), proposals=9, rois=8),
    ):
        model = TwoStageDetector(build_backbone("shapes-resnet"), 3, settings, 64)
        empty = Targets([boxes()] * 2, [torch.zeros(0, dtype=torch.int64)] * 2)
        losses = model.losses(torch.randn(2, 3, 64, 64), empty)
        assert all(math.isfinite(v.item()) for v in losses.values())
        assert losses["rpn_boxes"].item() == 0 and losses["boxes"].item() == 0
        torch.stack(list(losses.values())).sum().backward()
        assert all(p.grad is not None for p in model.rpn.parameters())
    with pytest.raises(ValueError, match="2 sizes for the pyramid's 3 levels; give one a level"):
        TwoStageDetector(build_backbone("shapes-resnet"), 3, TwoStageSettings("fpn", ("C4", "C5"), 16, (9, 18)), 64)


def test_stages_of_one_stride_are_read_side_by_side_and_reduced_for_rois():
    settings = TwoStageSettings("plain", ("C4", "C5"), 16, proposals=9, rois=8, reduce=True)
    model = TwoStageDetector(build_backbone("shapes-resnet"), 3, settings, 64)
    images = torch.randn(2, 3, 64, 64)
    [joined] = model.maps(images)
    assert joined.shape == (2, 64 + 128, 8, 8) and model.rpn.conv.in_channels == 192
    assert [m.shape[1] for m in model.roi_maps([joined])] == [16] and model.layers[1].in_features == 16 * 49
    torch.stack(list(model.losses(images, targets_of_two()).values())).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(
        ValueError, match=r"C3 and C5 have the strides 4, 8, so they cannot be read side by side\. Dilate"
    ):
        TwoStageDetector(build_backbone("shapes-resnet"), 3, TwoStageSettings("plain", ("C3", "C5"), 16), 64)


def targets_of_two():
    return Targets([boxes([4.0, 4, 30, 34])] * 2, [torch.tensor([1])] * 2)


def test_recipes_refuse_what_does_not_go_together():
    plain = {"name": "x", "updates": 1, "batch_size": 1, "lr": 1.0}
    with pytest.raises(ValueError, match="'c4' is for head \"faster-rcnn\""):
        recipe_of(dict(**plain, head="fcos", neck="c4"))
    with pytest.raises(ValueError, match="`rois` are chosen among `proposals`"):
        recipe_of(dict(**plain, head="faster-rcnn", rois=128, proposals=100))
    with pytest.raises(ValueError, match="deformable"):
        recipe_of(dict(**plain, head="fcos", deformable=("layer4",)))
