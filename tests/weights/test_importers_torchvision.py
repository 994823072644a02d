"""torchvision's detectors, segmenters and classifiers and timm's classifiers: imported and run against themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import detection, segmentation
from torchvision.models.detection import backbone_utils

from headstart.weights.importers import layouts
from headstart.weights.importers.imported import Imported
from headstart.weights.importers.resnet_names import resnet_name, vit_name
from support.sources import assert_same_stages, photo, randomized, rgb_normalized, seeded, stages_of

FROZEN = torchvision.ops.misc.FrozenBatchNorm2d


def resnet(depths: tuple[int, ...] = (2, 2, 2, 2), **options: Any) -> nn.Module:
    """timm's resnet26, made by torchvision."""
    return torchvision.models.resnet.ResNet(torchvision.models.resnet.Bottleneck, list(depths), **options)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def resnet_detector(kind: str, depths: tuple[int, ...]) -> nn.Module:
    seeded()
    body = resnet(depths, norm_layer=FROZEN)
    last = {"returned_layers": [2, 3, 4]} if kind in ("RetinaNet", "FCOS") else {}
    pyramid = backbone_utils._resnet_fpn_extractor(body, 5, **last)
    return randomized(getattr(detection, kind)(pyramid, num_classes=2 if kind == "KeypointRCNN" else 91))


@pytest.mark.parametrize(
    ("kind", "depths", "eps"),
    [
        ("FasterRCNN", (3, 4, 6, 3), 0.0),
        ("MaskRCNN", (2, 2, 2, 2), None),
        ("KeypointRCNN", (2, 2, 2, 2), None),
        ("RetinaNet", (3, 4, 6, 3), 0.0),
        ("FCOS", (2, 2, 2, 2), None),
    ],
)
def test_resnet_detectors(tmp_path: Path, kind: str, depths: tuple[int, ...], eps: float | None) -> None:
    """The trap: torchvision runs the first COCO weights of these detectors with ResNet-50 with epsilon 0."""
    model = resnet_detector(kind, depths)
    if eps is not None:
        detection._utils.overwrite_eps(model, eps)
    path = saved(tmp_path / "w.pth", model.state_dict())
    with torch.no_grad():
        expected = {f"C{int(name) + 2}": values for name, values in _body(model, kind).items()}
    spec, report = assert_same_stages(path, expected)
    assert (spec.layout, spec.norm_eps) == ("torchvision-detection", eps)
    assert spec.backbone == ("resnet50" if len(depths) and depths[2] == 6 else "resnet26")
    assert report.why("backbone.fpn") == "feature pyramid"
    assert report.by_stage["backbone.fpn"].left_over > 0 and report.by_stage["layer4"].matched > 0


def _body(model: nn.Module, kind: str) -> dict[str, Tensor]:
    maps = model.backbone.body(rgb_normalized(photo()))
    return {str(int(name) + (1 if kind in ("RetinaNet", "FCOS") else 0)): value for name, value in maps.items()}


def test_the_second_version_of_faster_rcnn_has_the_usual_epsilon() -> None:
    with torch.device("meta"):
        state = detection.fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None).state_dict()
    assert found(state).norm_eps is None
    state = {key: value for key, value in state.items() if "rpn.head.conv.1" not in key}
    state["roi_heads.box_predictor.cls_score.weight"] = torch.zeros(7, 4)
    other = found(state)  # of other data: not torchvision's own, and the note says what to do if it is
    assert other.norm_eps is None and "write a card with norm_eps = 0" in other.notes[0]


def found(state: dict[str, Tensor]) -> Imported:
    return layouts.recognize(layouts.as_contents(Path("w.pth"), state))


def layers_of(model: nn.Module, inputs: Tensor, *numbers: int) -> dict[str, Tensor]:
    maps, x = {}, inputs
    with torch.no_grad():
        for number, layer in enumerate(model.children()):
            x = layer(x)
            if number in numbers:
                maps[f"C{numbers.index(number) + 1}"] = x.clone()
    return maps


MOBILE = (1, 3, 6, 12, 16)
"""Layers of torchvision's MobileNetV3-Large that end a stride."""


def test_mobilenet_detectors(tmp_path: Path) -> None:
    seeded()
    model = randomized(detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None))
    path = saved(tmp_path / "w.pth", model.state_dict())
    spec, _ = assert_same_stages(path, layers_of(model.backbone.body, rgb_normalized(photo()), *MOBILE))
    assert spec.backbone == "tv-mobilenet_v3_large"


@pytest.mark.slow
def test_ssd(tmp_path: Path) -> None:
    """VGG-16 in two parts; 76 pixels, where the third pooling rounds up (19 to 10), as it does at 300."""
    seeded()
    model = detection.ssd300_vgg16(weights=None, weights_backbone=None).eval()
    path = saved(tmp_path / "w.pth", model.state_dict())
    mean = torch.tensor(model.transform.image_mean).view(1, 3, 1, 1)
    inputs = (photo(76).float() / 255 - mean) / torch.tensor(model.transform.image_std).view(1, 3, 1, 1)
    with torch.no_grad():
        c3 = model.backbone.features(inputs)
        c4 = model.backbone.extra[0][:7](c3)
    assert c3.shape[2] == 10
    spec, _ = assert_same_stages(path, {"C3": c3, "C4": c4}, side=76)
    assert spec.backbone == "vgg16[pool3=ceil]"


def test_ssdlite(tmp_path: Path) -> None:
    seeded()
    model = randomized(detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None))
    path = saved(tmp_path / "w.pth", model.state_dict())
    inputs = (photo(64).float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        c4 = model.backbone.features[0](inputs)
        c5 = model.backbone.features[1](c4)
        stem = model.backbone.features[0]
        c3 = stem[:7](inputs)
    spec, _ = assert_same_stages(path, {"C3": c3, "C5": c5})
    assert spec.backbone == "tv-mobilenet_v3_large[tail=reduced]"


@pytest.mark.parametrize("kind", ["DeepLabV3", "FCN"])
def test_resnet_segmenters_are_dilated(tmp_path: Path, kind: str) -> None:
    seeded()
    body = resnet(replace_stride_with_dilation=[False, True, True])
    build = segmentation.deeplabv3._deeplabv3_resnet if kind == "DeepLabV3" else segmentation.fcn._fcn_resnet
    model = randomized(build(body, 21, True))
    spec, _ = assert_same_stages(
        saved(tmp_path / "w.pth", model.state_dict()), stages_of(body, rgb_normalized(photo()))
    )
    assert spec.backbone == "resnet26[output_stride=8]"


@pytest.mark.parametrize("kind", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_mobilenet_segmenters_are_dilated(tmp_path: Path, kind: str) -> None:
    seeded()
    model = randomized(getattr(segmentation, kind)(weights=None, weights_backbone=None))
    path = saved(tmp_path / "w.pth", model.state_dict())
    spec, _ = assert_same_stages(path, layers_of(model.backbone, rgb_normalized(photo()), *MOBILE))
    assert spec.backbone == "tv-mobilenet_v3_large[dilated=yes]"


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d"])
def test_torchvision_classifiers(tmp_path: Path, name: str) -> None:
    seeded()
    model = randomized(getattr(torchvision.models, name)(weights=None))
    spec, _ = assert_same_stages(
        saved(tmp_path / "w.pth", model.state_dict()), stages_of(model, rgb_normalized(photo()))
    )
    assert (spec.backbone, spec.layout) == (name, "classifier")
    assert spec.lineage == ("labels of 1000 classes (data not stated in the file)",)


def test_torchvisions_mobilenet(tmp_path: Path) -> None:
    seeded()
    model = randomized(torchvision.models.mobilenet_v3_large(weights=None))
    path = saved(tmp_path / "m.pth", model.state_dict())
    assert_same_stages(path, layers_of(model.features, rgb_normalized(photo()), *MOBILE))


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19", "vgg16_bn"])
def test_vggs_are_told_by_their_shapes(name: str) -> None:
    with torch.device("meta"):
        state = getattr(torchvision.models, name)(weights=None).state_dict()
    one = found(state)
    assert one.backbone == name and set(one.names) == {k for k in state if "features" in k and "num_batches" not in k}


@pytest.mark.parametrize("name", ["resnet18d", "resnet50c"])
def test_timm_classifiers_by_names_and_shapes(tmp_path: Path, name: str) -> None:
    seeded()
    model = randomized(timm.create_model(name))
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)
    expected = stages_of(model, rgb_normalized(photo()))
    assert assert_same_stages(path, expected)[0].backbone == name


@pytest.mark.parametrize(
    "name",
    [
        "resnet34",
        "resnet101",
        "resnet152",
        "resnet26d",
        "resnet101d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet101_2",
    ],
)
def test_resnets_are_told_by_their_shapes(name: str) -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in timm.create_model(name).state_dict().items()}
    assert resnet_name(shapes) == name
    assert resnet_name(shapes | {"layer4.0.se.fc1.weight": (1,)}) is None
    assert resnet_name({key: shape for key, shape in shapes.items() if not key.startswith("layer4.")}) is None


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "vit_small_patch8_224", "vit_base_patch32_224", "vit_large_patch16_224"]
)
def test_vits_are_told_by_their_shapes(name: str) -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in timm.create_model(name).state_dict().items()}
    assert vit_name(shapes) == name
    assert vit_name(shapes | {"pos_embed": (1, 5, shapes["pos_embed"][2])}) is None


def test_a_hub_files_config_names_any_network_of_timm(tmp_path: Path) -> None:
    seeded()
    model = timm.create_model("convnext_atto").eval()
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)
    facts = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "license": "apache-2.0"}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "convnext_atto", "pretrained_cfg": facts}))
    with torch.no_grad():
        expected = model.forward_intermediates((photo().float() / 255 - 0.5) / 0.25, intermediates_only=True)[-1]
    spec, _ = assert_same_stages(path, {"C5": expected})
    assert spec.backbone == "convnext_atto"
