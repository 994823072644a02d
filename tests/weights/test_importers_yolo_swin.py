"""Ultralytics' YOLO, pickled as a whole module; and OpenMMLab's Swin, which joins neighbors in another order."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from headstart.errors import WeightsError
from headstart.weights import containers
from headstart.weights.cards import resolve
from headstart.weights.importers import layouts
from headstart.weights.importers.swin_names import merged_in_timms_order
from support.sources import assert_same_stages, photo, randomized, rgb_normalized, seeded

# YOLO's layers, named as in ultralytics' nn/modules: Conv has conv and bn, C3 cv1..cv3 and m, C2f cv1, cv2 and m.


class Conv(nn.Module):
    def __init__(self, into: int, out: int, size: int = 1, stride: int = 1, pad: int | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, size, stride, size // 2 if pad is None else pad, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return silu(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    def __init__(self, width: int, first: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = Conv(width, width, first), Conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cv2(self.cv1(x))


class C3(nn.Module):
    def __init__(self, width: int, repeats: int) -> None:
        super().__init__()
        half = width // 2
        self.cv1, self.cv2, self.cv3 = Conv(width, half), Conv(width, half), Conv(2 * half, width)
        self.m = nn.Sequential(*(Bottleneck(half, 1) for _ in range(repeats)))

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class C2f(nn.Module):
    def __init__(self, width: int, repeats: int) -> None:
        super().__init__()
        self.half = width // 2
        self.cv1, self.cv2 = Conv(width, width), Conv((2 + repeats) * self.half, width)
        self.m = nn.ModuleList(Bottleneck(self.half, 3) for _ in range(repeats))

    def forward(self, x: Tensor) -> Tensor:
        y = list(self.cv1(x).split((self.half, self.half), 1))
        for block in self.m:
            y.append(block(y[-1]))
        return self.cv2(torch.cat(y, 1))


class SPPF(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = Conv(width, width // 2), Conv(2 * width, width)
        self.m = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cv1(x)
        y = self.m(x)
        z = self.m(y)
        return self.cv2(torch.cat((x, y, z, self.m(z)), 1))


class DetectionModel(nn.Module):
    """Size n: widths 16 to 256, and a head of one layer."""

    def __init__(self, version: int) -> None:
        super().__init__()
        block, repeats = (C3, (1, 2, 3, 1)) if version == 5 else (C2f, (1, 2, 2, 1))
        layers: list[nn.Module] = [Conv(3, 16, *((6, 2, 2) if version == 5 else (3, 2, 1)))]
        for before, width, count in zip((16, 32, 64, 128), (32, 64, 128, 256), repeats, strict=True):
            layers += [Conv(before, width, 3, 2), block(width, count)]
        self.model = nn.Sequential(*layers, SPPF(256), Conv(256, 128))
        self.yaml = {"nc": 80}

    def stages(self, x: Tensor) -> dict[str, Tensor]:
        maps = {}
        for number, layer in enumerate(self.model[:10]):
            x = layer(x)
            if number in (2, 4, 6, 9):
                maps[f"C{(number + 2) // 2 if number < 9 else 5}"] = x
        return maps


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that is there when the file is written and gone when it is read."""
    module = ModuleType("ultralytics_like_tasks")
    for kind in (Conv, Bottleneck, C3, C2f, SPPF, DetectionModel):
        monkeypatch.setattr(kind, "__module__", module.__name__)
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


@pytest.mark.parametrize(("version", "ema"), [(5, False), (8, True)])
def test_yolo_from_a_whole_pickled_module(tmp_path: Path, package: str, version: int, ema: bool) -> None:
    """fp16, as published; the averaged copy counts where there is one."""
    seeded()
    model = randomized(DetectionModel(version)).half()
    other: Any = DetectionModel(version).half() if ema else None
    content = {
        "epoch": -1,
        "model": other if ema else model,
        "ema": model if ema else None,
        "train_args": {"imgsz": 640},
    }
    torch.save(content, tmp_path / "yolo.pt")
    del sys.modules[package]
    assert f"{package}.DetectionModel" in containers.look(tmp_path / "yolo.pt").classes
    with torch.no_grad():
        expected = model.float().stages(photo().float() / 255)
    spec, report = assert_same_stages(tmp_path / "yolo.pt", expected)
    assert (spec.backbone, spec.layout) == (f"csp-v{version}n", "ultralytics")
    assert package not in sys.modules
    assert any("AGPL-3.0" in note for note in report.notes) and report.why("model") == "neck and head"


def test_a_yolo_of_an_unknown_size_is_refused(tmp_path: Path) -> None:
    state = DetectionModel(8).state_dict()
    state["model.7.conv.weight"] = torch.ones(200, 128, 3, 3)
    torch.save({"model": state}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"no known layout.*\n  model\.\* \(168 tensors\)"):
        resolve(f"file:{tmp_path / 'w.pt'}")


def openmmlab_swin_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """From timm's names to those of mmdet/models/backbones/swin.py; merging layers join as nn.Unfold does."""
    found = {}
    for name, value in state.items():
        if name.startswith(("head.", "norm.")):
            continue
        name = name.replace("patch_embed.proj.", "patch_embed.projection.").replace("layers.", "stages.")
        name = name.replace(".attn.", ".attn.w_msa.").replace("mlp.fc1.", "ffn.layers.0.0.")
        name = name.replace("mlp.fc2.", "ffn.layers.1.")
        if ".downsample." in name:
            number = int(name.split(".")[1])
            name = name.replace(f"stages.{number}.", f"stages.{number - 1}.", 1)
            quarters = value.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]  # upper left, upper right, lower left, ..
            value = quarters.transpose(-1, -2).flatten(-2)
        found[f"backbone.{name}"] = value.clone()
    return {**found, "backbone.norm0.weight": torch.ones(96), "neck.lateral_convs.0.conv.weight": torch.ones(2)}


def test_swins_merging_layer_joins_neighbors_in_the_same_order() -> None:
    """The layer as OpenMMLab has it (unfold, norm, linear) against timm's with the columns put in its order."""
    seeded()
    ours = timm.models.swin_transformer.PatchMerging(dim=6)
    norm, linear = nn.LayerNorm(24), nn.Linear(24, 12, bias=False)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    ours.load_state_dict(
        {
            "norm.weight": merged_in_timms_order(norm.weight.detach()),
            "norm.bias": merged_in_timms_order(norm.bias.detach()),
            "reduction.weight": merged_in_timms_order(linear.weight.detach()),
        }
    )
    x = torch.randn(2, 8, 10, 6)
    unfolded = nn.Unfold(2, stride=2)(x.permute(0, 3, 1, 2)).transpose(1, 2)  # (B, 20, 24), channel by channel
    expected = linear(norm(unfolded)).unflatten(1, (4, 5))
    torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-6)


def test_swin_of_mmdetection(tmp_path: Path) -> None:
    """Also: `double_step_seq`, by which OpenMMLab numbers relative positions, numbers them as timm does."""
    seeded()
    model = timm.create_model("swin_tiny_patch4_window7_224").eval()
    state = {name: value for name, value in model.state_dict().items() if not name.endswith("relative_position_index")}
    content = {"meta": {"mmdet_version": "3.0"}, "state_dict": openmmlab_swin_names(state)}
    torch.save(content, tmp_path / "w.pth")
    with torch.no_grad():
        maps = model.forward_intermediates(rgb_normalized(photo(224)), intermediates_only=True)
    expected = {f"C{i + 2}": values for i, values in enumerate(maps)}
    spec, _ = assert_same_stages(tmp_path / "w.pth", expected, 224)
    assert spec.backbone == "swin_tiny_patch4_window7_224"
    numbers = (torch.arange(0, 13 * 7, 13)[:, None] + torch.arange(7)[None, :]).reshape(1, -1)
    theirs = (numbers + numbers.T).flip(1)
    assert torch.equal(theirs, model.layers[0].blocks[0].attn.relative_position_index.view(49, 49))


def test_layouts_state_which_public_file_their_names_come_from() -> None:
    modules = {name: sys.modules[find.__module__] for name, find in layouts.LAYOUTS.items()}
    assert len(modules) == 16 and all(name == module.LAYOUT for name, module in modules.items())
    assert all(re.search(r"\w[ /]\w+\.py|\.yaml|own models", str(module.__doc__)) for module in modules.values())
