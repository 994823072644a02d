"""Exported and imported again: every bit with preprocessing carried, 1e-6 with it folded; and what cannot be."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor

from headstart.errors import UsageError, WeightsError
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.weights import containers
from headstart.weights.cards import WeightsSpec, resolve
from headstart.weights.checkpoint import Loaded
from headstart.weights.export import SUFFIXES, export, usual_input
from headstart.weights.importers.imported import BGR_255
from headstart.weights.importers.sniper import INPUT as SNIPER_INPUT
from support.sources import imported, load_quickly, photo, randomized, seeded

HALF = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
TARGETS = ("timm", "torchvision", "detectron2", "mmdetection")


def weights(folder: Path, name: str, preprocessing: Preprocessing = IMAGENET) -> tuple[WeightsSpec, Loaded]:
    """Random statistics and weights in a backbone, as if loaded from somewhere."""
    seeded()
    spec = dataclasses.replace(
        resolve(f"random:{name}"), name="mine", preprocessing=preprocessing, lineage=("COCO boxes",), licence="mit"
    )
    loaded = load_quickly(spec, 3)
    randomized(loaded.backbone)
    return spec, loaded


def assert_same_bits(first: Loaded, second: Loaded) -> None:
    ours, theirs = first.backbone.state_dict(), second.backbone.state_dict()
    fresh = tuple(getattr(first.backbone, "fresh_prefixes", ()))
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        if not (fresh and key.startswith(fresh)) and not key.endswith("num_batches_tracked"):
            assert torch.equal(value, theirs[key]), key


@pytest.mark.parametrize(
    ("to", "name", "preprocessing"),
    [
        ("timm", "resnet26", HALF),
        ("timm", "resnet26[output_stride=16,stride_in=conv1]", BGR_255),
        ("timm", "preact-resnet26[stage4=deformable]", SNIPER_INPUT),
        ("timm", "csp-v8n", HALF),
        ("timm", "tv-mobilenet_v3_small", IMAGENET),
        ("timm", "convnext_atto", HALF),
        ("timm", "vit_tiny_patch16_224", HALF),
        ("timm", "shapes-resnet", IMAGENET),
        ("torchvision", "resnet18", BGR_255),
        ("torchvision", "resnet18[output_stride=8]", IMAGENET),
        ("torchvision", "tv-mobilenet_v3_large[dilated=yes]", IMAGENET),
        ("detectron2", "resnet26[stride_in=conv1]", BGR_255),
        ("detectron2", "resnet18", IMAGENET),
        ("detectron2", "resnet26[first_dilation=own,output_stride=16,stride_in=conv1]", SNIPER_INPUT),
        ("mmdetection", "resnet26[stride_in=conv1]", BGR_255),
        ("mmdetection", "resnet26d", IMAGENET),
        ("mmdetection", "resnet26d[output_stride=8]", HALF),
    ],
)
def test_every_bit_comes_back(tmp_path: Path, to: str, name: str, preprocessing: Preprocessing) -> None:
    spec, loaded = weights(tmp_path, name, preprocessing)
    out = tmp_path / f"w{SUFFIXES[to]}"
    done = export(loaded, spec, out, to)  # type: ignore[arg-type]
    assert (done.path, done.preprocessing) == (out, preprocessing)
    spec_again, loaded_again = imported(out)
    assert_same_bits(loaded, loaded_again)
    assert (spec_again.backbone, spec_again.preprocessing) == (spec.backbone, preprocessing)
    assert (spec_again.lineage, spec_again.licence, spec_again.norm_eps) == (("COCO boxes",), "mit", None)
    assert list(tmp_path.iterdir()) == [out]


FOLDED = (
    (BGR_255, "detectron2"),
    (BGR_255, "timm"),
    (BGR_255, "torchvision"),
    (IMAGENET, "detectron2"),
    (Preprocessing("rgb", 1.0, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)), "mmdetection"),
    (Preprocessing("bgr", 1 / 255, (0.406, 0.456, 0.485), (1.0, 1.0, 1.0)), "timm"),
)


@pytest.mark.parametrize(("preprocessing", "to"), FOLDED)
def test_folding_changes_nothing_beyond_rounding(tmp_path: Path, preprocessing: Preprocessing, to: str) -> None:
    """Color order and std exactly, at padded borders, too, since the means are of one color. In float64: what is
    measured is the rounding of the new weights, not the arithmetic.
    """
    spec, loaded = weights(tmp_path, "resnet18", preprocessing)
    done = export(loaded, spec, tmp_path / f"w{SUFFIXES[to]}", to, fold=True)  # type: ignore[arg-type]
    assert done.preprocessing == usual_input(to, "resnet18")  # type: ignore[arg-type]
    spec_again, folded = imported(done.path)
    assert spec_again.preprocessing == done.preprocessing
    before, after = (stages(one) for one in (loaded, folded))
    for name, values in before.items():
        assert float((after[name] - values).abs().max()) < 1e-6 * float(values.abs().max()), name
    changed = {
        key
        for key, value in loaded.backbone.state_dict().items()
        if not torch.equal(value, folded.backbone.state_dict()[key])
    }
    assert changed <= {"conv1.weight"}


def stages(loaded: Loaded) -> dict[str, Tensor]:
    facts, image = loaded.preprocessing, photo().double()
    image = image.flip(1) if facts.channel_order == "bgr" else image
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (facts.mean, facts.std))
    with torch.no_grad():
        return loaded.backbone.double().eval()((image * facts.scale - mean) / std)


def test_means_of_other_colors_are_not_folded(tmp_path: Path) -> None:
    """SNIPER's and Caffe's means differ from ImageNet's by up to half a gray level."""
    spec, loaded = weights(tmp_path, "resnet18", Preprocessing("rgb", 1.0, (123.68, 116.779, 103.939), (1, 1, 1)))
    with pytest.raises(
        WeightsError,
        match=r"mine: its preprocessing cannot be folded exactly: its mean of red is "
        r"123\.6800 of 255, the layout's 123\.6750, .* Export without folding",
    ):
        export(loaded, spec, tmp_path / "w.safetensors", "timm", fold=True)
    assert not list(tmp_path.iterdir())
    spec, loaded = weights(tmp_path, "preact-resnet26", IMAGENET)
    with pytest.raises(WeightsError, match="the first layer of PreActResNet is no convolution of the image"):
        export(loaded, spec, tmp_path / "w.safetensors", "timm", fold=True)


@pytest.mark.parametrize(
    ("to", "name", "message"),
    [
        ("torchvision", "resnet26", r"torchvision has no network like resnet26: .* Export to timm or mmdetection"),
        ("torchvision", "resnet50[stride_in=conv1]", r"no network like resnet50 with \{'stride_in': 'conv1'\}"),
        ("detectron2", "resnet26d", "Detectron2's ResNets have a plain stem, and resnet26d has a deep one"),
        ("detectron2", "convnext_atto", "Detectron2's layout is known here for ResNets, and convnext_atto is none"),
        ("mmdetection", "resnet18d[first_shortcut=projection]", "no ResNet with a projection in its first block"),
    ],
)
def test_what_a_layout_cannot_express_is_refused(tmp_path: Path, to: str, name: str, message: str) -> None:
    spec, loaded = weights(tmp_path, name)
    with pytest.raises(WeightsError, match=message):
        export(loaded, spec, tmp_path / f"w{SUFFIXES[to]}", to)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_paths_are_checked_first(tmp_path: Path) -> None:
    spec, loaded = weights(tmp_path, "shapes-resnet")
    (tmp_path / "there.safetensors").write_bytes(b"x")
    for name, to, message in (
        ("w.pth", "timm", r"a file for timm ends with \.safetensors\. Give .*w\.safetensors"),
        ("gone/w.safetensors", "timm", r"the folder .*gone does not exist"),
        ("there.safetensors", "timm", r"exists\. Give another name, or --overwrite"),
        ("w.onnx", "onnx", r"layout 'onnx' is unknown\. Give timm, torchvision"),
    ):
        with pytest.raises(UsageError, match=message):
            export(loaded, spec, tmp_path / name, to)  # type: ignore[arg-type]
    export(loaded, spec, tmp_path / "there.safetensors", "timm", overwrite=True)
    assert_same_bits(loaded, imported(tmp_path / "there.safetensors")[1])
    own = dataclasses.replace(spec, backbone="/somewhere/mine.py:build")
    with pytest.raises(WeightsError, match="a backbone of your own has no layout"):
        export(loaded, own, tmp_path / "w.safetensors", "timm")


def test_the_libraries_themselves_read_what_was_written(tmp_path: Path) -> None:
    spec, loaded = weights(tmp_path, "resnet18")
    for to in TARGETS:
        export(loaded, spec, tmp_path / f"{to}{SUFFIXES[to]}", to)  # type: ignore[arg-type]
    images = torch.randn(1, 3, 64, 64)
    expected = loaded.backbone(images)["C5"]
    theirs = timm.create_model("resnet18").eval()
    state = safetensors.torch.load_file(tmp_path / "timm.safetensors")
    assert set(theirs.load_state_dict(state, strict=False).missing_keys) == {"fc.weight", "fc.bias"}
    torch.testing.assert_close(theirs.forward_features(images), expected)
    model = torchvision.models.resnet18(weights=None).eval()
    state = torch.load(tmp_path / "torchvision.pth", weights_only=True)["state_dict"]
    assert set(model.load_state_dict(state, strict=False).missing_keys) == {"fc.weight", "fc.bias"}
    content = pickle.loads((tmp_path / "detectron2.pkl").read_bytes())  # numpy arrays and words only
    assert content["matching_heuristics"] and "__author__" in content
    assert content["model"]["res3.0.shortcut.norm.weight"].shape == (128,)
    content = torch.load(tmp_path / "mmdetection.pth", weights_only=True)
    assert "type='ResNet', depth=18, style='pytorch'" in content["meta"]["config"]
    assert all(key.startswith("backbone.") for key in content["state_dict"])


def test_what_to_set_in_the_other_library_is_said(tmp_path: Path) -> None:
    name = "resnet26[first_dilation=own,output_stride=16,stride_in=conv1]"
    spec, loaded = weights(tmp_path, name, BGR_255)
    notes = export(loaded, spec, tmp_path / "w.pkl", "detectron2").notes
    assert notes == (
        "set INPUT.FORMAT 'BGR', MODEL.PIXEL_MEAN [103.53, 116.28, 123.675], MODEL.PIXEL_STD [1.0, 1.0, "
        "1.0], MODEL.RESNETS.STRIDE_IN_1X1 True, MODEL.RESNETS.RES5_DILATION 2",
    )
    notes = export(loaded, spec, tmp_path / "w.pth", "mmdetection").notes
    assert notes[1:] == (
        "data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)",
        "backbone=dict(type='ResNet', depth=26, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), "
        "contract_dilation=False, style='caffe')",
    )


def test_damaged_facts_are_named(tmp_path: Path) -> None:
    spec, loaded = weights(tmp_path, "shapes-resnet")
    path = export(loaded, spec, tmp_path / "w.safetensors", "timm").path
    facts = containers.look(path).exported()
    assert facts is not None and facts["weights"] == "mine"
    for broken in ("{", json.dumps({**facts, "preprocessing": {"scale": 1}})):
        state = safetensors.torch.load_file(path)
        safetensors.torch.save_file(state, tmp_path / "broken.safetensors", metadata={"headstart": broken})
        with pytest.raises(WeightsError, match=r"broken\.safetensors: the facts .*Export it again"):
            resolve(f"file:{tmp_path / 'broken.safetensors'}")
    assert re.fullmatch(r"[0-9a-f]{64}", resolve(f"file:{path}").digest)
    assert build_backbone(str(facts["backbone"])).state_dict().keys() == loaded.backbone.state_dict().keys()
