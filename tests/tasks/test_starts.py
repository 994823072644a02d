"""Starts of our own pre-trainings: what is copied of each of the three heads, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from headstart.config.study import Study, WeightsEntry
from headstart.errors import StudyError, UsageError, WeightsError
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.detection.parts import PARTS, ClassRows, part_of
from headstart.recipes.schema import recipe_of
from headstart.study.plan import Planner
from headstart.tasks.copying import BACKBONE_ONLY, Copying, copy_into
from headstart.tasks.transfer import Start, assembled, save_model
from headstart.weights.detectors.reading import read_pretrained
from headstart.weights.starts import CopySettings, proof_text, require_start, split_start
from support.small_studies import drawn

OLD, NEW = ("ring", "disc", "bar"), ("bar", "star")
HEADS: list[dict[str, Any]] = [
    {"head": "fcos", "channels": 16},
    {"head": "retinanet", "channels": 16, "levels": ("C3", "C4", "C5")},
    {"head": "faster-rcnn", "channels": 16, "neck": "fpn", "levels": ("C3", "C4", "C5")},
]
BASIC = {"name": "r", "updates": 2, "batch_size": 2, "lr": 1e-3}
COPIED = {"backbone": ("backbone",), "backbone+neck": ("backbone", "neck"), "detector": ("backbone", "neck", "head")}


def begin(copying: Copying = BACKBONE_ONLY) -> Start:
    return Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), Preprocessing(), False, copying)


def detector(settings: dict[str, Any], classes: int, seed: int, start: Start | None = None) -> nn.Module:
    recipe = recipe_of(BASIC | settings)
    return assembled(start or begin(), "detect", recipe, classes, size_hw=(64, 64), seed=seed)


def pretrained(folder: Path, settings: dict[str, Any]) -> nn.Module:
    """A detector as a pre-training leaves it, with statistics in its norms."""
    model = detector(settings, len(OLD), 7)
    for name, values in model.named_buffers():
        if name.endswith("running_mean"):
            values.normal_()
    recipe = recipe_of(BASIC | settings).identity()
    facts = {"task": "detect", "recipe": recipe, "classes": list(OLD), "backbone": "shapes-resnet"}
    (folder / "model").mkdir(parents=True)
    save_model(folder / "model", model, facts)
    return model


@pytest.mark.parametrize("settings", HEADS, ids=lambda s: s["head"])
@pytest.mark.parametrize("start", ["backbone", "backbone+neck", "detector"])
def test_every_tensor_is_copied_or_fresh(tmp_path: Path, settings: dict[str, Any], start: str) -> None:
    before = pretrained(tmp_path, settings)
    fresh = detector(settings, len(NEW), 0)
    filled = frozenset(before.backbone.state_dict())  # the backbone itself is loaded before the model is built
    copying = Copying(filled, read_pretrained(tmp_path), CopySettings(start))  # type: ignore[arg-type]
    model = detector(settings, len(NEW), 0, begin(copying))
    model.backbone.load_state_dict(before.backbone.state_dict())
    proof = copy_into(model, copying, NEW)
    old, now, drawn_anew = before.state_dict(), model.state_dict(), fresh.state_dict()
    seen = dict.fromkeys(PARTS, 0)
    for name in (n for n in now if not n.endswith("num_batches_tracked")):
        part = part_of(name, model.class_rows)
        from_where = old if part in COPIED[start] else drawn_anew
        assert torch.equal(now[name], from_where[name]), name
        seen[part] += 1
    want = {part: (n, 0, 0) if part in COPIED[start] else (0, 0, n) for part, n in seen.items()}
    assert dict(proof.parts) == want and proof.keys == sum(seen.values()) and proof.start == start
    assert f"of {proof.keys} tensors" in proof_text(proof.to_json())


@pytest.mark.parametrize("settings", HEADS, ids=lambda s: s["head"])
def test_rows_of_known_classes_on_request_only(tmp_path: Path, settings: dict[str, Any]) -> None:
    before = pretrained(tmp_path, settings)
    copying = Copying(frozenset({"x"}), read_pretrained(tmp_path), CopySettings("detector", "by-name"))
    model, fresh = detector(settings, len(NEW), 0, begin(copying)), detector(settings, len(NEW), 0)
    proof = copy_into(model, copying, NEW)
    assert proof.resized == ("class layer: the rows of bar; 1 of 2 classes are fresh",)
    assert proof.parts["classes"][0] == proof.parts["classes"][2] == 0
    layer = model.class_rows[0]
    name = f"{layer.prefix}weight"
    rows = [layer.by_class(m.state_dict()[name]) for m in (model, before, fresh)]
    assert torch.equal(rows[0][:, 0], rows[1][:, 2]) and torch.equal(rows[0][:, 1], rows[2][:, 1])


def test_class_rows_by_hand() -> None:
    """Two anchors of three classes: outputs are anchor by anchor; boxes of two classes are four a class."""
    anchors = ClassRows("classes.", before=2)
    assert anchors.count(6) == 3
    assert anchors.by_class(torch.arange(6.0))[:, :, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    boxes = ClassRows("boxes.", each=4)
    assert boxes.by_class(torch.arange(8.0))[0, 1].tolist() == [4, 5, 6, 7]
    assert ClassRows("c.", background=1).count(4) == 3


@pytest.mark.parametrize("settings", HEADS[:2], ids=lambda s: s["head"])
@pytest.mark.parametrize("classes", [1, 20])
def test_the_prior_of_a_fresh_class_layer_is_one_percent(settings: dict[str, Any], classes: int) -> None:
    bias = detector(settings, classes, 0).classes.bias
    assert bias.tolist() == pytest.approx([-math.log(99)] * len(bias))


def test_a_neck_of_another_width_is_refused(tmp_path: Path) -> None:
    pretrained(tmp_path, HEADS[0])
    copying = Copying(frozenset({"x"}), read_pretrained(tmp_path), CopySettings("backbone+neck"))
    model = detector(HEADS[0] | {"channels": 24}, 2, 0)
    with pytest.raises(WeightsError, match=r"gives 0 of the \d+ tensors of the neck of FcosDetector.*of shape 16x"):
        copy_into(model, copying, NEW)


def test_a_backbone_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"a backbone alone.*Use start = \"backbone\""):
        read_pretrained(tmp_path)


def test_starts_of_candidates() -> None:
    assert split_start("tv:Some_Weights.COCO_V1#detector") == ("tv:Some_Weights.COCO_V1", "detector")
    assert split_start("run:r#boxes/3#backbone+neck") == ("run:r#boxes/3", "backbone+neck")
    assert split_start("file:w.pth#ema") == ("file:w.pth#ema", None)
    with pytest.raises(UsageError, match=r"no start 'detectr'.*Did you mean 'detector'"):
        split_start("file:w.pth#detectr")
    with pytest.raises(UsageError, match=r"no start 'whole', only random, backbone, backbone.neck, detector"):
        require_start("whole")


def planned(**entry: Any) -> Planner:
    study = drawn()
    study["weights"] = [{"name": "a", **entry}, {"name": "b", "uri": "random:shapes-resnet"}]
    study.pop("explain", None)
    study["tasks"] = [{**t, "only": ()} for t in study["tasks"] if t["kind"] == "detect"]
    return Planner(Study.model_validate(study), Path())


def test_the_start_is_part_of_a_transfers_key() -> None:
    keys = {}
    for start in ("random", "backbone", "backbone+neck", "detector"):
        planner = planned(pretraining="boxes", start=start)
        job = planner.jobs.transfer(planner.study.tasks[0], planner.study.weights[0], 5, 0, lr=1e-3)
        keys[start] = job.key
        if start == "random":  # it is the transfer of random values, and made once
            other = planner.jobs.transfer(planner.study.tasks[0], planner.study.weights[1], 5, 0, lr=1e-3)
            assert other.key == job.key and not {"weights"} & job.inputs.keys()
        else:
            assert job.inputs["weights"].kind == "pretrain"
    assert len(set(keys.values())) == 4
    assert len({planned(pretraining="boxes", start=s).origins.job("boxes", 5).key for s in COPIED}) == 1


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"pretraining": "labels", "start": "detector"}, r"'labels' trains no detector, so it has no neck. Use start"),
        ({"uri": "timm:resnet18.a1_in1k", "start": "backbone+neck"}, r"is a classifier of timm, and has no neck"),
        ({"uri": "random:resnet18", "start": "detector"}, "random values, and has no neck"),
    ],
)
def test_starts_that_cannot_be_are_refused_when_planned(entry: dict[str, str], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        planned(**entry)


def test_a_pretraining_of_another_width_is_refused_when_planned() -> None:
    study = drawn()
    study["weights"] = [{"name": "a", "pretraining": "boxes", "start": "detector"}]
    study.pop("explain", None)
    tasks = [{**t, "only": ()} for t in study["tasks"] if t["kind"] == "detect"]
    study["tasks"] = [tasks[0] | {"recipe": dict(tasks[0]["recipe"]) | {"channels": 24}}]
    with pytest.raises(
        StudyError, match=r"weights.a: start 'detector': it has channels = 16, and recipe d has channels"
    ):
        Planner(Study.model_validate(study), Path())


def test_unknown_starts_and_idle_rows_are_faults() -> None:
    with pytest.raises(ValueError, match=r"'random', 'backbone', 'backbone.neck' or 'detector'"):
        WeightsEntry(name="a", uri="random:resnet18", start="whole")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`class_rows` needs"):
        WeightsEntry(name="a", uri="file:w", class_rows="by-name")
