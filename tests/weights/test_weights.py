"""Loading: reports, refusals, torchvision's and timm's real layouts with random values; nothing is downloaded."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET
from headstart.weights import cards
from headstart.weights.cards import WeightsSpec, resolve
from headstart.weights.checkpoint import StageLoad, load

RETINANET = "tv:RetinaNet_ResNet50_FPN_Weights.COCO_V1"
FCOS = "tv:FCOS_ResNet50_FPN_Weights.COCO_V1"


def shuffled_norms(model: nn.Module, smallest: float = 1e-6) -> nn.Module:
    """Random statistics, some of them tiny, so that an epsilon or a norm left out shows."""
    generator = torch.Generator().manual_seed(5)
    for norm in model.modules():
        if getattr(norm, "running_var", None) is None:
            continue
        shape = norm.running_var.shape
        norm.running_var.data = smallest + 2 * torch.rand(shape, generator=generator) ** 4
        norm.weight.data = norm.running_var.sqrt() / 2  # keeps deep networks from overflowing
        norm.running_mean.data, norm.bias.data = 0.1 * torch.randn(2, *shape, generator=generator)
    return model


@pytest.fixture
def shapes_state() -> dict[str, Tensor]:
    torch.manual_seed(7)
    return {key: value.clone() for key, value in shuffled_norms(build_backbone("shapes-resnet")).state_dict().items()}


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HEADSTART_OFFLINE", raising=False)
    return tmp_path / "torch" / "hub" / "checkpoints"


def spec_of(path: Path, backbone: str = "shapes-resnet", **changes: Any) -> WeightsSpec:
    return dataclasses.replace(resolve(f"file:{path.name}@{backbone}", path.parent), **changes)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def refusal(spec: WeightsSpec, **arguments: Any) -> str:
    with pytest.raises(WeightsError) as caught:
        load(spec, 0, **arguments)
    return str(caught.value)


def test_random_weights_follow_the_seed_and_leave_the_generator_alone() -> None:
    spec = resolve("random:shapes-resnet")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, same, other = (load(spec, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    key = "layer4.0.conv1.weight"
    assert torch.equal(first.backbone.state_dict()[key], same.backbone.state_dict()[key])
    assert not torch.equal(first.backbone.state_dict()[key], other.backbone.state_dict()[key])
    assert first.backbone.training and first.preprocessing == IMAGENET
    assert (first.report.coverage, first.report.source) == (0.0, "random, seed 0")
    assert first.report.by_stage["stem"] == StageLoad(missing=5)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}}},
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {f"encoder.q.{key}": value for key, value in state.items()} | {"fc.weight": torch.ones(2)},
        lambda state: {key: value.half() for key, value in state.items()},
    ],
    ids=["bare", "state_dict", "data-parallel", "prefix", "half"],
)
def test_common_containers_are_unwrapped(
    tmp_path: Path, shapes_state: dict[str, Tensor], wrap: Callable[[dict[str, Tensor]], Any]
) -> None:
    loaded = load(spec_of(saved(tmp_path / "w.pth", wrap(shapes_state))), 0)
    assert loaded.report.coverage == 1.0
    for key, value in loaded.backbone.state_dict().items():
        torch.testing.assert_close(value, shapes_state[key], rtol=1e-3, atol=1e-3)


def test_safetensors_are_read_and_the_report_counts_by_stage(tmp_path: Path, shapes_state: dict[str, Tensor]) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({**shapes_state, "head.weight": torch.ones(3), "head.bias": torch.ones(3)}, path)
    report = load(spec_of(path), 0).report
    block = StageLoad(matched=10)
    grown = StageLoad(matched=15)  # and a shortcut
    assert report.by_stage == {
        "stem": StageLoad(matched=5),
        "layer1": block,
        "layer2": grown,
        "layer3": grown,
        "layer4": grown,
        "head": StageLoad(left_over=2),
    }
    assert sorted(report.left_over) == ["head.bias", "head.weight"]
    assert report.to_json()["stages"]["head"] == [0, 0, 2]
    assert str(tmp_path) not in str(report.to_json())
    assert "100.0% of the backbone's tensors filled" in report.text()
    assert "head          0        0          2" in report.text()


def test_wrong_width_names_keys_and_shapes(tmp_path: Path) -> None:
    path = saved(tmp_path / "r50.pth", shuffled_norms(torchvision.models.resnet50()).state_dict())
    message = refusal(spec_of(path, "resnet18"))
    assert message.startswith(f"{path} fills ")
    assert "of the 100 tensors of backbone resnet18" in message and "every one is needed" in message
    assert "missing: layer2.0.downsample" not in message
    assert "of another shape: layer1.0.conv1.weight (64, 64, 1, 1), backbone (64, 64, 3, 3); " in message
    assert "The names fit and the shapes do not" in message


@pytest.mark.parametrize(("deep", "shallow", "block"), [("resnet34", "resnet18", "layer1.2.conv1.weight")])
def test_a_deeper_network_is_not_taken_for_a_shallower_one(tmp_path: Path, deep: str, shallow: str, block: str) -> None:
    """Every tensor of the shallower one is there, with its shape: coverage alone would pass it."""
    path = saved(tmp_path / "w.pth", {"model": shuffled_norms(timm.create_model(deep)).state_dict()})
    message = refusal(spec_of(path, shallow))
    assert f"{path} has 80 tensors of blocks that backbone {shallow} lacks ({block}, " in message
    assert "it is of a deeper network. Name its backbone." in message


def test_foreign_names_show_what_the_file_has(tmp_path: Path) -> None:
    path = saved(tmp_path / "vgg.pth", {f"features.{i}.weight": torch.ones(2) for i in range(9)})
    message = refusal(spec_of(path))
    assert f"{path} fills 0 of the 60 tensors of backbone shapes-resnet (0.0%" in message
    assert "missing: conv1.weight, bn1.weight, bn1.bias, bn1.running_mean and 56 more" in message
    assert "the file has: features.0.weight, features.1.weight" in message
    assert "give the prefix of its keys as `key_prefix` in a weights card" in message


def test_two_copies_of_the_backbone_need_a_prefix(tmp_path: Path, shapes_state: dict[str, Tensor]) -> None:
    both = {
        f"{role}.{key}": value + (role == "teacher")
        for role in ("student", "teacher")
        for key, value in shapes_state.items()
    }
    path = saved(tmp_path / "w.pth", both)
    assert any("averaged weights (EMA) were taken, under 'teacher.'" in n for n in load(spec_of(path), 0).report.notes)
    loaded = load(spec_of(path, key_prefix="teacher."), 0)
    assert torch.equal(loaded.backbone.state_dict()["conv1.weight"], shapes_state["conv1.weight"] + 1)


def test_checkpoint_key_is_followed(tmp_path: Path, shapes_state: dict[str, Tensor]) -> None:
    path = saved(tmp_path / "w.pth", {"ema": {"shadow": shapes_state}, "model": {"conv1.weight": torch.ones(1)}})
    loaded = load(spec_of(path, checkpoint_key="ema.shadow"), 0)
    assert loaded.report.source == "file w.pth, under 'ema.shadow'"
    message = refusal(spec_of(path, checkpoint_key="ema.light"))
    assert "has no key 'ema.light'. Its keys: 'shadow'. Correct `checkpoint_key`" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer2.0.conv1.weight": float("nan")}, "layer2.0.conv1.weight holds NaN or infinite values"),
        ({"layer2.0.bn1.running_var": -1.0}, "layer2.0.bn1.running_var must be above 0, but 32 of 32 channels"),
        ({"bn1.running_var": 0.0}, "bn1.running_var must be above 0, but 0 of 16 channels are negative and 16 are 0"),
    ],
)
def test_values_that_no_training_gives_are_refused(
    tmp_path: Path, shapes_state: dict[str, Tensor], change: dict[str, float], message: str
) -> None:
    for key, value in change.items():
        shapes_state[key].fill_(value)
    path = saved(tmp_path / "w.pth", shapes_state)
    assert refusal(spec_of(path)).startswith(f"{path}: {message}")


def test_a_dead_channel_is_noted_unless_epsilon_is_zero(tmp_path: Path, shapes_state: dict[str, Tensor]) -> None:
    shapes_state["bn1.running_var"][3] = 0
    path = saved(tmp_path / "w.pth", shapes_state)
    assert load(spec_of(path), 0).report.notes == ("bn1.running_var: variance 0 in 1 of 16 channels (never active)",)
    assert "0 of 16 channels are negative and 1 are 0" in refusal(spec_of(path, norm_eps=0.0))


class Thing:
    """Not a tensor."""


def truncated(path: Path, content: bytes) -> Path:
    path.write_bytes(content[: len(content) * 2 // 3])
    return path


def test_files_that_are_no_checkpoints(tmp_path: Path, shapes_state: dict[str, Tensor]) -> None:
    bare, old = tmp_path / "new.pth", tmp_path / "old.pth"
    torch.save(shapes_state, bare)
    torch.save(shapes_state, old, _use_new_zipfile_serialization=False)
    files = {
        "is damaged or cut short: it begins like a torch checkpoint": [
            truncated(tmp_path / "a.pth", bare.read_bytes()),
            truncated(tmp_path / "b.pth", old.read_bytes()),
            truncated(tmp_path / "c.pth", old.read_bytes()[:40]),
        ],
        "is damaged or cut short: it begins like a safetensors file": [
            truncated(tmp_path / "d.safetensors", safetensors.torch.save(shapes_state))
        ],
        f"Objects of classes that are not loaded: {Thing.__module__}.Thing": [
            saved(tmp_path / "e.pth", {"model": Thing()})
        ],
        "has no tensors by name; it has: 'epoch'": [saved(tmp_path / "f.pth", {"epoch": 1})],
        "has no tensors by name; it has: a list": [saved(tmp_path / "g.pth", [torch.ones(1)])],
    }
    (tmp_path / "h.pth").write_bytes(pickle.dumps({"model": print}))
    files["h.pth needs builtins.print, a part of Python that weights do not need"] = [tmp_path / "h.pth"]
    for name, content, message in (
        ("i", b"", "is empty (0 bytes)"),
        ("j", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        ("k", b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page, not a checkpoint"),
        ("l", b'{"weights": [1, 2, 3]}', "is neither a safetensors file nor a torch checkpoint"),
    ):
        (tmp_path / name).write_bytes(content)
        files[message] = [tmp_path / name]
    for message, paths in files.items():
        for path in paths:
            told = refusal(spec_of(path))
            assert told.startswith(str(path)) and message in told, (path, told)


def test_a_file_that_changed_since_is_refused(tmp_path: Path, shapes_state: dict[str, Tensor]) -> None:
    spec = spec_of(saved(tmp_path / "w.pth", shapes_state))
    saved(tmp_path / "w.pth", {"conv1.weight": torch.ones(1)})
    assert "has changed since w was resolved. Run the study again" in refusal(spec)
    (tmp_path / "w.pth").unlink()
    assert f"{tmp_path / 'w.pth'} is gone" in refusal(spec)


def detector(kind: str, eps: float | None) -> nn.Module:
    build = getattr(torchvision.models.detection, kind)
    torch.manual_seed(11)
    # As torchvision builds it for trained weights: frozen norms.
    norm = torchvision.ops.misc.FrozenBatchNorm2d
    body = torchvision.models.resnet50(weights=None, norm_layer=norm)
    model = build(weights=None, weights_backbone=None)
    model.backbone.body = torchvision.models._utils.IntermediateLayerGetter(
        body, {"layer1": "0", "layer2": "1", "layer3": "2", "layer4": "3"}
    )
    shuffled_norms(model)
    if eps is not None:
        torchvision.models.detection._utils.overwrite_eps(model, eps)
    return model.eval()


def assert_same_features(ours: nn.Module, theirs: nn.Module) -> None:
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        got, expected = ours.eval()(images), theirs(images)
    for stage, name in zip(("C2", "C3", "C4", "C5"), ("0", "1", "2", "3"), strict=True):
        scale = float(expected[name].abs().max())
        assert float((got[stage] - expected[name]).abs().max()) <= 1e-4 * scale


@pytest.mark.parametrize(
    ("uri", "kind", "eps"), [(RETINANET, "retinanet_resnet50_fpn", 0.0), (FCOS, "fcos_resnet50_fpn", None)]
)
def test_torchvision_detectors_give_their_own_features(
    torch_home: Path, uri: str, kind: str, eps: float | None
) -> None:
    model = detector(kind, eps)
    torch_home.mkdir(parents=True)
    known = resolve(uri)
    path = saved(torch_home / known.url.rpartition("/")[2], model.state_dict())
    spec = dataclasses.replace(known, digest=cards.file_digest(path)[:8])
    loaded = load(spec, 0, offline=True)
    assert_same_features(loaded.backbone, model.backbone.body)
    assert loaded.report.coverage == 1.0
    assert loaded.report.by_stage["layer3"] == StageLoad(matched=95)  # 19 convolutions and norms of 5 tensors
    assert loaded.report.by_stage["backbone"].left_over > 0  # the pyramid
    assert {m.eps for m in loaded.backbone.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-5}
    assert bool(loaded.report.notes) == (eps is not None)
    # A copy of the file and a card with the same facts give the same values.
    card = spec_of(path, "resnet50", key_prefix="backbone.body.", norm_eps=known.norm_eps)
    again = load(card, 1).backbone.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in loaded.backbone.state_dict().items())
    if eps is not None:
        with pytest.raises(AssertionError):  # the trap: the usual epsilon is another network
            assert_same_features(load(dataclasses.replace(spec, norm_eps=None), 0).backbone, model.backbone.body)


def test_a_cached_file_with_another_digest_is_refused(torch_home: Path) -> None:
    torch_home.mkdir(parents=True)
    path = saved(torch_home / "resnet18-f37072fd.pth", torchvision.models.resnet18().state_dict())
    found = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    message = refusal(resolve("tv:ResNet18_Weights.IMAGENET1K_V1"))
    assert f"{path} is not the file that tv:ResNet18_Weights.IMAGENET1K_V1 names" in message
    assert f"begins with {found}, not f37072fd. Delete it" in message


@pytest.mark.parametrize("how", ["argument", "HEADSTART_OFFLINE", "HF_HUB_OFFLINE"])
@pytest.mark.parametrize("uri", ["tv:ResNet18_Weights.IMAGENET1K_V1", "timm:resnet18.a1_in1k"])
def test_offline_never_downloads(
    torch_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, how: str
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    if how != "argument":
        monkeypatch.setenv(how, "1")
    said: list[str] = []
    message = refusal(resolve(uri), offline=how == "argument", say=said.append)
    assert message.startswith(f"{uri} is not in the cache (") and "downloads are off" in message
    assert not said


def test_a_download_is_announced_and_a_failure_says_what_to_do(
    torch_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, str, str]] = []

    def unreachable(url: str, target: str, hash_prefix: str, progress: bool) -> None:
        asked.append((url, target, hash_prefix))
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    spec = resolve("tv:ResNet18_Weights.IMAGENET1K_V1")
    message = refusal(spec)
    target = torch_home / "resnet18-f37072fd.pth"
    assert asked == [(spec.url, str(target), "f37072fd")]
    assert capsys.readouterr().err == f"downloading {spec.uri} from {spec.url} to {target}\n"
    assert f"could not be downloaded from {spec.url}: OSError: no route to host." in message
    assert f"Check the connection and run again, or put the file at {target}" in message


def test_timm_weights_come_from_the_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--timm--resnet18.a1_in1k"
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    model = shuffled_norms(timm.create_model("resnet18"))
    safetensors.torch.save_file(model.state_dict(), snapshot / "model.safetensors")
    said: list[str] = []
    loaded = load(resolve("timm:resnet18.a1_in1k"), 0, offline=True, say=said.append)
    assert not said and loaded.report.coverage == 1.0
    assert loaded.report.by_stage["fc"] == StageLoad(left_over=2)
    images = torch.randn(2, 3, 64, 64)
    state = torch.get_rng_state()
    load(resolve("timm:resnet18.a1_in1k"), 0)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        expected = model.eval().forward_features(images)
        torch.testing.assert_close(loaded.backbone.eval()(images)["C5"], expected, rtol=1e-5, atol=1e-6)
    partial = {key: value for key, value in model.state_dict().items() if not key.startswith("layer4.1.bn2")}
    safetensors.torch.save_file(partial, snapshot / "model.safetensors")
    message = refusal(resolve("timm:resnet18"), offline=True)
    assert "timm cannot load timm:resnet18.a1_in1k from it" in message and "layer4.1.bn2" in message
