"""Every tensor of a backbone is filled or the file is refused by name; so are parts that the backbone lacks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from headstart.errors import WeightsError
from headstart.weights.cards import WeightsSpec, resolve
from headstart.weights.checkpoint import load
from support.sources import randomized


def spec_of(path: Path, backbone: str) -> WeightsSpec:
    return resolve(f"file:{path.name}@{backbone}", path.parent)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def refusal(spec: WeightsSpec) -> str:
    with pytest.raises(WeightsError) as caught:
        load(spec, 0)
    return str(caught.value)


def shuffled_norms(model: nn.Module) -> nn.Module:
    return randomized(model)


@pytest.mark.parametrize("name", ["layer3.1.bn1.bias", "layer4.1.conv2.weight", "bn1.running_var"])
def test_a_file_that_lacks_one_tensor_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    state = shuffled_norms(timm.create_model("resnet34")).state_dict()
    del state[name]
    message = refusal(spec_of(path := saved(tmp_path / "w.pth", state), "resnet34"))
    assert message.startswith(f"{path} fills 179 of the 180 tensors of backbone resnet34 (99.4%; every one is needed).")
    assert f"missing: {name}" in message and "get a whole one, or name its backbone" in message


def test_a_gray_first_convolution_is_said_and_can_be_chosen(tmp_path: Path) -> None:
    state = shuffled_norms(timm.create_model("resnet18")).state_dict()
    rgb = state["conv1.weight"]
    state["conv1.weight"] = rgb.sum(dim=1, keepdim=True)
    path = saved(tmp_path / "w.pth", state)
    message = refusal(resolve(f"file:{path}"))
    assert "conv1.weight takes 1 channel ((64, 1, 7, 7)), and backbone resnet18 gives it three" in message
    assert "#repeat" in message and 'first_convolution = "repeat" in a weights card' in message
    loaded = load(resolve(f"file:{path}#repeat"), 0)
    mean = state["conv1.weight"].expand(-1, 3, -1, -1) / 3
    torch.testing.assert_close(loaded.backbone.conv1.weight.data, mean)
    assert any("took 1 channels: they were repeated over three, times 1/3" in note for note in loaded.report.notes)
    state["conv1.weight"] = torch.cat([rgb, 2 * rgb], dim=1)
    twice = resolve(f"file:{saved(tmp_path / 'six.pth', state)}@resnet18#sum")
    torch.testing.assert_close(load(twice, 0).backbone.conv1.weight.data, 3 * rgb)
    assert twice.identity()["first_convolution"] == "sum"


@pytest.mark.slow
def test_parts_that_the_backbone_lacks_are_refused_unless_a_card_says_they_are_of_a_head(tmp_path: Path) -> None:
    """CLIP's ViT has a norm before its blocks; without it the features are off by 46 %."""
    state = timm.create_model("vit_base_patch32_clip_224").state_dict()
    path = saved(tmp_path / "w.pth", state)
    message = refusal(spec_of(path, "vit_base_patch32_224"))
    assert "patch_embed.proj.bias" in message  # CLIP's has none
    with pytest.raises(WeightsError, match="vit_base_patch32_clip_224, vit_base_patch32_clip_quickgelu_224"):
        resolve(f"file:{path}")
    assert load(resolve(f"file:{path}@vit_base_patch32_clip_224"), 0).report.coverage == 1
    plain = shuffled_norms(timm.create_model("resnet18")).state_dict() | {"extra.weight": torch.ones(2)}
    message = refusal(spec_of(saved(tmp_path / "more.pth", plain), "resnet18"))
    assert "has 1 tensors that backbone resnet18 lacks, among those of the network: extra.weight" in message
    assert 'say so in a weights card: ignore = ["extra"]' in message
    spec = dataclasses.replace(spec_of(tmp_path / "more.pth", "resnet18"), ignore=("extra.",))
    assert load(spec, 0).report.coverage == 1
