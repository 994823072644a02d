"""The paper's own chain as one study file: labels, then boxes on SNIPER chips from the weights that the labels made,
then transfer; in miniature, in the official layouts. And `headstart pretrain` is a plan of one such job."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from headstart import api
from headstart.errors import StudyError, WeightsError
from headstart.recipes.pretraining import PretrainingOptions
from headstart.study.files import load_study
from headstart.weights import native
from headstart.weights.cards import resolve
from headstart.weights.checkpoint import load
from support.drawn_layouts import as_coco, as_voc, drawn_images
from support.miniatures import image

LABELS = """
epochs = 1
backbone = "shapes-resnet"
sampling.size = 64
training = { batch_size = 4, reference_batch = 4, lr = 0.01, warmup = 1, precision = "fp32" }
"""
BOXES = """
epochs = 1
sampling.size = 96
sampling.proposal_epochs = 1
sampling.scales = [{ kind = "factor", value = 1.5, hi = 60 }, { kind = "longest", value = 96, lo = 30 }]
inference = [{ kind = "longest", value = 96 }]
training = { batch_size = 4, reference_batch = 4, lr = 0.004, warmup = 1, precision = "fp32", freeze = ["stem"], \
channels = 16, anchors = [16, 32, 64], proposals = 40, rois = 16, roi_pool = "align" }
"""
STUDY = """
name = "paper-in-small"
seeds = [0]
bootstrap = 100

[sets]
coco = {{ path = "coco", splits = ["train"] }}
voc-train = {{ path = "voc/VOC2007", task = "detect", role = "train", size_hw = [96, 96] }}
voc-test = {{ path = "voc/VOC2007", task = "detect", role = "test", size_hw = [96, 96] }}
flowers-train = {{ path = "flowers", task = "classify", role = "train", size_hw = [64, 64] }}
flowers-test = {{ path = "flowers", task = "classify", role = "test", size_hw = [64, 64] }}

[pretraining.labels]
images = "coco"
recipe = "imagenet-classification"
validation = "val"
[pretraining.labels.changes]
{labels}
[pretraining.boxes]
images = "coco"
recipe = "sniper-coco"
start = "labels"
validation = "val"
[pretraining.boxes.changes]
{boxes}
[[weights]]
name = "labels-then-boxes"
pretraining = "boxes"

[[weights]]
name = "labels"
pretraining = "labels"
default = true

[[tasks]]
name = "voc"
kind = "detect"
train = ["voc-train"]
test = ["voc-test"]
protocol = "voc07-11pt"
recipe = {{ name = "d", updates = 2, batch_size = 4, lr = 1e-3, head = "fcos", channels = 16 }}

[[tasks]]
name = "flowers"
kind = "classify"
train = ["flowers-train"]
test = ["flowers-test"]
recipe = {{ name = "c", updates = 2, batch_size = 4, lr = 1e-3, head = "linear" }}
"""


def as_flowers(root: Path) -> Path:
    """Oxford Flowers-102: three classes of five images each, in its three official parts."""
    for k in range(1, 16):
        image(root / f"jpg/image_{k:05d}.jpg", k)
    savemat(root / "imagelabels.mat", {"labels": np.array([[1 + k % 3 for k in range(15)]], np.uint8)})
    parts = {"trnid": range(1, 7), "valid": range(7, 10), "tstid": range(10, 16)}
    savemat(root / "setid.mat", {name: np.array([list(rows)], np.uint16) for name, rows in parts.items()})
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("paper")
    drawn = drawn_images(root / "drawn", 16)
    as_coco(drawn, root / "coco"), as_voc(drawn, root / "voc"), as_flowers(root / "flowers")
    (root / "paper.toml").write_text(STUDY.format(labels=LABELS, boxes=BOXES))
    done = api.run_study(str(root / "paper.toml"), root / "run", workers=1, quiet=True)
    assert not done.failed, done.failed
    return root


@pytest.mark.slow
def test_labels_then_boxes_then_transfer_ends_in_a_report_that_says_so(folder: Path) -> None:
    run = folder / "run"
    summary = json.loads((run / "metrics.json").read_text())
    made = {row["name"]: row for row in summary["pretrainings"]}
    assert re.fullmatch(r"coco labels \(64 px, \d+ images seen\)", made["labels"]["lineage"][0])
    assert made["boxes"]["lineage"][0] == made["labels"]["lineage"][0]
    assert re.fullmatch(r"coco boxes \(96 px, \d+ images seen\)", made["boxes"]["lineage"][1])
    assert {(t["task"], t["weights"]) for t in summary["trials"]} == {
        (task, weights) for task in ("voc", "flowers") for weights in ("labels", "labels-then-boxes")
    }
    assert {r["task"] for r in summary["rankings"]} == {"voc", "flowers"}
    assert {row["name"]: row["lineage"] for row in summary["weights"]}["labels-then-boxes"] == made["boxes"]["lineage"]
    page = (run / "report.html").read_text()
    assert "labels, then boxes: coco labels" in page and "all but stem" in page and "as they are" in page
    text = (run / "metrics.json").read_text()
    assert str(folder) not in text and "seconds" not in text
    kinds = {p.name.rpartition("-")[0] for p in (run / "store").iterdir()}
    assert {"proposals", "pretrain", "transfer", "evaluate"} <= kinds


@pytest.mark.slow
def test_boxes_start_from_what_the_labels_made(folder: Path) -> None:
    labels, boxes = (
        native.read_facts(Path(resolve(f"run:{folder / 'run'}#{n}").file or "")) for n in ("labels", "boxes")
    )
    assert boxes.provenance["started from"]["name"] == "labels" and labels.provenance["started from"]["digest"] == ""
    stem = [load(resolve(f"run:{folder / 'run'}#{n}"), 0).backbone.state_dict() for n in ("labels", "boxes")]
    frozen = [name for name in stem[0] if name.startswith(("conv1", "bn1")) and "num_batches" not in name]
    changed = [name for name in stem[0] if name.startswith("layer4") and name.endswith("conv1.weight")]
    assert frozen and all((stem[0][name] == stem[1][name]).all() for name in frozen)
    assert changed and all((stem[0][name] != stem[1][name]).any() for name in changed)


@pytest.mark.slow
def test_the_command_finds_the_job_of_the_study_done(folder: Path) -> None:
    run = folder / "run"
    study, _ = load_study(str(folder / "paper.toml"))
    before = {p: p.stat().st_mtime_ns for p in (run / "store").rglob("*")}
    labels = [line.strip() for line in LABELS.strip().splitlines()]
    changes = [f"{key.strip()}={value.strip()}" for key, _, value in (line.partition("=") for line in labels[:3])]
    for pair in re.findall(r"(\w+) = ([^,}]+)", labels[3].partition("{")[2]):
        changes.append(f"training.{pair[0]}={pair[1].strip()}")
    options = PretrainingOptions(out=run, split=("train",), val="val", threads=study.threads)
    done = api.pretrain(folder / "coco", "imagenet-classification", options, changes=changes)
    assert done.lines[0] == "nothing to do: it was finished before"
    assert before == {p: p.stat().st_mtime_ns for p in (run / "store").rglob("*")}
    with pytest.raises(StudyError, match=r"run: holds a different study.*Give another folder with --out"):
        api.pretrain(folder / "coco", "imagenet-classification", options, changes=[*changes, "epochs=2"])


@pytest.mark.slow
def test_what_a_run_made_is_taken_by_its_uri_wherever_weights_are(folder: Path, tmp_path: Path) -> None:
    run = folder / "run"
    uri = f"run:{run}#boxes"
    verified = api.verify_weights(uri)
    assert verified.good and any("fingerprint" in check for check in verified.checks)
    assert api.export_weights(f"run:{run}#labels", tmp_path / "w.safetensors", "timm").file.is_file()
    assert resolve(uri).identity() == resolve(f"file:{Path(resolve(uri).file or '').parent}").identity()
    summary = json.loads((run / "metrics.json").read_text())
    for name, kind in (("boxes", "detect"), ("labels", "classify")):
        made = next(row for row in summary["pretrainings"] if row["name"] == name)
        model = run / "store" / made["dir"] / "model"
        assert json.loads((model / "model.json").read_text())["task"] == kind
        for where in (model, model.parent, f"run:{run}#{name}"):
            found = api.predict(where, folder / "coco" / "val2017", tmp_path / name, 0.01)
            assert found.count == 4 and not found.failed
    with pytest.raises(
        WeightsError, match=r"which one is not said\. Pre-trainings in .*: boxes/0, labels/0\. Give run:"
    ):
        resolve(f"run:{run}")
    with pytest.raises(WeightsError, match=r"no finished pre-training 'boxes/7"):
        resolve(f"run:{run}#boxes/7")


@pytest.mark.parametrize(
    "old, new, words",
    [
        ('start = "labels"', 'start = "boxes"', r"pretraining\.boxes: starts from itself"),
        ('recipe = "sniper-coco"', 'recipe = "sniper-cocoa"', r"no such recipe.*Did you mean sniper-coco"),
        ('splits = ["train"]', 'task = "detect"', r"sets\.coco"),
        ("freeze", "tower = 3, freeze", r"tower.*faster-rcnn"),
        ('train = ["voc-train"]', 'train = ["coco"]', r"set 'coco' is for pre-trainings"),
    ],
)
def test_faults_of_a_study_that_pretrains(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = STUDY.format(labels=LABELS, boxes=BOXES)
    assert old in text
    (tmp_path / "s.toml").write_text(text.replace(old, new))
    with pytest.raises(StudyError, match=words):
        load_study(str(tmp_path / "s.toml"))
