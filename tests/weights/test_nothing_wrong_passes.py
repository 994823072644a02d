"""Files whose names and shapes fit a network that computes something else: none passes `weights verify`.

What is refused outright is in `test_accounts.py`: one tensor missing, a first convolution of one channel, CLIP's ViT.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.models import googlenet

from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET
from headstart.weights.cards import resolve
from headstart.weights.checkpoint import load
from headstart.weights.checks.scenes import scenes
from headstart.weights.checks.strides import StridePlacement
from headstart.weights.commands import Verified, verify
from headstart.weights.importers.networks import WAYS, input_of
from support.references.calibrated import ROOT, calibrated, staged
from support.sources import randomized


def verified(path: Path, net: nn.Module, hint: str = "") -> Verified:
    torch.save(net.state_dict(), path)
    return verify(f"file:{path}" + (f"@{hint}" if hint else ""))


def test_a_blurred_network_that_was_never_trained_is_not_taken_for_a_plain_one(tmp_path: Path) -> None:
    """Its norms are as they began, so that they cannot tell: the file has to say which it is."""
    for made in ("resnetblur18", "resnet18"):
        found = verified(tmp_path / "w.pth", timm.create_model(made))
        (warning,) = found.report.warnings
        assert not found.good and "Name the one that it is: file:PATH@resnet18." in warning
        assert warning.startswith("taken for resnet18, whose names and shapes are also those of resnetblur18")
        assert "(all means are 0 and all variances 1, as before any training)" in warning
        assert verified(tmp_path / "w.pth", timm.create_model(made), made).good


@pytest.mark.parametrize(
    ("made", "taken_for"),
    [("resnetblur18", "resnet18"), pytest.param("resnetaa34d", "resnet34d", marks=pytest.mark.slow)],
)
def test_a_trained_network_with_other_pooling_is_found_out_by_its_norms(
    tmp_path: Path, made: str, taken_for: str
) -> None:
    images = scenes(12, 96)
    net = calibrated(made, images)
    found = verified(tmp_path / "w.pth", net)
    assert resolve(f"file:{tmp_path / 'w.pth'}").backbone == taken_for
    assert any(f"Name it, if it is that: file:PATH@{made}." in warning for warning in found.report.warnings)
    assert verified(tmp_path / "w.pth", net, made).good
    assert verified(tmp_path / "w.pth", calibrated(taken_for, images)).good


@pytest.mark.slow
def test_where_the_stride_is_is_said_and_a_contradiction_found(tmp_path: Path) -> None:
    net = calibrated("resnet26[stride_in=conv1]", scenes(12, 224)[6:])
    found = verified(tmp_path / "w.pth", net)
    assert "strides are taken to be in the 3x3 convolutions, as in torchvision and timm: no tensor shows it" in (
        found.report.notes
    )
    assert any("stride of the blocks in conv2, and the norms remember it in conv1" in w for w in found.report.warnings)
    named = verified(tmp_path / "w.pth", net, "resnet26[stride_in=conv1]")
    assert named.good and any("in conv1, and the norms remember it so" in note for note in named.report.notes)


def test_a_placement_is_judged_by_how_much_nearer_it_is() -> None:
    assert StridePlacement("conv2", 0.1, 0.14).verdict == "agrees"
    assert StridePlacement("conv2", 0.14, 0.1).verdict == "contradicts"
    unclear = StridePlacement("conv1", 0.1, 0.11)
    assert unclear.verdict == "undecided" and "in conv1, as is assumed: the norms cannot tell" in str(unclear)


@staged
@pytest.mark.usefixtures("trusted_code")
def test_a_shufflenet_with_channels_in_another_order(tmp_path: Path) -> None:
    """Trained with channels split by even and odd; torchvision, whose names its tensors get, splits them in halves."""
    net = load(resolve("shufflenet_v2_initial.toml", ROOT / "examples"), 0).backbone
    theirs = build_backbone("tv-shufflenet_v2_x0_5")
    state = theirs.state_dict()
    for key, value in net.state_dict().items():
        for old, new in (("first_conv", "conv1"), ("branch_proj", "branch1"), ("branch_main", "branch2")):
            key = key.replace(old, new)
        assert state[key].shape == value.shape
        state[key] = value
    theirs.load_state_dict(state)
    found = verified(tmp_path / "w.pth", theirs, "tv-shufflenet_v2_x0_5")
    assert not found.good
    assert found.report.consistency is not None and found.report.consistency.verdict == "contradicts"


def test_googlenet_is_read_with_the_input_that_its_published_weights_take(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = randomized(googlenet(weights=None, init_weights=False, transform_input=True))
    torch.save(model.state_dict(), tmp_path / "g.pth")
    spec = resolve(f"file:{tmp_path / 'g.pth'}")
    assert (spec.backbone, spec.preprocessing) == ("tv-googlenet", WAYS["half"])
    loaded = load(spec, 0)
    assert [(stage.name, stage.channels, stage.stride) for stage in loaded.backbone.stages] == [
        *(("C1", 64, 2), ("C2", 192, 4), ("C3", 480, 8), ("C4", 832, 16), ("C5", 1024, 32))
    ]
    images = torch.from_numpy(np.array(scenes(2, 96))).permute(0, 3, 1, 2)
    seen: list[torch.Tensor] = []
    model.inception5b.register_forward_hook(lambda _, inputs, output: seen.append(output))
    with torch.no_grad():
        model(IMAGENET.apply(images))
        maps = loaded.backbone.eval()(loaded.preprocessing.apply(images))
    torch.testing.assert_close(maps["C5"], seen[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "way", "note"),
    [
        ("resnet50", "", ""),
        ("inception_v3", "half", "input as published weights of inception_v3 take it (mean 0.5, std 0.5)"),
        ("vit_base_patch32_clip_224[eps=1e-5]", "clip", "input as published weights of vit_base_patch32_clip_224 take"),
        ("vit_base_patch16_224", "", "which is assumed: published weights of vit_base_patch16_224 differ"),
    ],
)
def test_an_input_that_no_file_states_is_that_of_published_weights(name: str, way: str, note: str) -> None:
    taken, said = input_of(name)
    assert taken == (WAYS[way] if way else IMAGENET)
    assert note in said and bool(said) == bool(note)
