"""The norms' memory against what a network computes: right and wrong networks, and what cannot be told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.weights.cards import resolve
from headstart.weights.checkpoint import load
from headstart.weights.checks import consistency as module
from headstart.weights.checks.consistency import consistency, judge
from headstart.weights.checks.scenes import scenes
from headstart.weights.commands import verify
from headstart.weights.photographs import photographs
from support.references.calibrated import ROOT, calibrated, staged


def test_scenes_have_the_statistics_of_photographs_and_are_the_same_again() -> None:
    images = scenes(16, 96)
    assert images.shape == (16, 96, 96, 3) and not images.flags.writeable
    assert np.array_equal(images, scenes.__wrapped__(16, 96))
    values = images / 255
    assert values.mean(axis=(0, 1, 2)) == pytest.approx([0.455, 0.426, 0.377], abs=0.06)  # 64 of ImageNet's
    assert values.std(axis=(0, 1, 2)).mean() == pytest.approx(0.24, abs=0.03)
    steps = np.abs(np.diff(values.mean(axis=3), axis=2))
    assert steps.mean() == pytest.approx(0.032, abs=0.012)


def test_a_network_that_fits_its_norms_agrees_and_broken_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IMAGES", 6)
    net = calibrated("resnet18", scenes(12, 96)[6:])
    right = consistency(net, IMAGENET)
    assert right.verdict == "agrees" and right.norms == 20 and "20 norms)" in str(right)
    bytes_ = Preprocessing("rgb", 1.0, (0.0,) * 3, (1.0,) * 3)
    assert consistency(net, bytes_).verdict == "contradicts"
    for part in [part for part in net.modules() if isinstance(part, nn.Conv2d)][1::2]:
        part.weight.data = part.weight.data.flip(1)
    assert consistency(net, IMAGENET).verdict == "contradicts"


def test_what_cannot_be_told_is_said() -> None:
    fresh = consistency(build_backbone("resnet18"), IMAGENET)
    assert (fresh.verdict, str(fresh)) == ("untrained", f"not compared: {fresh.why}")
    assert fresh.why == "all means are 0 and all variances 1, as before any training"
    assert consistency(nn.Conv2d(3, 3, 1), IMAGENET).why == "no batch norms with statistics"
    assert (
        judge(float("nan"), 0)[0] == "contradicts"
        and judge(0.39, 0)[0] == "doubtful"
        and judge(0.1, 0.1)[0] == "agrees"
    )


def test_verify_warns_of_a_file_whose_network_computes_other_things(tmp_path: Path) -> None:
    """The tensors of one network under the names of another: here with channels reversed."""
    net = calibrated("resnet18", photographs(8, 96))
    state = {key: value.clone() for key, value in net.state_dict().items()}
    for key in [key for key, value in state.items() if value.ndim == 4][1::2]:
        state[key] = state[key].flip(1)
    torch.save(state, tmp_path / "w.pth")
    found = verify(f"file:{tmp_path / 'w.pth'}")
    assert not found.good
    (warning,) = [words for words in found.report.warnings if words.startswith("statistics of the norms")]
    assert "the network does not compute what its norms remember (means off by " in warning
    assert "correct the backbone (file:PATH@BACKBONE) or the preprocessing (a weights card)" in warning
    assert found.report.to_json()["consistency"]["verdict"] == "contradicts"


@staged
@pytest.mark.usefixtures("trusted_code")
@pytest.mark.parametrize("card", ["mobilenet_v1_imagenet", "shufflenet_v2_initial"])
def test_trained_networks_agree(card: str) -> None:
    found = load(resolve(f"{card}.toml", ROOT / "examples"), 0).report.consistency
    assert found is not None and found.verdict == "agrees"


def test_licences_of_timms_tags_that_forbid_commercial_use_are_let_through_by_no_filter() -> None:
    from headstart.weights.catalogue import COMMERCIAL
    from headstart.weights.libraries import timm_weights

    through, forbidden = set(), 0
    for name in timm.list_pretrained():
        licence = str(timm.get_pretrained_cfg(name).license or "unknown")
        if licence in COMMERCIAL:
            through.add(licence)
        elif "nc" in licence.split("-") or "apple" in licence:
            forbidden += 1
    assert through <= {"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-3.0"}
    assert forbidden >= 88 + 22
    for name in ("convnextv2_tiny.fcmae_ft_in1k", "fastvit_t8.apple_in1k", "vit_base_patch16_224.mae"):
        assert not timm_weights(name).is_commercial
    assert timm_weights("resnet50.a1_in1k").is_commercial
