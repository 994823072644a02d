"""RF-DETR's, LW-DETR's and YOLOS' transformers: recognized in files, and the maps of transformers' own models."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from headstart.errors import WeightsError
from headstart.models.backbones.building import build_backbone
from headstart.weights.cards import resolve
from headstart.weights.checkpoint import load
from headstart.weights.containers import look
from headstart.weights.importers.layouts import as_contents, recognize

transformers = pytest.importorskip("transformers")

RF = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 1, "num_windows": 2, "out_indices": [1, 3]}
SMALL: dict[str, Any] = {"d_model": 32, "num_queries": 4, "group_detr": 1, "decoder_layers": 1}
SMALL |= {"decoder_self_attention_heads": 2, "decoder_cross_attention_heads": 2, "decoder_ffn_dim": 8}


def rf_detr(patch: int, **more: Any) -> Any:
    inner = transformers.RfDetrDinov2Config(**RF, patch_size=patch, image_size=4 * patch, **more)
    return transformers.RfDetrForObjectDetection(transformers.RfDetrConfig(backbone_config=inner, **SMALL))


def lw_detr() -> Any:
    inner = transformers.LwDetrViTConfig(
        **{"hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 6, "num_windows": 4, "image_size": 128},
        **{"pretrain_image_size": 64, "window_block_indices": [0, 2], "out_indices": [1, 3]},
    )
    return transformers.LwDetrForObjectDetection(transformers.LwDetrConfig(backbone_config=inner, **SMALL))


def yolos(mid: bool) -> Any:
    return transformers.YolosForObjectDetection(
        transformers.YolosConfig(
            **{"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 256},
            **{"image_size": [64, 96], "num_detection_tokens": 5, "use_mid_position_embeddings": mid},
        )
    )


def with_values(model: Any) -> Any:
    """Every scale, bias and position away from its first value, so that all of them are seen."""
    generator = torch.Generator().manual_seed(5)
    for value in model.parameters():
        if value.ndim != 4 and value.numel():
            value.data = value.data + 0.2 * torch.randn(value.shape, generator=generator)
    return model.eval()


def last_of(model: Any, pixels: Tensor) -> Tensor:
    if hasattr(model, "vit"):
        tokens = model.vit(pixels).last_hidden_state[:, 1:-5]
        return tokens.transpose(1, 2).unflatten(2, (pixels.shape[-2] // 16, pixels.shape[-1] // 16))
    return model.model.backbone.backbone(pixels).feature_maps[-1]


CASES = {
    "RF-DETR": (lambda: rf_detr(16), (64, 64), "rf-detr-vit[depth=3,global_blocks=1,image_size=64,patch=16,width=64,"),
    "RF-DETR, patches of 14": (lambda: rf_detr(14), (128, 128), "rf-detr-vit[depth=3,global_blocks=1,image_size=56,"),
    "LW-DETR": (lw_detr, (64, 96), "lw-detr-vit[depth=3,global_blocks=1,image_size=64,num_heads=6,patch=16,width=48,"),
    "YOLOS": (lambda: yolos(True), (96, 64), "yolos-vit[depth=3,eps=1e-12,image_size=64x96,num_heads=2,patch=16,"),
    "YOLOS, positions once": (lambda: yolos(False), (96, 64), "yolos-vit[depth=3,eps=1e-12,image_size=64x96,mid_posit"),
}


@pytest.mark.parametrize("saved", ["as on the hub", "as in memory"])
@pytest.mark.parametrize("title", CASES)
def test_maps_equal_those_of_the_library(title: str, saved: str, tmp_path: Path) -> None:
    make, size, named = CASES[title]
    torch.manual_seed(0)
    model = with_values(make())
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    if saved == "as in memory":
        file = tmp_path / "model.pth"
        torch.save(model.state_dict(), file)
    spec = resolve(f"file:{file}")
    assert spec.backbone.startswith(named)
    backbone = load(spec, seed=0).backbone.eval()
    pixels = torch.rand(2, 3, *size)
    seen = pixels
    if "14" in title:
        seen = torch.nn.functional.interpolate(pixels, (112, 112), mode="bilinear", antialias=True, align_corners=False)
    with torch.no_grad():
        ours, theirs = backbone(pixels)["C4"], last_of(model, seen)
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_arguments_in_the_file_say_windows_and_blocks(tmp_path: Path) -> None:
    """As in files of the package rfdetr."""
    args = argparse.Namespace(num_windows=1, out_feature_indexes=[2, 4])
    torch.save({"model": rf_detr(16).state_dict(), "args": args}, tmp_path / "rf-detr.pth")
    spec = resolve(f"file:{tmp_path / 'rf-detr.pth'}")
    assert "depth=4,global_blocks=2," in spec.backbone
    assert "windows=1" in spec.backbone


def test_published_sizes_are_assumed_and_said(tmp_path: Path) -> None:
    torch.save(
        rf_detr(
            14,
        ).state_dict(),
        tmp_path / "mine.pth",
    )
    found = recognize(look(tmp_path / "mine.pth"))
    assert "windows=4" in found.backbone
    assert any("as in RF-DETR's published models with patches of 14 pixels" in note for note in found.notes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: rf_detr(8),
            "mine.pth is of RF-DETR with patches of 8 pixels: .* Put the config.json of the model beside",
        ),
        (lw_detr, "mine.pth is of LW-DETR: how many heads it has, .* Put the config.json of the model beside"),
        (lambda: yolos(True), "mine.pth is of YOLOS with 24 positions: in how many rows and columns, no tensor shows"),
    ],
)
def test_what_no_tensor_shows_is_asked_for(make: Any, message: str, tmp_path: Path) -> None:
    torch.save(make().state_dict(), tmp_path / "mine.pth")
    with pytest.raises(WeightsError, match=message):
        resolve(f"file:{tmp_path / 'mine.pth'}")


@pytest.mark.parametrize(
    "name",
    [
        "vit.embeddings.detection_tokens",
        "model.backbone.backbone.encoder.layer.0.gamma_1",
        "backbone.0.encoder.encoder.embeddings.cls_token",
    ],
)
def test_half_a_file_is_of_no_known_layout(name: str) -> None:
    for value in (torch.ones(2), torch.ones(1, 1, 64)):
        with pytest.raises(WeightsError, match=r"no known layout|no tensor shows"):
            recognize(as_contents(Path("w.pth"), {name: value}))


def test_windows_and_global_blocks_change_what_is_computed() -> None:
    """Else the comparison with the library would say nothing of them."""
    sizes = "width=64,depth=3,image_size=64"
    maps = []
    for more in ("windows=2,global_blocks=1", "windows=1,global_blocks=1", "windows=2,global_blocks=2"):
        torch.manual_seed(0)
        backbone = build_backbone(f"rf-detr-vit[{sizes},{more}]").eval()
        with torch.no_grad():
            for name, value in backbone.named_parameters():
                if "gamma" in name:
                    value.fill_(1.0)
            maps.append(backbone(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)))["C4"])
    assert (maps[0] - maps[1]).abs().max() > 1e-3
    assert (maps[0] - maps[2]).abs().max() > 1e-3


@pytest.mark.parametrize("size", [(64, 64), (33, 70), (200, 96)])
def test_any_size_of_image_gives_stages_of_their_strides(size: tuple[int, int]) -> None:
    backbone = build_backbone("rf-detr-vit[width=64,depth=2,global_blocks=1,windows=4]").eval()
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, *size))
    h, w = (-(-side // 32) * 32 for side in size)
    assert {stage.name: tuple(maps[stage.name].shape) for stage in backbone.stages} == {
        stage.name: (1, stage.channels, h // stage.stride, w // stage.stride) for stage in backbone.stages
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rf-detr-vit[depth=3]", "global_blocks names block 9, and there are 3"),
        ("lw-detr-vit[width=50]", "12 heads do not divide 50 channels. Set num_heads"),
        ("yolos-vit[output_stride=16]", "has no option 'output_stride'"),
    ],
)
def test_sizes_that_do_not_fit_are_named(name: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        build_backbone(name)
