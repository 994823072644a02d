"""Detectron2, Caffe2 Detectron, OpenMMLab and Hugging Face's DETRs: imported, and equal to a model of that layout."""

from __future__ import annotations

import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.models.backbones.preprocessing import IMAGENET
from support.sources import (
    STD,
    Detectron2ResNet,
    OpenMMLabResNet,
    assert_same_stages,
    bgr_255,
    photo,
    randomized,
    rgb_normalized,
    seeded,
    stages_of,
    under,
)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def expected(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return model(inputs)


def numpy_of(state: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in state.items()}


HEAD = {"proposal_generator.rpn_head.conv.weight": torch.ones(2, 2), "roi_heads.box_head.fc1.weight": torch.ones(2, 2)}


def test_detectron2_pyramid_of_msra_weights(tmp_path: Path) -> None:
    """A model zoo file: numpy in a pickle, BGR 0..255, the stride in the 1x1 convolution."""
    seeded()
    model = randomized(Detectron2ResNet(in_1x1=True), wide_input=True)
    content = {
        "model": numpy_of(
            {**under("backbone.bottom_up.", model), "backbone.fpn_lateral2.weight": torch.ones(2), **HEAD}
        ),
        "__author__": "Detectron2 Model Zoo",
    }
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(content))
    spec, report = assert_same_stages(tmp_path / "w.pkl", expected(model, bgr_255(photo())))
    assert (spec.layout, spec.backbone) == ("detectron2", "resnet26[stride_in=conv1]")
    assert spec.preprocessing.channel_order == "bgr" and spec.preprocessing.std == (1.0, 1.0, 1.0)
    assert (report.why("backbone.fpn"), report.why("roi_heads")) == ("feature pyramid", "heads of regions")


def test_detectron2_training_checkpoint_of_torchvisions_weights(tmp_path: Path) -> None:
    """.pth; RGB with ImageNet's std, the stride in the 3x3 convolution: told by the first convolution's scale."""
    seeded()
    model = randomized(Detectron2ResNet(in_1x1=False))
    path = saved(
        tmp_path / "w.pth",
        {"model": {**under("backbone.bottom_up.", model), **HEAD}, "iteration": 90000, "optimizer": {"state": {}}},
    )
    spec, _ = assert_same_stages(path, expected(model, rgb_normalized(photo())))
    assert spec.backbone == "resnet26"


def test_detectron2_mean_and_std_in_the_file_count_for_more(tmp_path: Path) -> None:
    seeded()
    model = randomized(Detectron2ResNet(in_1x1=False))
    state = {
        **under("backbone.bottom_up.", model),
        **HEAD,
        "pixel_std": 255 * STD.flatten().flip(0).view(3, 1, 1),
        "pixel_mean": torch.tensor([103.53, 116.28, 123.675]).view(3, 1, 1),
    }
    path = saved(tmp_path / "w.pth", {"model": state})
    spec, _ = assert_same_stages(path, expected(model, bgr_255(photo()) / (255 * STD.flip(1))))
    assert spec.preprocessing.channel_order == "bgr"


def test_detectron2_c4_keeps_c5_in_the_head(tmp_path: Path) -> None:
    seeded()
    model = randomized(Detectron2ResNet(in_1x1=True), wide_input=True)
    state = {
        ("roi_heads." if name.startswith("res5.") else "backbone.") + name: value
        for name, value in model.state_dict().items()
    }
    path = saved(tmp_path / "w.pth", {"model": {**state, **HEAD}})
    spec, report = assert_same_stages(path, expected(model, bgr_255(photo())))
    assert spec.backbone == "resnet26[stride_in=conv1]"
    assert "C5 is the head's (C4 model)" in report.source


def test_detectron2_dc5_is_dilated(tmp_path: Path) -> None:
    """Both blocks of the last stage have dilation 2; torchvision's first one would keep 1."""
    seeded()
    model = randomized(Detectron2ResNet(in_1x1=True, dilated=True), wide_input=True)
    path = saved(tmp_path / "w.pth", {"model": {**under("backbone.", model), **HEAD}})
    spec, _ = assert_same_stages(path, expected(model, bgr_255(photo())))
    assert spec.backbone == "resnet26[first_dilation=own,output_stride=16,stride_in=conv1]"


def caffe2_name(name: str) -> str:
    """`res2.0.conv1.norm.weight` -> `res2_0_branch2a_bn_s`."""
    name = name.replace("stem.conv1.norm.", "res_conv1_bn.").replace("stem.conv1.", "conv1.")
    for ours, theirs in (("shortcut", "branch1"), ("conv1", "branch2a"), ("conv2", "branch2b"), ("conv3", "branch2c")):
        name = name.replace(f".{ours}.", f".{theirs}.")
    name = name.replace("norm.", "bn.").replace(".weight", "_w").replace("bn_w", "bn_s").replace("bn.bias", "bn_b")
    return name.replace(".", "_")


@pytest.mark.parametrize("affine", [True, False], ids=["AffineChannel", "whole norms"])
def test_caffe2_detectron(tmp_path: Path, affine: bool) -> None:
    seeded()
    model = randomized(Detectron2ResNet(in_1x1=True), wide_input=True)
    if affine:
        for name, value in model.state_dict().items():
            if name.endswith("running_mean"):
                value.zero_()
            if name.endswith("running_var"):
                value.fill_(1 - 1e-5)  # the layer is scale and bias alone
        for module in model.modules():
            if hasattr(module, "norm"):
                module.norm.weight.mul_(0.6 / module.norm.weight.mean())
        model.stem.conv1.norm.weight.mul_(0.3)
    blobs = {}
    for name, value in model.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            if not affine:
                part = "rm" if name.endswith("mean") else "riv"
                blobs[caffe2_name(name.rpartition(".")[0] + ".x")[:-2] + f"_{part}"] = value.numpy()
        else:
            blobs[caffe2_name(name)] = value.numpy()
    assert {"conv1_w", "res_conv1_bn_s", "res2_0_branch1_w", "res3_1_branch2b_bn_b"} <= set(blobs)
    blobs |= {"res2_0_branch2a_w_momentum": np.ones(2, np.float32), "rpn_cls_logits_fpn2_w": np.ones(2, np.float32)}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"blobs": blobs, "cfg": "MODEL: {}"}, protocol=2))
    spec, _ = assert_same_stages(tmp_path / "w.pkl", expected(model, bgr_255(photo())))
    assert (spec.layout, spec.backbone) == ("caffe2-detectron", "resnet26[stride_in=conv1]")


NECK = {"neck.lateral_convs.0.conv.weight": torch.ones(2, 2)}


@pytest.mark.parametrize("caffe", [False, True], ids=["pytorch", "caffe"])
@pytest.mark.parametrize("told", [True, False], ids=["configuration", "scale"])
def test_mmdetection_styles(tmp_path: Path, caffe: bool, told: bool) -> None:
    seeded()
    model = randomized(OpenMMLabResNet(caffe=caffe), wide_input=caffe)
    mean, std = (
        ("[103.53, 116.28, 123.675]", "[1.0, 1.0, 1.0]")
        if caffe
        else ("[123.675, 116.28, 103.53]", "[58.395, 57.12, 57.375]")
    )
    style = "caffe" if caffe else "pytorch"
    config = (
        f"img_norm_cfg = dict(\n    mean={mean}, std={std}, to_rgb={not caffe})\n"
        f"model = dict(\n    backbone=dict(type='ResNet', style='{style}'),\n    neck=dict())"
    )
    meta = {"mmdet_version": "2.28", "config": config, "CLASSES": ("a", "b")} if told else {}
    path = saved(tmp_path / "w.pth", {"meta": meta, "state_dict": OrderedDict({**under("backbone.", model), **NECK})})
    inputs = bgr_255(photo()) if caffe else rgb_normalized(photo())
    spec, _ = assert_same_stages(path, expected(model, inputs))
    assert (spec.layout, spec.backbone) == ("mmdetection", "resnet26[stride_in=conv1]" if caffe else "resnet26")
    assert told or caffe or spec.preprocessing == IMAGENET


class ConfigDict(dict):
    """Stands for a class of MMCV that pickles itself into `meta`; here it is importable, which changes nothing."""


def test_mmdetections_openimages_detector(tmp_path: Path) -> None:
    """601 classes and a background; a configuration object in `meta` that is not loaded."""
    seeded()
    model = randomized(OpenMMLabResNet())
    state = {**under("backbone.", model), "roi_head.bbox_head.fc_cls.weight": torch.ones(602, 4), **NECK}
    path = saved(tmp_path / "w.pth", {"meta": ConfigDict(hooks=1), "state_dict": state})
    spec, _ = assert_same_stages(path, expected(model, rgb_normalized(photo())))
    assert spec.lineage == ("ImageNet-1k labels", "OpenImages v6 boxes (told by the number of outputs)")


@pytest.mark.parametrize(("deep", "averaged", "name"), [(True, True, "resnet26d"), (True, False, "resnet50c")])
def test_mmsegmentations_deep_stems(tmp_path: Path, deep: bool, averaged: bool, name: str) -> None:
    """ResNetV1d; and ResNetV1c of a dilated segmenter, whose first dilated blocks keep the stage's before."""
    seeded()
    dilated = not averaged
    model = OpenMMLabResNet(
        deep_stem=deep,
        avg_down=averaged,
        dilations=(1, 1, 2, 4) if dilated else (1, 1, 1, 1),
        contract=dilated,
        depths=(3, 4, 6, 3) if dilated else (2, 2, 2, 2),
    )
    randomized(model)
    config = (
        "model=dict(backbone=dict(type='ResNetV1c', dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), "
        "style='pytorch', contract_dilation=True), decode_head=dict())"
    )
    head = {"decode_head.conv_seg.weight": torch.ones(2, 2)} if dilated else NECK
    meta = {"mmseg_version": "0.1", "config": config} if dilated else {}
    path = saved(tmp_path / "w.pth", {"meta": meta, "state_dict": {**under("backbone.", model), **head}})
    spec, _ = assert_same_stages(path, expected(model, rgb_normalized(photo())))
    assert spec.backbone == name + ("[output_stride=8]" if dilated else "")


def test_a_segmenter_without_configuration_is_taken_to_be_dilated_and_says_so(tmp_path: Path) -> None:
    seeded()
    model = randomized(OpenMMLabResNet(dilations=(1, 1, 2, 4), contract=True))
    state = {**under("backbone.", model), "decode_head.conv_seg.weight": torch.ones(2, 2)}
    path = saved(tmp_path / "w.pth", {"state_dict": state})
    spec, report = assert_same_stages(path, expected(model, rgb_normalized(photo())))
    assert spec.backbone == "resnet26[output_stride=8]"
    assert any("no configuration; its backbone is taken to be dilated" in n for n in report.notes)


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.setitem(os.environ, name, "1")
    return pytest.importorskip("transformers")


TINY = {
    "encoder_layers": 1,
    "decoder_layers": 1,
    "d_model": 16,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "num_queries": 3,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
}


def test_detr_of_hugging_face(tmp_path: Path, transformers: Any) -> None:
    seeded()
    body = transformers.TimmBackboneConfig(backbone="resnet18", use_pretrained_backbone=False, out_indices=[1, 2, 3, 4])
    config = transformers.DetrConfig(use_timm_backbone=False, backbone_config=body, **TINY)
    model = randomized(transformers.DetrForObjectDetection(config))
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        maps = model.model.backbone.model(rgb_normalized(photo()))
    maps = maps.feature_maps if hasattr(maps, "feature_maps") else maps
    spec, _ = assert_same_stages(tmp_path / "model.safetensors", {f"C{i + 2}": values for i, values in enumerate(maps)})
    assert (spec.layout, spec.backbone) == ("huggingface", "resnet18")


@pytest.mark.parametrize(
    ("kind", "widths", "name"),
    [
        ("basic", [64, 128, 256, 512], "resnet18d[first_shortcut=projection]"),
        ("bottleneck", [256, 512, 1024, 2048], "resnet26d"),
    ],
)
def test_rt_detr_of_hugging_face(tmp_path: Path, transformers: Any, kind: str, widths: list[int], name: str) -> None:
    """Input is 0..1 and nothing else. With basic blocks the first stage has a projection that timm's has not."""
    seeded()
    body = transformers.RTDetrResNetConfig(
        layer_type=kind, depths=[2, 2, 2, 2], hidden_sizes=widths, out_features=["stage1", "stage2", "stage3", "stage4"]
    )
    config = transformers.RTDetrConfig(
        backbone_config=body,
        encoder_hidden_dim=16,
        encoder_in_channels=widths[1:],
        num_denoising=0,
        **{**TINY, "encoder_layers": 1},
    )
    model = randomized(transformers.RTDetrForObjectDetection(config))
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        maps = model.model.backbone.model(photo().float() / 255).feature_maps
    spec, _ = assert_same_stages(tmp_path / "model.safetensors", {f"C{i + 2}": values for i, values in enumerate(maps)})
    assert spec.backbone == name and spec.preprocessing.std == (1.0, 1.0, 1.0)


def test_the_original_detr_dilated(tmp_path: Path) -> None:
    """torchvision's ResNet under `backbone.0.body.`; the arguments in the file say that C5 is dilated (DC5)."""
    import torchvision

    seeded()
    model = randomized(
        torchvision.models.resnet.ResNet(
            torchvision.models.resnet.Bottleneck, [2, 2, 2, 2], replace_stride_with_dilation=[False, False, True]
        )
    )
    state = {k: v for k, v in under("backbone.0.body.", model).items() if ".fc." not in k}
    content = {
        "model": {**state, "transformer.encoder.layers.0.linear1.weight": torch.ones(2)},
        "args": argparse.Namespace(dilation=True, backbone="resnet50"),
    }
    path = saved(tmp_path / "w.pth", content)
    spec, report = assert_same_stages(path, stages_of(model, rgb_normalized(photo())))
    assert (spec.layout, spec.backbone) == ("huggingface", "resnet26[output_stride=16]")
    assert "say dilation=True" in report.source
