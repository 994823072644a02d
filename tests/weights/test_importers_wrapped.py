"""Files as trainers and other libraries wrap them: averaged weights, prefixes, sequences, renamed and sharded ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.weights.cards import resolve
from headstart.weights.importers import layouts
from headstart.weights.importers.networks import network_of
from support.sources import assert_same_stages, load_quickly, photo, randomized, rgb_normalized, seeded, stages_of


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    seeded()
    return randomized(torchvision.models.resnet18(weights=None)).state_dict()


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def first(path: Path | str) -> Tensor:
    return load_quickly(resolve(f"file:{path}")).backbone.bn1.bias.data


def moved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value + (key == "bn1.bias") for key, value in state.items()}


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


PAIRS = [("model", "model_ema"), ("state_dict", "state_dict_ema"), ("model", "ema"), ("params", "params_ema")]


@pytest.mark.parametrize(("raw", "averaged"), PAIRS)
def test_averaged_weights_are_taken_said_and_chosen(
    tmp_path: Path, state: dict[str, Tensor], raw: str, averaged: str
) -> None:
    inner: Any = {"module": moved(state)} if averaged == "ema" else moved(state)
    path = saved(tmp_path / "w.pth", {raw: state, averaged: inner, "epoch": 3})
    assert torch.equal(first(path), state["bn1.bias"] + 1) and torch.equal(first(f"{path}#ema"), first(path))
    assert torch.equal(first(f"{path}#raw"), state["bn1.bias"])
    assert torch.equal(first(f"{path}@resnet18#raw"), state["bn1.bias"])
    (note,) = [n for n in load_quickly(resolve(f"file:{path}")).report.notes if "EMA" in n]
    assert note.startswith(f"averaged weights (EMA) were taken, under '{averaged}") and f"under '{raw}'" in note


@pytest.mark.parametrize(("raw", "averaged"), [("model.", "ema_model."), ("student.", "teacher.")])
def test_prefixes_of_averaged_weights(tmp_path: Path, state: dict[str, Tensor], raw: str, averaged: str) -> None:
    both = {"state_dict": prefixed(state, raw) | prefixed(moved(state), averaged)}
    path = saved(tmp_path / "w.pth", both)
    assert torch.equal(first(path), state["bn1.bias"] + 1)
    assert torch.equal(first(f"{path}#raw"), state["bn1.bias"])


@pytest.mark.parametrize(
    "key", ["ema", "model_ema", "params_ema", "module", "network", "avg_model", "checkpoint.model"]
)
def test_a_state_dict_under_one_key(tmp_path: Path, state: dict[str, Tensor], key: str) -> None:
    tree: Any = state
    for part in reversed(key.split(".")):
        tree = {part: tree}
    assert torch.equal(first(saved(tmp_path / "w.pth", tree)), state["bn1.bias"])


def test_a_choice_that_the_file_does_not_have_is_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = saved(tmp_path / "w.pth", state)
    with pytest.raises(
        WeightsError, match=r"holds no averaged weights \(EMA\): there is one state dict. Leave #ema out"
    ):
        resolve(f"file:{path}#ema")
    with pytest.raises(WeightsError, match="ema and raw exclude each other"):
        resolve(f"file:{path}#ema,raw")
    with pytest.raises(WeightsError, match=r"'x' is no choice\. After # come ema, raw, repeat, sum"):
        resolve(f"file:{path}#ema,x")


@pytest.mark.parametrize(
    "prefix",
    ["_orig_mod.module.", "module._orig_mod.", "model.model.", "module.backbone.", "resnet.", "feature_extractor."],
)
def test_prefixes_are_taken_off_one_after_the_other(tmp_path: Path, state: dict[str, Tensor], prefix: str) -> None:
    path = saved(tmp_path / "w.pth", {"state_dict": prefixed(state, prefix)})
    spec = resolve(f"file:{path}")
    assert (spec.backbone, spec.layout) == ("resnet18", "classifier")
    assert torch.equal(first(path), state["bn1.bias"])


def test_children_in_a_sequence(tmp_path: Path) -> None:
    seeded()
    model = randomized(torchvision.models.resnet18(weights=None))
    sequence = nn.Sequential(*list(model.children())[:-1])
    path = saved(tmp_path / "w.pth", prefixed(sequence.state_dict(), "backbone."))
    spec, _ = assert_same_stages(path, stages_of(model, rgb_normalized(photo())))
    assert spec.backbone == "resnet18"


@pytest.mark.parametrize("name", ["convnext_atto", "mobilenetv3_small_050", "regnetx_002", "pvt_v2_b0"])
def test_networks_of_timm_are_known_by_their_names(name: str) -> None:
    with torch.device("meta"):
        full = timm.create_model(name, num_classes=7)
        parts = timm.create_model(name, features_only=True)
    for model in (full, parts):
        one = layouts.recognize(layouts.as_contents(Path("w.pth"), model.state_dict()))
        assert one.backbone == name


def test_networks_of_equal_names_are_said_or_refused() -> None:
    with torch.device("meta"):
        blurred = timm.create_model("resnetblur18").state_dict()
        shapes = {
            key: tuple(value.shape) for key, value in timm.create_model("vit_tiny_patch16_384").state_dict().items()
        }
    one = layouts.recognize(layouts.as_contents(Path("w.pth"), blurred))
    assert one.backbone == "resnet18"  # its norms tell the rest
    assert network_of(shapes) == "vit_tiny_patch16_384"
    shapes["pos_embed"] = (1, 1 + 20 * 20, 192)
    assert network_of(shapes) == "vit_tiny_patch16_224[image_size=320]"


def test_networks_that_no_norm_can_tell_apart_are_refused_with_their_names() -> None:
    with torch.device("meta"):
        state = timm.create_model("tf_mobilenetv3_large_100").state_dict()  # pads its images on one side more
    with pytest.raises(
        WeightsError, match=r"mobilenetv3_large_100, tf_mobilenetv3_large_100.* file:w\.pth@mobilenetv3"
    ):
        layouts.recognize(layouts.as_contents(Path("w.pth"), state))


def test_sharded_safetensors_are_opened_by_their_index(tmp_path: Path, state: dict[str, Tensor]) -> None:
    names = {key: f"model-{1 + k % 2}.safetensors" for k, key in enumerate(state)}
    for part in set(names.values()):
        safetensors.torch.save_file({key: state[key] for key in state if names[key] == part}, tmp_path / part)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": names}))
    assert torch.equal(first(index), state["bn1.bias"])
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"names the part model-2\.safetensors, which is not beside it"):
        resolve(f"file:{index}")


def test_messages_name_the_cause(tmp_path: Path, state: dict[str, Tensor]) -> None:
    np.savez(tmp_path / "w.npz", a=np.zeros(2))
    with pytest.raises(WeightsError, match=r"is an archive of NumPy arrays \(\.npz\)"):
        resolve(f"file:{tmp_path / 'w.npz'}")
    path = saved(tmp_path / "cifar.pth", state | {"conv1.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(WeightsError, match="a ResNet with CIFAR's stem for small images"):
        resolve(f"file:{path}")
    with pytest.raises(WeightsError, match=r"torchvision has shufflenet_v2_x0_5\. Give tv-shufflenet_v2_x0_5"):
        resolve(f"file:{path}@shufflenetv2_x0_5")


@pytest.mark.parametrize("kind", ["ResNet", "ConvNext", "Segformer"])
def test_backbones_of_transformers(tmp_path: Path, kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    seeded()
    more = (
        {"layer_type": "basic", "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2]} if kind == "ResNet" else {}
    )
    model = randomized(getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**more)))
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        hidden = model(rgb_normalized(photo()), output_hidden_states=True).hidden_states[-4:]
    spec, _ = assert_same_stages(
        tmp_path / "model.safetensors", dict(zip(("C2", "C3", "C4", "C5"), hidden, strict=True))
    )
    assert spec.backbone.partition("[")[0] == {"ResNet": "resnet18", "ConvNext": "convnext_tiny"}.get(kind, "pvt_v2_b0")


@pytest.mark.parametrize(("blocks", "name"), [(16, "tf_efficientnet_b0"), (23, "tf_efficientnet_b2")])
def test_efficientnet_in_the_names_of_smp_is_timms_that_pads_so(blocks: int, name: str) -> None:
    """Numbers of blocks run through; compared with the library's own encoder by `benchmarks/weights_layouts.py`."""
    with torch.device("meta"):
        model = timm.create_model(name)
    theirs, number = {}, -1
    for key, value in model.state_dict().items():
        if not key.startswith("blocks."):
            top = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
            first, _, rest = key.partition(".")
            theirs[f"encoder.{top.get(first, '_fc')}.{rest}"] = value
            continue
        _, stage, _k, part, rest = key.split(".", 4)
        if part in ("conv_pw", "conv_dw") and rest == "weight" and (part == "conv_pw") == (stage != "0"):
            number += 1
        if part == "se":
            part, rest = rest.replace("conv", "", 1).split(".")[0], rest.split(".")[1]
            part = f"_se{part}"
        else:
            wide = {"conv_pw": "_expand_conv", "bn1": "_bn0", "bn2": "_bn1", "conv_pwl": "_project_conv", "bn3": "_bn2"}
            narrow = {"conv_pw": "_project_conv", "bn1": "_bn1", "bn2": "_bn2"}
            part = {"conv_dw": "_depthwise_conv", **(narrow if stage == "0" else wide)}[part]
        theirs[f"encoder._blocks.{number}.{part}.{rest}"] = value
    assert number + 1 == blocks
    found = layouts.recognize(layouts.as_contents(Path("w.pth"), theirs))
    assert (found.layout, found.backbone) == ("smp", name)
    assert (
        found.names["blocks.2.1.conv_pwl.weight"] == f"encoder._blocks.{4 if blocks == 16 else 6}._project_conv.weight"
    )
