"""`weights import` and `verify`: an own checkpoint is loaded exactly, and says when it is not what was written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from headstart import api
from headstart.errors import WeightsError
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.weights import commands, native
from headstart.weights.cards import file_digest, resolve
from headstart.weights.checkpoint import load

CARD = """name = "mine"
backbone = "resnet18"
file = "r18.pth"
lineage = ["ImageNet-1k labels", "my boxes"]
licence = "MIT"
norm_eps = 1e-3
source = "my own"

[preprocessing]
channel_order = "bgr"
scale = 1.0
mean = [104.0, 117.0, 123.0]
std = [1.0, 1.0, 1.0]
"""


@pytest.fixture
def card(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    model = torchvision.models.resnet18(weights=None)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
        nn.init.normal_(norm.running_mean)
        norm.num_batches_tracked.fill_(7)  # type: ignore[operator, union-attr]
    torch.save(model.state_dict(), tmp_path / "r18.pth")
    (tmp_path / "card.toml").write_text(CARD)
    return tmp_path / "card.toml"


@pytest.mark.parametrize("out", ["ckpt", "ckpt.safetensors"])
def test_an_own_checkpoint_is_loaded_exactly_with_all_its_facts(card: Path, out: str) -> None:
    folder = card.parent
    original = load(resolve("card.toml", folder), 0)
    imported = commands.import_weights("card.toml", folder / out, folder)
    file, report = imported.file, imported.report
    assert file == folder / (out if out.endswith(".safetensors") else "ckpt/backbone.safetensors")
    assert report.coverage == 1.0
    spec = resolve(f"file:{out}", folder)
    assert (spec.name, spec.backbone, spec.lineage, spec.licence, spec.source) == (
        "mine",
        "resnet18",
        ("ImageNet-1k labels", "my boxes"),
        "MIT",
        "my own",
    )
    assert spec.preprocessing == Preprocessing("bgr", 1.0, (104, 117, 123), (1, 1, 1)) and spec.norm_eps is None
    again = load(spec, 5)
    expected = original.backbone.state_dict()
    state = again.backbone.state_dict()
    assert state.keys() == expected.keys() and all(torch.equal(state[key], expected[key]) for key in state)
    assert again.report.fingerprint == original.report.fingerprint
    facts = native.read_facts(file)
    assert facts.provenance["file"] == "r18.pth" and facts.provenance["norm_eps"] == 1e-3
    assert facts.provenance["sha256"] == file_digest(folder / "r18.pth")
    assert "folded into their weights" in facts.provenance["notes"][0]
    with safe_open(file, "pt") as written:
        assert json.loads(written.metadata()[native.KEY])["format"] == 1
        assert "layer4.1.bn2.num_batches_tracked" in written.keys()  # noqa: SIM118
    checks = commands.verify(f"file:{out}", folder).checks
    assert checks[0].startswith(f"values: SHA-256 {facts.digest[:12]}") and "fingerprint" in checks[1]


def test_identity_does_not_depend_on_the_place_of_an_own_checkpoint(card: Path) -> None:
    folder = card.parent
    commands.import_weights("card.toml", folder / "a", folder)
    (folder / "b").mkdir()
    (folder / "b" / native.FILE).write_bytes((folder / "a" / native.FILE).read_bytes())
    assert resolve("file:a", folder).identity() == resolve("file:b", folder).identity()
    assert resolve("file:a/backbone.safetensors", folder).identity() == resolve("file:b", folder).identity()


def test_any_layout_can_be_imported_and_pyramids_are_not_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224")
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    file = commands.import_weights("file:vit.safetensors@vit_tiny_patch16_224", tmp_path / "own", tmp_path).file
    tensors = load_file(file)
    assert set(tensors) == {key for key in model.state_dict() if not key.startswith("head.")}
    assert load(resolve("file:own", tmp_path), 0).report.coverage == 1.0


def test_what_is_there_is_kept_and_nothing_is_imported_from_random_values(card: Path) -> None:
    folder = card.parent
    commands.import_weights("card.toml", folder / "a", folder)
    with pytest.raises(
        WeightsError, match=r"a/backbone\.safetensors exists already\. Give another OUT, or --overwrite"
    ):
        commands.import_weights("card.toml", folder / "a", folder)
    commands.import_weights("card.toml", folder / "a", folder, overwrite=True)
    with pytest.raises(WeightsError, match=r"random:resnet18 are random values, .*nothing to import"):
        commands.import_weights("random:resnet18", folder / "b", folder)
    assert not (folder / "b").exists()


def test_changed_values_and_changed_features_are_found(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = card.parent
    file = commands.import_weights("card.toml", folder / "a", folder).file
    facts, tensors = native.read_facts(file), load_file(file)
    other = {name: list(values) for name, values in facts.fingerprint.items()} | {"C5": [0.0, 1.0, 0.0]}
    native.write(folder / "a", tensors, dataclasses.replace(facts, fingerprint=other))
    with pytest.raises(WeightsError, match=r"gives other features than at import\. Its code, or a library, has"):
        commands.verify("file:a", folder)
    tensors["conv1.weight"][0, 0, 0, 0] += 1e-4
    native.write(folder / "a", tensors, facts)
    with pytest.raises(WeightsError, match=r"its values are not those that were written .*Import the original again"):
        commands.verify("file:a", folder)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('{"format": 1}', r"the header of this checkpoint is damaged or of a newer format \(.*missing"),
        ("no json", "the header of this checkpoint is damaged"),
        (
            json.dumps(
                dataclasses.asdict(
                    native.CheckpointFacts(
                        "n", "resnet18", IMAGENET.to_json(), [], licence="", source="", digest="", format=2
                    )
                )
            ),
            r"is of format 2; this version reads format 1\. Update Headstart",
        ),
    ],
)
def test_headers_that_cannot_be_read(tmp_path: Path, written: str, message: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "native.safetensors", metadata={native.KEY: written})
    with pytest.raises(WeightsError, match=message) as caught:
        resolve("file:native.safetensors", tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "native.safetensors"))


def test_other_files_are_not_taken_for_own_ones(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "theirs.safetensors")
    (tmp_path / "odd.safetensors").write_bytes(b"\xff" * 64)
    (tmp_path / "short.safetensors").write_bytes(b"\x00")
    for name in ("theirs", "odd", "short"):
        assert native.find(tmp_path / f"{name}.safetensors") is None
    assert native.find(tmp_path) is None


def test_public_files_are_found_by_name_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    spec = resolve("dino-r50")
    assert (spec.kind, spec.layout, spec.backbone, spec.licence) == ("url", "dino", "resnet50", "apache-2.0")
    path = tmp_path / "hub" / "checkpoints" / "dino_resnet50_pretrain.pth"
    path.parent.mkdir(parents=True)
    model = torchvision.models.resnet50(weights=None)
    state = {key: value for key, value in model.state_dict().items() if not key.startswith("fc.")}
    torch.save(state, path)
    report = load(spec, 0, offline=True).report
    assert report.coverage == 1.0
    assert report.warnings == (
        "unverified: the layout dino was never tried on a real file; compare the fingerprint "
        "with the source's own features",
    )
    named = path.with_name("faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth")
    torch.save({"state_dict": {f"backbone.{key}": value for key, value in state.items()}, "meta": {}}, named)
    with pytest.raises(WeightsError, match=r"is not the file that mmdet-faster-rcnn-r50-fpn-1x names: its sha256 begi"):
        load(resolve("mmdet-faster-rcnn-r50-fpn-1x"), 0, offline=True)


def test_dilated_segmenters_are_loaded_dilated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    known = resolve("deeplabv3-resnet50-coco-voc")
    path = tmp_path / "hub" / "checkpoints" / known.url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    theirs: nn.Module = torchvision.models.segmentation.deeplabv3_resnet50(
        weights=None, weights_backbone=None, aux_loss=True
    ).eval()
    torch.save(theirs.state_dict(), path)
    loaded = load(dataclasses.replace(known, digest=file_digest(path)[:8]), 0, offline=True)
    images = torch.randn(1, 3, 65, 65)
    with torch.no_grad():
        expected = theirs.backbone(images)["out"]  # type: ignore[operator]
        torch.testing.assert_close(loaded.backbone.eval()(images)["C5"], expected, rtol=1e-5, atol=1e-5)
    assert loaded.report.by_stage["classifier"].left_over > 0


def test_own_checkpoints_are_exported_and_come_back(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(card.parent)
    api.import_weights("card.toml", Path("own"))
    expected = load(resolve("file:own"), 0)
    for to, file in (
        ("timm", "t.safetensors"),
        ("torchvision", "t.pth"),
        ("detectron2", "d.pkl"),
        ("mmdetection", "m.pth"),
    ):
        lines = api.export_weights("own", file, to).text().splitlines()  # type: ignore[arg-type]
        assert f"written: {file}" in lines and any(line.startswith("input: bgr, scale 1, mean (104") for line in lines)
        again = load(resolve(f"file:{file}"), 0)
        state, there = expected.backbone.state_dict(), again.backbone.state_dict()
        assert all(torch.equal(there[key], state[key]) for key in state if "num_batches" not in key), to
        assert again.preprocessing == expected.preprocessing, to
