"""The example backbones and their cards against outputs computed elsewhere (skipped where the files are absent)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from headstart.models.backbones.building import backbone_cost, build_backbone
from headstart.models.backbones.features import pooled_features, stage_maps
from headstart.weights.cards import resolve
from headstart.weights.checkpoint import load

pytestmark = pytest.mark.usefixtures("trusted_code")

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDER = Path(__file__).parents[3] / "shared" / "weights" / "mobilenetv1_0.25x"
staged = pytest.mark.skipif(not FOLDER.is_dir(), reason="the checkpoints are not staged beside the repository")


def test_structure() -> None:
    backbone = build_backbone("mobilenet_v1.py:mobilenet_v1_025", EXAMPLES)
    assert [tuple(stage) for stage in backbone.stages] == [("C3", 64, 8), ("C4", 128, 16), ("C5", 256, 32)]
    assert backbone_cost(backbone, (224, 224))[0] == 213_072
    assert len(backbone.state_dict()) == 162
    blocks = ((8, 16), (16, 32), (32, 32), (32, 64), (64, 64))
    products = 112 * 112 * 27 * 8 + sum(
        side**2 * (9 * a + a * b) for (a, b), side in zip(blocks, (112, 56, 56, 28, 28), strict=True)
    )
    products += 14 * 14 * ((9 * 64 + 64 * 128) + 5 * (9 * 128 + 128 * 128))
    products += 7 * 7 * ((9 * 128 + 128 * 256) + (9 * 256 + 256 * 256))
    assert backbone_cost(backbone, (224, 224))[1] == pytest.approx(2 * products / 1e9)


@staged
@pytest.mark.parametrize(
    ("card", "reference", "lineage", "left_over"),
    [
        ("imagenet", "imagenet", ("ImageNet-1k labels",), {"module.fc"}),
        (
            "widerface",
            "widerface_retinaface",
            ("ImageNet-1k labels", "WIDER FACE boxes"),
            {"fpn", "ssh1", "ssh2", "ssh3", "ClassHead", "BboxHead", "LandmarkHead"},
        ),
    ],
)
def test_features_equal_the_reference(card: str, reference: str, lineage: tuple[str, ...], left_over: set[str]) -> None:
    spec = resolve(f"mobilenet_v1_{card}.toml", EXAMPLES)
    assert (spec.lineage, spec.licence, spec.kind) == (lineage, "MIT", "card")
    loaded = load(spec, seed=0)
    report = loaded.report
    assert report.coverage == 1.0 and not report.missing
    assert {name: load.matched for name, load in report.by_stage.items() if load.matched} == {
        "stage1": 55,
        "stage2": 60,
        "stage3": 20,
    }
    assert {name for name, load in report.by_stage.items() if load.left_over} == left_over
    with np.load(FOLDER / "reference_outputs.npz") as expected:
        images = expected["input_rgb_uint8"]
        pooled = pooled_features(loaded.backbone, loaded.preprocessing, images, batch_size=3)
        last = stage_maps(loaded.backbone, loaded.preprocessing, images)["C5"]
        for number, name in enumerate(("C3", "C4", "C5"), 1):
            assert_close(pooled[name], expected[f"{reference}/stage{number}_gap"])
        assert_close(last, expected[f"{reference}/stage3_map"])


@staged
def test_the_cards_differ_only_where_the_files_do() -> None:
    first, second = (resolve(f"mobilenet_v1_{card}.toml", EXAMPLES).identity() for card in ("imagenet", "widerface"))
    same = {key for key in first if first[key] == second[key]}
    assert same == {"kind", "backbone", "backbone_digest", "norm_eps"}


@staged
def test_wrong_channel_order_would_show() -> None:
    """The reference tells the two preprocessings apart: fed as the other one, the features are far off."""
    spec = resolve("mobilenet_v1_widerface.toml", EXAMPLES)
    other = resolve("mobilenet_v1_imagenet.toml", EXAMPLES)
    with np.load(FOLDER / "reference_outputs.npz") as expected, torch.no_grad():
        pooled = pooled_features(load(spec, 0).backbone, other.preprocessing, expected["input_rgb_uint8"])
        assert not np.allclose(pooled["C5"], expected["widerface_retinaface/stage3_gap"], rtol=0.05, atol=0.01)


def assert_close(got: np.ndarray, expected: np.ndarray) -> None:
    """Within 1e-4 of the largest value."""
    assert float(np.abs(got - expected).max()) <= 1e-4 * float(np.abs(expected).max())


SHUFFLENETS = FOLDER.parent / "shufflenetv2_0.5x"
SHUFFLE_CARDS = {"initial": "initial_backbone", "fastestdet": "coco_fastestdet"}


@staged
@pytest.mark.parametrize("card", SHUFFLE_CARDS)
def test_shufflenets_channels_are_in_the_order_of_the_files(card: str) -> None:
    loaded = load(resolve(f"shufflenet_v2_{card}.toml", EXAMPLES), seed=0)
    assert loaded.report.coverage == 1.0
    assert sum(p.numel() for p in loaded.backbone.parameters()) == 143_136 and len(loaded.backbone.state_dict()) == 330
    with np.load(SHUFFLENETS / "reference_outputs.npz") as expected:
        images, name = expected["input_rgb_uint8"], SHUFFLE_CARDS[card]
        pooled = pooled_features(loaded.backbone, loaded.preprocessing, images)
        for number, stage in ((2, "C3"), (3, "C4"), (4, "C5")):
            assert_close(pooled[stage], expected[f"{name}/stage{number}_gap"])
        assert_close(stage_maps(loaded.backbone, loaded.preprocessing, images)["C5"], expected[f"{name}/stage4_map"])


@staged
def test_torchvisions_shufflenet_takes_the_same_names_and_is_another_function() -> None:
    """Why the example has blocks of its own: all 330 tensors fit torchvision's by name and shape."""
    loaded = load(resolve("shufflenet_v2_initial.toml", EXAMPLES), seed=0)
    theirs = torchvision.models.shufflenet_v2_x0_5(weights=None).eval()
    renames = (("first_conv", "conv1"), ("branch_proj", "branch1"), ("branch_main", "branch2"))
    state = {}
    for key, value in loaded.backbone.state_dict().items():
        for old, new in renames:
            key = key.replace(old, new)
        state[key] = value
    missing = theirs.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys and {key.split(".")[0] for key in missing.missing_keys} == {"conv5", "fc"}
    with np.load(SHUFFLENETS / "reference_outputs.npz") as expected, torch.no_grad():
        images = torch.from_numpy(expected["input_rgb_uint8"]).permute(0, 3, 1, 2)
        x = theirs.maxpool(theirs.conv1(loaded.preprocessing.apply(images)))
        got = theirs.stage4(theirs.stage3(theirs.stage2(x))).mean((2, 3)).sort(1).values.numpy()
        right = np.sort(expected["initial_backbone/stage4_gap"], 1)  # whatever the order of the channels
        assert np.abs(got - right).max() > 0.1 * np.abs(right).max()
