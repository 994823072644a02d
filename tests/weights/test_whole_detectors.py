"""Whole detectors of other libraries in ours: what they compute, and that every tensor is accounted for."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection import backbone_utils
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from headstart.errors import WeightsError
from headstart.models.detection.anchors import RATIOS, anchors_of, decode
from headstart.models.detection.retinanet import SIZES
from headstart.recipes.schema import recipe_of
from headstart.tasks.copying import copy_into
from headstart.tasks.starts import start_of
from headstart.tasks.transfer import assembled
from headstart.weights.cards import resolve
from headstart.weights.detectors import reading
from headstart.weights.detectors.facts import misfits
from headstart.weights.detectors.libraries import layout_of
from headstart.weights.detectors.reading import read_detector
from headstart.weights.starts import CopySettings, StartPlace, StartSettings
from support.sources import Detectron2ResNet, OpenMMLabResNet, photo, randomized, rgb_normalized, seeded, under

CLASSES = ("cat", "tin can", "dog")
WIDE = {"channels": 32, "neck": "fpn", "published": True}
HEADS: dict[str, dict[str, Any]] = {
    "FasterRCNN": {"head": "faster-rcnn", "levels": ("C2", "C3", "C4", "C5"), **WIDE},
    "RetinaNet": {"head": "retinanet", "levels": ("C3", "C4", "C5"), "tower": 4, **WIDE},
    "FCOS": {"head": "fcos", "levels": ("C3", "C4", "C5"), "tower": 4, **WIDE, "channels": 64},
}


def torchvisions(kind: str, classes: int = 5) -> nn.Module:
    """With random values for everything, biases of the head too."""
    seeded()
    body = torchvision.models.resnet.ResNet(torchvision.models.resnet.Bottleneck, [2, 2, 2, 2])
    if kind == "FasterRCNN":
        pyramid = backbone_utils.BackboneWithFPN(body, returned(1, 2, 3, 4), [256, 512, 1024, 2048], 32)
        head = {"box_head": TwoMLPHead(32 * 49, 128), "box_predictor": FastRCNNPredictor(128, classes)}
        model = randomized(detection.FasterRCNN(pyramid, **head))
    else:
        width = HEADS[kind]["channels"]
        more = LastLevelP6P7(width, width)
        pyramid = backbone_utils.BackboneWithFPN(body, returned(2, 3, 4), [512, 1024, 2048], width, more)
        model = randomized(getattr(detection, kind)(pyramid, num_classes=classes))
    for name, values in model.named_parameters():
        if not name.startswith("backbone.body."):
            values.data += 0.02 * torch.randn(values.shape, generator=torch.Generator().manual_seed(len(name)))
    if kind == "FCOS":  # sides that the ReLU cuts nowhere
        model.head.regression_head.bbox_reg.bias.data += 1.5
    return model


def returned(*numbers: int) -> dict[str, str]:
    return {f"layer{number}": str(k) for k, number in enumerate(numbers)}


def saved(path: Path, content: Any) -> str:
    torch.save(content, path)
    return f"file:{path}"


def ours(uri: str, base: Path, head: dict[str, Any], start: str = "detector", rows: str = "fresh"):
    """(our detector of three classes with what was copied of the weights, the proof)."""
    recipe = recipe_of({"name": "r", "updates": 1, "batch_size": 2, "lr": 1e-3} | head)
    place = StartPlace(str(base), resolve(uri, base))
    begin, _, _ = start_of(StartSettings(), place, None, 0, copied=CopySettings(start, rows))  # type: ignore[arg-type]
    model = assembled(begin, "detect", recipe, len(CLASSES), size_hw=(64, 64), seed=0)
    proof = copy_into(model, begin.copying, CLASSES)
    return model.eval(), proof


def require_whole(model: nn.Module, proof) -> None:
    """Copied + resized + fresh = all keys, part by part, each copied one counted once."""
    names = [n for n in model.state_dict() if not n.endswith("num_batches_tracked")]
    assert proof.keys == len(names) == sum(map(sum, proof.parts.values()))
    assert sum(proof.parts["backbone"]) == sum(n.startswith("backbone.") for n in names)
    assert proof.parts["backbone"][1:] == (0, 0)


@pytest.fixture(scope="module")
def faster_rcnn(tmp_path_factory) -> tuple[nn.Module, str]:
    model = torchvisions("FasterRCNN")
    return model, saved(tmp_path_factory.mktemp("tv") / "w.pth", model.state_dict())


def test_torchvisions_faster_rcnn_computes_here_what_it_computes_there(faster_rcnn, tmp_path: Path) -> None:
    there, uri = faster_rcnn
    model, proof = ours(uri, tmp_path, HEADS["FasterRCNN"])
    require_whole(model, proof)
    # 4 laterals and 4 outputs; 3 of the proposals, 2 layers; classes and boxes of each class. Each weight and bias.
    assert proof.parts["neck"] == (16, 0, 0) and proof.parts["head"] == (10, 0, 0)
    assert proof.parts["classes"] == (0, 0, 4) and proof.fresh == ()
    image = rgb_normalized(photo(128))
    with torch.no_grad():
        maps, wanted = model.maps(image), list(there.backbone(image).values())
        raw = model.rpn(maps)
        objectness, codes = there.rpn.head(wanted)
        pooled = torch.randn(3, 32, 7, 7)
        torch.testing.assert_close(model.features(pooled), there.roi_heads.box_head(pooled), rtol=1e-4, atol=1e-4)
    assert len(maps) == len(wanted) == 5 and model.head.pool.strides == (4, 8, 16, 32)
    for got, want in zip(maps, wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    flat = torch.cat([level.permute(0, 2, 3, 1).flatten(1) for level in objectness], 1)
    torch.testing.assert_close(raw.objectness, flat, rtol=1e-4, atol=1e-4)
    boxes = torch.cat([level.permute(0, 2, 3, 1).reshape(1, -1, 4) for level in codes], 1)
    there_boxes = decode(boxes, at_corners(maps, (8.0,), by_ratio=False))
    torch.testing.assert_close(decode(raw.codes, raw.anchors), there_boxes, rtol=1e-3, atol=1e-2)


def at_corners(maps: list[Tensor], sizes: tuple[float, ...], *, by_ratio: bool, first: int = 4) -> Tensor:
    """Anchors around the corners of cells, as torchvision and Detectron2 have them, not rounded."""
    anchors = []
    for k, x in enumerate(maps):
        stride, (height, width) = first * 2**k, x.shape[2:]
        each = anchors_of((height, width), stride, [s * stride for s in sizes], x).view(-1, len(sizes), len(RATIOS), 4)
        each = each.transpose(1, 2) if by_ratio else each
        anchors.append(each.reshape(-1, 4) - stride / 2)
    return torch.cat(anchors)


def test_torchvisions_retinanet(tmp_path: Path) -> None:
    """Its anchors are ordered by ratio, ours by size: boxes are compared cell by cell in its order."""
    there = torchvisions("RetinaNet", classes=3)
    uri = saved(tmp_path / "w.pth", there.state_dict())
    model, proof = ours(uri, tmp_path, HEADS["RetinaNet"])
    require_whole(model, proof)
    assert proof.parts["neck"] == (16, 0, 0)  # 3 laterals, 3 outputs, P6, P7
    assert proof.parts["head"] == (18, 0, 0) and proof.parts["classes"] == (0, 0, 2)  # two towers of 4, boxes
    assert model.classes.bias.tolist() == pytest.approx([-math.log(99)] * 27)
    image = rgb_normalized(photo(128))
    with torch.no_grad():
        maps, wanted = model.neck(model.backbone(image)), list(there.backbone(image).values())
        _, codes, anchors = model(image)
        told = there.head.regression_head(wanted)
    for got, want in zip(maps, wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    theirs = decode(told, at_corners(maps, SIZES, by_ratio=True, first=8))
    here = decode(codes, anchors).view(1, -1, len(SIZES), len(RATIOS), 4).transpose(2, 3).reshape(1, -1, 4)
    torch.testing.assert_close(here, theirs, rtol=1e-3, atol=1e-2)


def test_torchvisions_fcos(tmp_path: Path) -> None:
    """Sides from the centers of cells are half a cell longer to the left and above than from their corners."""
    there = torchvisions("FCOS")
    uri = saved(tmp_path / "w.pth", there.state_dict())
    model, proof = ours(uri, tmp_path, HEADS["FCOS"])
    require_whole(model, proof)
    assert proof.parts["neck"] == (16, 0, 0) and proof.parts["head"] == (
        36,
        0,
        0,
    )  # towers 2 x 4 x (conv, norm), 2 more
    assert model.classes.bias.tolist() == pytest.approx([-math.log(99)] * 3)
    image = rgb_normalized(photo(128))
    with torch.no_grad():
        wanted = list(there.backbone(image).values())
        _, sides, centers, _, strides = model(image)
        told, centerness = there.head.regression_head(wanted)
    torch.testing.assert_close(centers, centerness.squeeze(2), rtol=1e-4, atol=1e-4)
    half = torch.tensor([0.5, 0.5, -0.5, -0.5])
    inside = (told > 0.5).all(-1)  # where the ReLU cuts neither
    here, theirs = sides / strides[None, :, None], told + half
    assert inside.float().mean() > 0.5
    torch.testing.assert_close(here[inside], theirs[inside], rtol=1e-3, atol=1e-3)


def test_class_rows_by_name(tmp_path: Path, faster_rcnn, monkeypatch) -> None:
    """Of four classes of the file two are ours: `dog` as it is, `Tin_Can` written in another way; a background."""
    there, uri = faster_rcnn
    monkeypatch.setattr(reading, "_classes", lambda *_: ("Tin_Can", "person", "dog", "tree"))
    model, proof = ours(uri, tmp_path, HEADS["FasterRCNN"], rows="by-name")
    fresh, _ = ours(uri, tmp_path, HEADS["FasterRCNN"])
    require_whole(model, proof)
    assert proof.parts["classes"] == (0, 4, 0)
    assert proof.resized == ("class layer: the rows of tin can, dog; 1 of 3 classes are fresh",)
    score, box = there.roi_heads.box_predictor.cls_score, there.roi_heads.box_predictor.bbox_pred
    rows = model.head.classes.classes.weight
    assert torch.equal(rows[1], score.weight[1]) and torch.equal(rows[2], score.weight[3])
    assert torch.equal(rows[3], score.weight[0]) and torch.equal(rows[0], fresh.head.classes.classes.weight[0])
    assert torch.equal(model.head.boxes.weight[4:8], box.weight[4:8])
    assert torch.equal(model.head.boxes.bias[8:12], box.bias[12:16])


def test_class_rows_need_names(tmp_path: Path, faster_rcnn) -> None:
    with pytest.raises(WeightsError, match=r"no class of these data \(cat, tin can, dog\) .*not named in the weights"):
        ours(faster_rcnn[1], tmp_path, HEADS["FasterRCNN"], rows="by-name")


def test_the_neck_alone_fits_another_head(tmp_path: Path) -> None:
    uri = saved(tmp_path / "w.pth", torchvisions("FCOS").state_dict())
    model, proof = ours(uri, tmp_path, HEADS["RetinaNet"] | {"channels": 64}, start="backbone+neck")
    require_whole(model, proof)
    assert proof.parts["neck"] == (16, 0, 0) and proof.parts["head"] == (0, 0, 18)


def layer(*shape: int) -> dict[str, Tensor]:
    return {"weight": torch.randn(*shape), "bias": torch.randn(shape[0])}


def flattened(layers: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{name}.{kind}": value for name, of in layers.items() for kind, value in of.items()}


STAGES = {"C2": 256, "C3": 512, "C4": 1024, "C5": 2048}
RCNN = {**HEADS["FasterRCNN"], "channels": 16}
RETINA = {**HEADS["RetinaNet"], "channels": 16, "tower": 2}


def detectron2(head: str) -> dict[str, Tensor]:
    seeded()
    levels = STAGES if head == "faster-rcnn" else {k: v for k, v in STAGES.items() if k != "C2"}
    state = {
        k: torch.as_tensor(v)
        for k, v in under("backbone.bottom_up.", randomized(Detectron2ResNet(in_1x1=False))).items()
    }
    layers = {f"backbone.fpn_lateral{k[1]}": layer(16, width, 1, 1) for k, width in levels.items()}
    layers |= {f"backbone.fpn_output{k[1]}": layer(16, 16, 3, 3) for k in levels}
    if head == "retinanet":
        layers |= {"backbone.top_block.p6": layer(16, 2048, 3, 3), "backbone.top_block.p7": layer(16, 16, 3, 3)}
        layers |= {f"head.{t}_subnet.{k}": layer(16, 16, 3, 3) for t in ("cls", "bbox") for k in (0, 2)}
        layers |= {"head.cls_score": layer(9 * 80, 16, 3, 3), "head.bbox_pred": layer(36, 16, 3, 3)}
        return state | flattened(layers)
    rpn = "proposal_generator.rpn_head"
    layers |= {f"{rpn}.conv": layer(16, 16, 3, 3), f"{rpn}.objectness_logits": layer(3, 16, 1, 1)}
    layers |= {f"{rpn}.anchor_deltas": layer(12, 16, 1, 1)}
    layers |= {"roi_heads.box_head.fc1": layer(64, 784), "roi_heads.box_head.fc2": layer(64, 64)}
    layers |= {"roi_heads.box_predictor.cls_score": layer(81, 64), "roi_heads.box_predictor.bbox_pred": layer(320, 64)}
    return state | flattened(layers)


def mmdetection(head: str) -> dict[str, Tensor]:
    seeded()
    c = 32 if head == "fcos" else 16
    levels = list(STAGES.values())[0 if head == "faster-rcnn" else 1 :]
    state = under("backbone.", randomized(OpenMMLabResNet()))
    layers = {f"neck.lateral_convs.{k}.conv": layer(c, width, 1, 1) for k, width in enumerate(levels)}
    layers |= {f"neck.fpn_convs.{k}.conv": layer(c, c, 3, 3) for k in range(len(levels))}
    if head == "faster-rcnn":
        layers |= {"rpn_head.rpn_conv": layer(c, c, 3, 3), "rpn_head.rpn_cls": layer(3, c, 1, 1)}
        layers |= {"rpn_head.rpn_reg": layer(12, c, 1, 1)}
        of = "roi_head.bbox_head"
        layers |= {f"{of}.shared_fcs.0": layer(64, 784), f"{of}.shared_fcs.1": layer(64, 64)}
        return state | flattened(layers | {f"{of}.fc_cls": layer(4, 64), f"{of}.fc_reg": layer(12, 64)})
    layers |= {f"bbox_head.{t}_convs.{k}.conv": layer(c, c, 3, 3) for t in ("cls", "reg") for k in range(2)}
    if head == "retinanet":
        layers |= {"neck.fpn_convs.3.conv": layer(c, 2048, 3, 3), "neck.fpn_convs.4.conv": layer(c, c, 3, 3)}
        return state | flattened(
            layers | {"bbox_head.retina_cls": layer(27, c, 3, 3), "bbox_head.retina_reg": layer(36, c, 3, 3)}
        )
    layers |= {f"neck.fpn_convs.{k}.conv": layer(c, c, 3, 3) for k in (3, 4)}
    layers |= {f"bbox_head.{t}_convs.{k}.gn": layer(c) for t in ("cls", "reg") for k in range(2)}
    layers |= {"bbox_head.conv_cls": layer(3, c, 3, 3), "bbox_head.conv_reg": layer(4, c, 3, 3)}
    return state | flattened(layers | {"bbox_head.conv_centerness": layer(1, c, 3, 3)})


@pytest.mark.parametrize("head", ["faster-rcnn", "retinanet"])
def test_detectron2(tmp_path: Path, head: str) -> None:
    state = detectron2(head)
    uri = saved(tmp_path / "w.pth", {"model": state})
    model, proof = ours(uri, tmp_path, RCNN if head == "faster-rcnn" else RETINA)
    require_whole(model, proof)
    if head == "faster-rcnn":
        assert proof.parts["neck"] == (16, 0, 0) and proof.parts["head"] == (10, 0, 0)
        assert torch.equal(model.layers[3].weight, state["roi_heads.box_head.fc2.weight"])
        return
    # P6 reads C5 there, with 2,048 channels, and P5 here: its weights are fresh, and it is said.
    assert proof.parts["neck"] == (15, 0, 1) and proof.parts["head"] == (10, 0, 0)
    assert proof.fresh == ("neck.coarser.0.weight: of shape 16x2048x3x3 in the weights, 16x16x3x3 here",)
    assert torch.equal(model.codes.weight, state["head.bbox_pred.weight"])  # anchors in our order


@pytest.mark.parametrize("head", ["faster-rcnn", "retinanet", "fcos"])
def test_mmdetection(tmp_path: Path, head: str) -> None:
    state = mmdetection(head)
    told = {"dataset_meta": {"CLASSES": ("a", "dog", "cat")}} if head == "fcos" else {"CLASSES": ("a", "dog", "cat")}
    content = {"meta": {"mmdet_version": "2.28", **told}, "state_dict": state}
    uri = saved(tmp_path / "w.pth", content)
    recipe = {"faster-rcnn": RCNN, "retinanet": RETINA, "fcos": {**RETINA, "head": "fcos", "channels": 32}}[head]
    model, proof = ours(uri, tmp_path, recipe, rows="by-name")
    require_whole(model, proof)
    assert proof.resized == ("class layer: the rows of cat, dog; 1 of 3 classes are fresh",)
    if head == "faster-rcnn":
        assert torch.equal(model.head.classes.classes.weight[2], state["roi_head.bbox_head.fc_cls.weight"][1])
        assert torch.equal(model.head.boxes.weight[:4], state["roi_head.bbox_head.fc_reg.weight"][8:])
        return
    if head == "fcos":
        (said,) = proof.fresh
        assert said.startswith("sides.weight, sides.bias: MMDetection's FCOS tells the sides of boxes in another way")
        assert torch.equal(model.tower[4].bias, state["bbox_head.cls_convs.1.gn.bias"])
        return
    # Row of anchor 1 here: size 0, ratio 1; there ratio 1, size 0: anchor 3. Class 0 here (cat) is class 2 there.
    assert torch.equal(model.classes.weight[3 * 1 + 0], state["bbox_head.retina_cls.weight"][3 * 3 + 2])


@pytest.mark.parametrize(
    ("change", "start", "words"),
    [
        ({"channels": 128}, "detector", "channels = 32"),
        ({"levels": ("C3", "C4", "C5")}, "backbone+neck", r'levels = \["C2", "C3", "C4", "C5"\]'),
        ({"published": False}, "detector", "published = true"),
        ({"head": "retinanet"}, "detector", 'its head is faster-rcnn.*Set head = "faster-rcnn"'),
        ({"neck": "dc5", "levels": ("C5",), "published": False}, "backbone+neck", "has no neck"),
    ],
)
def test_recipes_that_do_not_fit_are_told_why(faster_rcnn, change: dict, start: str, words: str) -> None:
    facts = read_detector(resolve(faster_rcnn[1]), True, print).facts
    settings = {"name": "r", "updates": 1, "batch_size": 2, "lr": 1e-3} | HEADS["FasterRCNN"] | change
    if not settings["published"]:
        del settings["published"]
    fault = "; ".join(misfits(facts, recipe_of(settings), start))  # type: ignore[arg-type]
    assert re.search(words, fault), fault


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (detection.fasterrcnn_resnet50_fpn_v2, "its pyramid has norms"),
        (detection.retinanet_resnet50_fpn_v2, "its towers have norms"),
        (detection.maskrcnn_resnet50_fpn, ""),
    ],
)
def test_what_no_recipe_builds_is_refused(build: Any, words: str) -> None:
    with torch.device("meta"):
        names = build(weights=None, weights_backbone=None).state_dict()
    if not words:  # a Mask R-CNN is a Faster R-CNN with something more
        assert layout_of(names, Path("w.pth")).head == "faster-rcnn"
        return
    with pytest.raises(WeightsError, match=f"w.pth: {words}.*start = .backbone"):
        layout_of(names, Path("w.pth"))


def test_a_classifier_has_no_neck(tmp_path: Path) -> None:
    body = randomized(torchvision.models.resnet.ResNet(torchvision.models.resnet.Bottleneck, [2, 2, 2, 2]))
    uri = saved(tmp_path / "w.pth", body.state_dict())
    with pytest.raises(WeightsError, match=r"no neck and no head of a detector that is known.*start = .backbone"):
        read_detector(resolve(uri), True, print)
    with pytest.raises(WeightsError, match=r"timm:resnet18\.a1_in1k: a classifier of timm, which have no neck"):
        read_detector(resolve("timm:resnet18.a1_in1k"), True, print)
