"""Families of networks that timm and torchvision give, each against the library's own model: random weights, small."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.models.backbones.building import backbone_cost, build_backbone, source_key
from headstart.models.backbones.stages import Stage, fresh_prefixes
from headstart.recipes.schema import recipe_of
from headstart.train.loop import make_optimizer
from headstart.weights.cards import file_digest, resolve
from headstart.weights.checkpoint import load

IMAGES = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def copied(theirs: nn.Module, name: str) -> nn.Module:
    """Our backbone of this name with the values of the library's classifier."""
    ours = build_backbone(name).eval()
    state, fresh = theirs.state_dict(), fresh_prefixes(ours)
    with torch.no_grad():
        for key, value in ours.state_dict(keep_vars=True).items():
            if not key.startswith(fresh):
                value.copy_(state[source_key(ours, key)])
    return ours


def shapes(maps: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(values.shape[1:]) for name, values in maps.items()}


def assert_shapes_follow_stages(backbone: nn.Module, maps: dict[str, Tensor], size: tuple[int, int]) -> None:
    stages: tuple[Stage, ...] = backbone.stages  # type: ignore[assignment]
    assert shapes(maps) == {s.name: (s.channels, -(-size[0] // s.stride), -(-size[1] // s.stride)) for s in stages}


def stirred(model: nn.Module) -> nn.Module:
    """Every parameter a little random, so that zeros at the start (layer scale, biases) hide nothing."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.mark.parametrize(
    "name", ["swin_tiny_patch4_window7_224", "convnext_atto", "efficientnet_lite0", "mobilenetv3_small_050"]
)
def test_timm_families_give_timms_last_map_at_any_size(name: str) -> None:
    more = {"strict_img_size": False} if name.startswith("swin") else {}
    theirs = stirred(timm.create_model(name, **more))
    ours = copied(theirs, name)
    with torch.no_grad():
        maps = ours(IMAGES)
        expected = theirs.forward_intermediates(IMAGES, indices=1, output_fmt="NCHW", intermediates_only=True)[0]
    assert_shapes_follow_stages(ours, maps, (64, 96))
    assert maps["C5"].shape[1] in (expected.shape[1], 576, 288)  # MobileNetV3's own features end one layer later
    if maps["C5"].shape == expected.shape:
        torch.testing.assert_close(maps["C5"], expected, rtol=1e-5, atol=1e-5)
    assert [stage.name for stage in ours.stages][-4:] == ["C2", "C3", "C4", "C5"]  # type: ignore[union-attr]


def test_swins_channels_come_first_and_its_values_are_in_place() -> None:
    theirs = stirred(timm.create_model("swin_tiny_patch4_window7_224", strict_img_size=False))
    ours = copied(theirs, "swin_tiny_patch4_window7_224")
    with torch.no_grad():
        first = theirs.layers[0](theirs.patch_embed(IMAGES))
        torch.testing.assert_close(ours(IMAGES)["C2"], first.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-5)


def test_a_plain_transformer_gets_a_pyramid_over_timms_own_tokens() -> None:
    theirs = stirred(timm.create_model("vit_tiny_patch16_224"))
    ours = copied(theirs, "vit_tiny_patch16_224")
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        maps = ours(images)
        tokens = theirs.forward_features(images)[:, 1:]  # without the class token
    expected = tokens.transpose(1, 2).reshape(1, 192, 14, 14)
    torch.testing.assert_close(maps["C4"], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(maps["C5"], nn.functional.max_pool2d(expected, 2), rtol=1e-5, atol=1e-5)
    assert ours.stages == (Stage("C2", 48, 4), Stage("C3", 96, 8), Stage("C4", 192, 16), Stage("C5", 192, 32))
    assert_shapes_follow_stages(ours, maps, (224, 224))
    assert {key.split(".")[1] for key in ours.state_dict() if key.startswith("pyramid.")} == {"C2", "C3"}


def test_position_embeddings_are_resized_for_other_sizes_and_odd_sizes_are_padded() -> None:
    theirs = stirred(timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True))
    ours = copied(theirs, "vit_tiny_patch16_224")
    with torch.no_grad():
        tokens = theirs.forward_features(IMAGES)[:, 1:]
        torch.testing.assert_close(ours(IMAGES)["C4"].flatten(2).transpose(1, 2), tokens, rtol=1e-5, atol=1e-5)
        odd = ours(IMAGES[..., :50, :70])
        padded = nn.functional.pad(IMAGES[..., :50, :70], (0, 26, 0, 14))
        torch.testing.assert_close(odd["C4"], ours(padded)["C4"])
    assert shapes(odd) == {"C2": (48, 16, 24), "C3": (96, 8, 12), "C4": (192, 4, 6), "C5": (192, 2, 3)}


def test_patches_of_14_pixels_see_smaller_images_and_give_whole_strides() -> None:
    theirs = stirred(timm.create_model("vit_small_patch14_dinov2", dynamic_img_size=True))
    ours = copied(theirs, "vit_small_patch14_dinov2")
    smaller = nn.functional.interpolate(IMAGES, size=(56, 84), mode="bilinear", antialias=True)
    with torch.no_grad():
        maps = ours(IMAGES)
        tokens = theirs.forward_features(smaller)[:, 1:]
    torch.testing.assert_close(maps["C4"].flatten(2).transpose(1, 2), tokens, rtol=1e-4, atol=1e-4)
    assert [stage.stride for stage in ours.stages] == [4, 8, 16, 32]  # type: ignore[union-attr]
    assert_shapes_follow_stages(ours, maps, (64, 96))


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("vit_small_patch16_dinov3", (96, 192, 384, 384)),
        ("vit_small_patch8_224", (192, 384, 384, 384)),
        ("vit_base_patch32_224", (96, 192, 384, 768)),
        ("samvit_base_patch16", (64, 128, 256, 256)),
    ],
)
def test_other_transformers_have_four_stages(name: str, channels: tuple[int, ...]) -> None:
    """DINOv3 with registers and rotary embeddings, other patches, SAM's encoder with its neck: shapes only."""
    with torch.device("meta"):
        backbone = build_backbone(name)
        maps = backbone(torch.zeros(1, 3, 64, 96))
    assert tuple(stage.channels for stage in backbone.stages) == channels  # type: ignore[union-attr]
    assert_shapes_follow_stages(backbone, maps, (64, 96))


def test_transformers_of_one_size_are_refused() -> None:
    message = r"beit_base_patch16_224': timm cannot give its stages \(it takes images of one size only"
    with pytest.raises(WeightsError, match=message), torch.device("meta"):
        build_backbone("beit_base_patch16_224")


def test_networks_of_one_size_say_which() -> None:
    with torch.device("meta"):
        backbone = build_backbone("coatnet_nano_rw_224")
        assert_shapes_follow_stages(backbone, backbone(torch.zeros(1, 3, 224, 224)), (224, 224))
        with pytest.raises(WeightsError, match=r"takes images of 224x224 pixels only, not of 96x96\. Resize images"):
            backbone(torch.zeros(1, 3, 96, 96))


def test_the_pyramid_belongs_to_the_heads(tmp_path: Path) -> None:
    torch.manual_seed(5)
    theirs = stirred(timm.create_model("vit_tiny_patch16_224"))
    save_file(theirs.state_dict(), tmp_path / "vit.safetensors")
    spec = resolve("file:vit.safetensors@vit_tiny_patch16_224", tmp_path)
    loaded, other = load(spec, 0), load(spec, 1)
    report = loaded.report
    assert report.coverage == 1.0 and not report.missing
    (fresh,) = report.initialized
    assert fresh == "pyramid (8 tensors), which no weights have: it belongs to the heads"
    assert "initialized afresh: pyramid" in report.text()
    assert report.fingerprint is not None and set(report.fingerprint) == {"C4", "C5"}
    assert report.fingerprint == other.report.fingerprint
    assert not torch.equal(
        loaded.backbone.state_dict()["pyramid.C3.0.weight"], other.backbone.state_dict()["pyramid.C3.0.weight"]
    )
    own = sum(p.numel() for p in theirs.parameters()) - 192 * 1000 - 1000
    assert backbone_cost(loaded.backbone, (64, 64))[0] == own

    class Task(nn.Module):
        def __init__(self, backbone: nn.Module) -> None:
            super().__init__()
            self.backbone, self.head = backbone, nn.Linear(3, 3)

    recipe = recipe_of({"name": "r", "head": "linear", "updates": 1, "batch_size": 1, "lr": 1.0, "backbone_rate": 0.1})
    rates = {
        p: group["base_lr"]
        for group in make_optimizer(Task(loaded.backbone), recipe).param_groups
        for p in group["params"]
    }
    for name, parameter in loaded.backbone.named_parameters():
        assert rates[parameter] == (1.0 if name.startswith("pyramid.") else 0.1)
    frozen = recipe_of({"name": "r", "head": "linear", "updates": 1, "batch_size": 1, "lr": 1.0, "trainable": "heads"})
    trained = sum(len(g["params"]) for g in make_optimizer(Task(loaded.backbone), frozen).param_groups)
    assert trained == 2 + 8


TORCHVISION = {
    "shufflenet_v2_x0_5": "conv5",
    "regnet_y_400mf": "trunk_output",
    "mobilenet_v2": "features",
    "swin_t": "permute",
    "densenet121": "relu",
    "mnasnet0_5": "layers",
}


@pytest.mark.parametrize("name", [n for n in TORCHVISION if n not in ("densenet121",)])
def test_torchvision_networks_give_torchvisions_last_map(name: str) -> None:
    theirs: nn.Module = stirred(torchvision.models.get_model(name, weights=None))
    ours = copied(theirs, f"tv-{name}")
    seen: list[Tensor] = []
    getattr(theirs, TORCHVISION[name]).register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        theirs(IMAGES)
        maps = ours(IMAGES)
    torch.testing.assert_close(maps["C5"], seen[0], rtol=1e-5, atol=1e-6)
    assert_shapes_follow_stages(ours, maps, (64, 96))
    assert [stage.name for stage in ours.stages][-4:] == ["C2", "C3", "C4", "C5"]  # type: ignore[union-attr]
    left = set(theirs.state_dict()) - set(ours.state_dict())
    assert {key.split(".")[0] for key in left} <= {"fc", "classifier", "head"}


def test_densenet_ends_with_the_relu_of_torchvisions_forward() -> None:
    theirs = stirred(torchvision.models.densenet121(weights=None))
    ours = copied(theirs, "tv-densenet121")
    with torch.no_grad():
        torch.testing.assert_close(ours(IMAGES)["C5"], torch.relu(theirs.features(IMAGES)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "tv-shufflenet_v2_x05",
            r"torchvision has no classifier 'shufflenet_v2_x05'\. Nearest names: tv-shufflenet_v2_x",
        ),
        ("tv-vit_b_16", r"the layers of torchvision's vit_b_16 do not run one after the other\. Use timm's"),
    ],
)
def test_torchvision_networks_that_are_not_there_or_not_in_a_row(name: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        build_backbone(name)


def test_torchvision_weights_of_such_networks_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    known = resolve("tv:ShuffleNet_V2_X0_5_Weights.DEFAULT")
    path = tmp_path / "hub" / "checkpoints" / known.url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    theirs: nn.Module = stirred(torchvision.models.shufflenet_v2_x0_5(weights=None))
    torch.save(theirs.state_dict(), path)
    loaded = load(dataclasses.replace(known, digest=file_digest(path)[:8]), 0, offline=True)
    assert loaded.report.coverage == 1.0 and set(loaded.report.left_over) == {"fc.weight", "fc.bias"}
    with torch.no_grad():
        expected = copied(theirs, "tv-shufflenet_v2_x0_5")(IMAGES)["C5"]
        assert torch.equal(loaded.backbone.eval()(IMAGES)["C5"], expected)
