"""MoCo, DenseCL, SwAV, DINO, VISSL; SNIPER, YOLO; Lightning; and files of no layout, or of two."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.weights import containers
from headstart.weights.cards import resolve
from headstart.weights.importers import layouts
from support.sources import assert_same_stages, params_file, photo, randomized, rgb_normalized, seeded, stages_of, under


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def resnet() -> nn.Module:
    """torchvision's, with two bottlenecks a stage: what these projects start from."""
    seeded()
    return randomized(torchvision.models.resnet.ResNet(torchvision.models.resnet.Bottleneck, [2, 2, 2, 2]))


def without_fc(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if ".fc." not in name and not name.startswith("fc.")}


def moco_v2(model: nn.Module) -> Any:
    state = {f"module.{role}.fc.0.weight": torch.ones(2, 2) for role in ("encoder_q", "encoder_k")}
    state |= {"module.queue": torch.ones(2, 3), **without_fc(under("module.encoder_q.", model))}
    state |= {name: value + 1 for name, value in without_fc(under("module.encoder_k.", model)).items()}
    return {"epoch": 200, "arch": "resnet50", "optimizer": {}, "state_dict": state}


def moco_v3(model: nn.Module) -> Any:
    head = {"module.base_encoder.fc.0.weight": torch.ones(2, 2), "module.predictor.0.weight": torch.ones(2, 2)}
    return {
        "state_dict": {
            **without_fc(under("module.base_encoder.", model)),
            **head,
            **without_fc(under("module.momentum_encoder.", model)),
        }
    }


def densecl_full(model: nn.Module) -> Any:
    state = without_fc(model.state_dict())
    copies = {f"{role}.0.{k}": v for role in ("encoder_q", "encoder_k") for k, v in state.items()}
    return {
        "meta": {},
        "state_dict": {
            **{f"backbone.{k}": v for k, v in state.items()},
            **copies,
            "encoder_q.1.mlp.0.weight": torch.ones(2),
            "queue2": torch.ones(2),
        },
    }


def densecl_extracted(model: nn.Module) -> Any:
    return {"state_dict": without_fc(model.state_dict()), "author": "DenseCL"}


def swav(model: nn.Module) -> Any:
    return {
        **without_fc(under("module.", model)),
        "module.projection_head.0.weight": torch.ones(2, 2),
        "module.prototypes.weight": torch.ones(2, 2),
    }


def dino_full(model: nn.Module) -> Any:
    teacher = {**without_fc(under("module.backbone.", model)), "module.head.mlp.0.weight": torch.ones(2)}
    return {"teacher": teacher, "student": {k: v + 1 for k, v in teacher.items()}, "optimizer": {}, "epoch": 3}


def vissl(model: nn.Module) -> Any:
    trunk = without_fc(under("base_model._feature_blocks.", model))
    return {"classy_state_dict": {"base_model": {"model": {"trunk": trunk, "heads": {"0.clf.weight": torch.ones(2)}}}}}


def vissl_converted(model: nn.Module) -> Any:
    return {"model_state_dict": without_fc(under("_feature_blocks.", model))}


def lightning(model: nn.Module) -> Any:
    return {
        "pytorch-lightning_version": "2.1",
        "hyper_parameters": {"lr": 0.1},
        "callbacks": {},
        "state_dict": {**under("model.", model), "train_acc.total": torch.tensor(3)},
    }


def compiled_and_parallel(model: nn.Module) -> Any:
    return {"model": under("module.", model)}


@pytest.mark.parametrize(
    ("wrap", "layout", "word"),
    [
        (moco_v2, "moco", "self-supervision (MoCo)"),
        (moco_v3, "moco", "self-supervision (MoCo)"),
        (densecl_full, "densecl", "self-supervision (DenseCL"),
        (densecl_extracted, "densecl", "self-supervision (DenseCL"),
        (swav, "swav", "self-supervision (SwAV)"),
        (dino_full, "dino", "self-supervision (DINO)"),
        (vissl, "vissl", "not stated in the file"),
        (vissl_converted, "vissl", "not stated in the file"),
        (lightning, "classifier", "labels of 1000 classes"),
        (compiled_and_parallel, "classifier", "labels of 1000 classes"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_resnets_of_self_supervision_and_of_trainers(tmp_path: Path, wrap: Any, layout: str, word: str) -> None:
    model = resnet()
    path = saved(tmp_path / "w.pth", wrap(model))
    spec, report = assert_same_stages(path, stages_of(model, rgb_normalized(photo())))
    assert (spec.backbone, spec.layout) == ("resnet26", layout)
    assert word in spec.lineage[0]
    if wrap is moco_v2:
        assert report.why("module.encoder_k") == "momentum encoder" and report.by_stage["module.queue"].left_over == 1


def test_moco_v3s_small_vit_has_twelve_heads(tmp_path: Path) -> None:
    """The trap: timm's ViT-S has six heads, and no tensor's shape tells."""
    seeded()
    model = timm.create_model("vit_small_patch16_224", num_heads=12, num_classes=0, depth=12).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    state = {**under("module.base_encoder.", model), "module.base_encoder.head.0.weight": torch.ones(2, 2)}
    contents = layouts.as_contents(tmp_path / "w.pth", {"state_dict": state})
    one = layouts.recognize(contents)
    assert one.backbone == "vit_small_patch16_224[num_heads=12]"
    other = layouts.recognize(layouts.as_contents(tmp_path / "w.pth", {"state_dict": model.state_dict()}))
    assert "MoCo v3's ViT-S has 12 heads" in other.notes[0]
    path = saved(tmp_path / "w.pth", {"state_dict": state})
    inputs = rgb_normalized(photo(224))
    with torch.no_grad():
        expected = model.forward_intermediates(inputs, indices=1, norm=True, intermediates_only=True)[-1]
    assert_same_stages(path, {"C4": expected}, 224)


# SNIPER: MXNet's layers, written with torch functions on the arrays of the file.


def mxnet_norm(x: Tensor, arrays: dict[str, Tensor], name: str, fix_gamma: bool = False) -> Tensor:
    gamma = torch.ones(x.shape[1]) if fix_gamma else arrays[f"arg:{name}_gamma"]
    return nn.functional.batch_norm(
        x,
        arrays[f"aux:{name}_moving_mean"],
        arrays[f"aux:{name}_moving_var"],
        gamma,
        arrays[f"arg:{name}_beta"],
        eps=2e-5,
    )


def mxnet_sample(image: Tensor, y: float, x: float) -> Tensor:
    """(C, H, W) at a place, as deformable_im2col_bilinear does it: 0 outside, the last row and column beyond them."""
    height, width = image.shape[1:]
    if not (0 <= y < height and 0 <= x < width):
        return torch.zeros(image.shape[0])
    top, left = int(y), int(x)
    if top >= height - 1:
        top, y = height - 1, height - 1
    if left >= width - 1:
        left, x = width - 1, width - 1
    below, right, fy, fx = min(top + 1, height - 1), min(left + 1, width - 1), y - top, x - left
    upper = image[:, top, left] * (1 - fx) + image[:, top, right] * fx
    lower = image[:, below, left] * (1 - fx) + image[:, below, right] * fx
    return upper * (1 - fy) + lower * fy


def mxnet_deformable(x: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
    """3x3, dilation 2, padding 2, four groups; loops, for one small image."""
    _, channels, height, width = x.shape
    out, size = torch.zeros(1, weight.shape[0], height, width), channels // 4
    for row in range(height):
        for column in range(width):
            patch = torch.zeros(channels, 9)
            for group in range(4):
                part = slice(group * size, (group + 1) * size)
                for tap in range(9):
                    down, right = offset[0, group * 18 + 2 * tap : group * 18 + 2 * tap + 2, row, column].tolist()
                    y, z = row - 2 + 2 * (tap // 3) + down, column - 2 + 2 * (tap % 3) + right
                    patch[part, tap] = mxnet_sample(x[0, part], y, z)
            out[0, :, row, column] = (weight.flatten(2) * patch).sum((1, 2))
    return out


def sniper_forward(arrays: dict[str, Tensor], image: Tensor, depths: tuple[int, ...]) -> dict[str, Tensor]:
    """After symbols/faster/resnet_mx_101_e2e.py: resnetc4 and resnetc5."""
    conv, relu = nn.functional.conv2d, torch.relu
    x = image.float() - torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)
    x = conv(mxnet_norm(x, arrays, "bn_data", fix_gamma=True), arrays["arg:conv0_weight"], None, 2, 3)
    x = torch.max_pool2d(relu(mxnet_norm(x, arrays, "bn0")), 3, 2, 1)
    maps = {}
    for stage, depth in enumerate(depths, 1):
        for unit in range(1, depth + 1):
            name, stride = f"stage{stage}_unit{unit}", 2 if stage in (2, 3) and unit == 1 else 1
            start = relu(mxnet_norm(x, arrays, f"{name}_bn1"))
            y = relu(mxnet_norm(conv(start, arrays[f"arg:{name}_conv1_weight"]), arrays, f"{name}_bn2"))
            if f"arg:{name}_offset_weight" in arrays:
                offset = conv(y, arrays[f"arg:{name}_offset_weight"], arrays[f"arg:{name}_offset_bias"], 1, 2, 2)
                y = mxnet_deformable(y, offset, arrays[f"arg:{name}_conv2_weight"])
            else:
                dilation = 2 if stage == 4 else 1
                y = conv(y, arrays[f"arg:{name}_conv2_weight"], None, stride, dilation, dilation)
            y = conv(relu(mxnet_norm(y, arrays, f"{name}_bn3")), arrays[f"arg:{name}_conv3_weight"])
            shortcut = f"arg:{name}_sc_weight"
            x = y + (conv(start, arrays[shortcut], None, stride) if shortcut in arrays else x)
        maps[f"C{stage + 1}"] = x
    return maps


def sniper_arrays(depths: tuple[int, ...], deformable: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)

    def norm(name: str, channels: int, variance: float = 1.0) -> dict[str, Tensor]:
        return {
            f"arg:{name}_gamma": 0.5 + torch.rand(channels, generator=generator),
            f"arg:{name}_beta": 0.2 * torch.randn(channels, generator=generator),
            f"aux:{name}_moving_mean": 0.1 * torch.randn(channels, generator=generator),
            f"aux:{name}_moving_var": variance * (0.5 + torch.rand(channels, generator=generator)),
        }

    def conv(name: str, out: int, into: int, size: int) -> dict[str, Tensor]:
        scale = (2 / (into * size * size)) ** 0.5
        return {f"arg:{name}_weight": scale * torch.randn(out, into, size, size, generator=generator)}

    arrays = {**norm("bn_data", 3, 4000.0), **conv("conv0", 64, 3, 7), **norm("bn0", 64)}
    before = 64
    for stage, depth in enumerate(depths, 1):
        channels = 128 * 2**stage
        for unit in range(1, depth + 1):
            name, width = f"stage{stage}_unit{unit}", channels // 4
            arrays |= {
                **norm(f"{name}_bn1", before, 4.0),
                **conv(f"{name}_conv1", width, before, 1),
                **norm(f"{name}_bn2", width),
                **conv(f"{name}_conv2", width, width, 3),
                **norm(f"{name}_bn3", width),
                **conv(f"{name}_conv3", channels, width, 1),
            }
            if unit == 1:
                arrays |= conv(f"{name}_sc", channels, before, 1)
            if deformable and stage == 4:
                arrays |= conv(f"{name}_offset", 72, width, 3)
                arrays[f"arg:{name}_offset_bias"] = torch.randn(72, generator=generator)
            before = channels
    return arrays


@pytest.mark.parametrize("deformable", [False, True], ids=["dilated", "deformable"])
def test_snipers_preactivation_resnet(tmp_path: Path, deformable: bool) -> None:
    """bn_data's gamma is in the file and MXNet uses 1 instead; samples of the deformable stage reach over the edges."""
    arrays = sniper_arrays((2, 2, 2, 2), deformable)
    head = {"arg:rpn_conv_3x3_weight": torch.ones(2, 2), "arg:offset_weight": torch.ones(2, 2)}
    path = params_file(tmp_path / "resnet_mx_101_open-0000.params", {**arrays, **head})
    spec, report = assert_same_stages(path, sniper_forward(arrays, photo(), (2, 2, 2, 2)))
    assert spec.backbone == "preact-resnet26" + ("[stage4=deformable]" if deformable else "")
    assert report.why("arg:bn_data_gamma") == "fixed to 1 in MXNet"


@pytest.mark.parametrize("tag", [0xF993FAC9, 0xF993FAC8, 0xF993FACA, None], ids=["V2", "V1", "V3", "before tags"])
def test_params_files_of_every_age(tmp_path: Path, tag: int | None) -> None:
    generator = np.random.default_rng(0)
    arrays = {
        f"arg:{kind}": torch.from_numpy(generator.integers(0, 9, (2, 3, 4)).astype(kind))
        for kind in ("float32", "float64", "float16", "uint8", "int32", "int8", "int64")
    }
    tree = containers.read(params_file(tmp_path / "w.params", arrays, tag)).tree
    assert list(tree) == list(arrays)
    assert all(torch.equal(tree[name], value) and tree[name].dtype == value.dtype for name, value in arrays.items())


@pytest.mark.parametrize(("kind", "indices", "word"), [(1, 1, "row-sparse"), (2, 2, r"sparse \(CSR\)")])
def test_sparse_arrays_are_refused_by_name(tmp_path: Path, kind: int, indices: int, word: str) -> None:
    shape = struct.pack("<iqq", 2, 4, 3)
    index = struct.pack("<i", 6) + struct.pack("<iq", 1, 1)
    sparse = (
        struct.pack("<Ii", 0xF993FAC9, kind)
        + struct.pack("<iqq", 2, 1, 3)
        + shape
        + struct.pack("<iii", 1, 0, 0)
        + index * indices
        + bytes(12)
        + bytes(8) * indices
    )
    dense = struct.pack("<Iiiq", 0xF993FAC9, 0, 1, 2) + struct.pack("<iii", 1, 0, 0) + bytes(8)
    names = b"".join(struct.pack("<Q", len(name)) + name for name in (b"arg:a", b"arg:embed_weight"))
    data = struct.pack("<QQQ", 0x112, 0, 2) + dense + sparse + struct.pack("<Q", 2) + names
    (tmp_path / "w.params").write_bytes(data)
    with pytest.raises(WeightsError, match=rf"needs the array 'arg:embed_weight', which is {word}; only dense"):
        containers.look(tmp_path / "w.params")


def test_a_file_of_no_layout_lists_its_groups_of_names(tmp_path: Path) -> None:
    state = {f"tower.block{i}.{part}": torch.ones(2) for i in range(3) for part in ("a", "b")} | {"out": torch.ones(1)}
    with pytest.raises(WeightsError) as caught:
        resolve(f"file:{saved(tmp_path / 'w.pth', {'state_dict': state})}")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'w.pth'} is of no known layout, or of a network that no layout knows.")
    assert "\n  tower.block0.* (2 tensors)\n  tower.block1.* (2 tensors)" in message
    assert "\n  out (1 tensors)" in message
    assert "Layouts: torchvision-detection, " in message and "file:PATH@BACKBONE" in message
    with pytest.raises(WeightsError, match=r"no tensors where state dicts usually are; it has: epoch, history"):
        resolve(f"file:{saved(tmp_path / 'e.pth', {'epoch': 3, 'history': {'loss': 1.0}})}")


def test_a_file_of_two_layouts_is_not_guessed_at(tmp_path: Path) -> None:
    model = resnet()
    both = {**moco_v2(model), "teacher": dino_full(model)["teacher"], "student": {"x": torch.ones(1)}}
    with pytest.raises(WeightsError, match=r"could be of 2 layouts: moco \(names under .*; dino .*file:PATH@BACKBONE"):
        resolve(f"file:{saved(tmp_path / 'w.pth', both)}")
