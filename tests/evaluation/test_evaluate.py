"""`headstart evaluate` from files to printed numbers."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart import api
from headstart.data.annotate import annotate
from headstart.data.columns import BoxColumns
from headstart.data.detections import read_detections, scored_rows
from headstart.errors import DataError, UsageError
from headstart.evaluation.evaluate import evaluate_detections
from headstart.evaluation.request import EvaluationRequest, thresholds_of
from headstart.evaluation.scoring import COCO_NAMES
from headstart.metrics.average_precision import average_precision
from headstart.readers.formats import open_dataset
from headstart.stats.bootstrap import image_weights
from headstart.tasks.truth import truth_of

SHARED = Path(__file__).parents[3] / "shared" / "data"
BCCD, COCO = SHARED / "voc_bccd", SHARED / "coco_tiny"
IMAGES = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A VOC folder of 12 images with two boxes each, a cat and a difficult or plain dog; images 0..8 are the test."""
    root = tmp_path_factory.mktemp("evaluate") / "pets"
    rng = np.random.default_rng(0)
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    for i in range(IMAGES):
        pixels = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((80, 60), Image.Resampling.NEAREST).save(root / f"JPEGImages/{i:03d}.jpg")
        objects = "".join(
            f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x}</xmin><ymin>11</ymin>"
            f"<xmax>{x + 19}</xmax><ymax>40</ymax></bndbox></object>"
            for name, difficult, x in (("cat", 0, 1 + i), ("dog", i % 2, 41 + i))
        )
        (root / f"Annotations/{i:03d}.xml").write_text(
            f"<annotation><size><width>80</width><height>60</height></size>{objects}</annotation>"
        )
    (root / "ImageSets/Main/test.txt").write_text("".join(f"{i:03d}\n" for i in range(9)))
    (root / "ImageSets/Main/train.txt").write_text("".join(f"{i:03d}\n" for i in range(9, IMAGES)))
    return root


def detections(path, shift, images=9, wrong=0):
    """The true boxes moved by `shift` pixels, as COCO results with names; the last `wrong` of each class far off."""
    records = [
        {
            "image_id": f"{i:03d}",
            "category_id": name,
            "score": round(0.9 - 0.05 * i, 3),
            "bbox": [x + i + shift + (30 if i >= images - wrong else 0), 10, 20, 30],
        }
        for i in range(images)
        for name, x in (("cat", 0), ("dog", 40))
    ]
    path.write_text(json.dumps(records))
    return path


def test_numbers_are_those_of_the_metrics(data, tmp_path):
    path = detections(tmp_path / "r.json", 3, wrong=2)
    found = api.evaluate(path, data, "all", split="test", bootstrap=200)
    table = open_dataset(data)
    rows = scored_rows(table, "test")
    truth, side = truth_of(table, rows), read_detections(path, table, rows)
    for protocol, ious in (("voc07-11pt", (0.5, 0.7)), ("voc-area", (0.5, 0.7)), ("openimages", (0.5,))):
        expected = average_precision(truth, side.detections, protocol, ious)
        draws = expected.replicates(image_weights(np.arange(9), 200))
        for t, iou in enumerate(ious):
            name = f"det/{protocol}/map@{iou}"
            assert found.metrics[name] == expected.map[t]
            assert found.metrics[f"det/{protocol}/ap@{iou}/dog"] == expected.ap[t, 1]
            interval = found.intervals[name]
            assert interval.hi - interval.effect == pytest.approx(1.959964 * draws[:, t].std(ddof=1), rel=1e-5)
            assert interval.p is None
    assert found.metrics["det/coco/map@0.5:0.95"] == pytest.approx(
        np.mean([found.metrics[f"det/coco/map@{t:g}"] for t in thresholds_of(["0.5:0.95"])]), abs=1e-12
    )
    assert {name for name in found.metrics if "/ap@" not in name} == set(found.intervals)
    assert found.counts["voc-area"] == {"cat": 9, "dog": 5}
    assert (found.num_images, found.num_boxes, found.num_clusters) == (9, 18, 9)


def test_comparison_is_paired(data, tmp_path):
    """The same detections differ by nothing, surely; worse ones by what they lack."""
    good, bad = detections(tmp_path / "good.json", 1), detections(tmp_path / "bad.json", 1, wrong=4)
    same = api.evaluate(good, data, "voc-area", split="test", compare=good)
    difference = same.differences["det/voc-area/map@0.5"]
    assert (difference.effect, difference.lo, difference.hi) == (0, 0, 0)
    found = api.evaluate(good, data, "voc-area", split="test", compare=bad)
    difference = found.differences["det/voc-area/map@0.5"]
    assert difference.effect == found.metrics["det/voc-area/map@0.5"] - found.others["det/voc-area/map@0.5"] > 0.3
    assert 0 < difference.lo < difference.effect < difference.hi
    without = api.evaluate(good, data, "voc-area", split="test", compare=bad, bootstrap=0)
    assert without.differences["det/voc-area/map@0.5"].effect == difference.effect
    assert np.isnan(without.differences["det/voc-area/map@0.5"].lo) and without.intervals == {}


def test_near_duplicates_are_drawn_together(data, tmp_path, monkeypatch):
    """Where it is asked for, and from then on, since they are known; no image is opened otherwise."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    path = detections(tmp_path / "r.json", 3, wrong=3)
    pictures = sorted((data / "JPEGImages").iterdir())
    kept = pictures[0].read_bytes()
    pictures[0].write_bytes(pictures[1].read_bytes())
    for picture in pictures:
        os.utime(picture, (1e9, 1e9))
    try:
        alone = api.evaluate(path, data, split="test")
        assert (alone.num_clusters, alone.clustered) == (9, "each image alone")
        found = api.evaluate(path, data, split="test", clusters=True)
        assert (found.num_clusters, found.clustered) == (8, "near-duplicates together")
        known = api.evaluate(path, data, split="test")
        assert (known.num_clusters, known.clustered) == (8, "near-duplicates, known from before, together")
        first, second, third = (each.intervals["det/coco/map@0.5"] for each in (alone, found, known))
        assert second == third and second.se != first.se
        assert api.evaluate(path, data, split="test", clusters=False).num_clusters == 9
        os.utime(pictures[0])
        assert api.evaluate(path, data, split="test").num_clusters == 9, "a changed image is not known"
    finally:
        pictures[0].write_bytes(kept)


def test_printed(data, tmp_path, command):
    path = detections(tmp_path / "r.json", 3, wrong=2)
    code, out, err = command("evaluate", path, data, "-p", "all", "--split", "test", "--compare", path, "--explain")
    assert code == 0
    assert err == ""
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == f"{data}: voc, 9 images of split test, 18 boxes, 2 classes"
    assert lines[1] == f"{path}: coco, 18 detections"
    # cat: 7 hits, 2 misses: 7/9; dog: of 9 detections those of images 1, 3, 5 are ignored, 7 is wrong: 4 of 5 found
    assert lines[lines.index("") + 2].startswith("det/voc07-11pt/map@0.5 ")
    assert any(line.startswith(f"det/voc-area/map@0.5 {100 * (7 / 9 + 4 / 5) / 2:.2f} [") for line in lines)
    assert (
        "class boxes voc07-11pt/ap@0.5 voc07-11pt/ap@0.7 voc-area/ap@0.5 voc-area/ap@0.7 coco/ap@0.5 "
        "coco/ap@0.5:0.95 openimages/ap@0.5" in lines
    )
    assert sum(line.endswith("0.00 [0.00, 0.00]") for line in lines) == 21
    assert sum(line.endswith(" - - - - -") for line in lines) == 4  # no box of 32^2 pixels and more: AP and AR
    assert "11 points mean precision at 11 recalls -> area under the envelope" in out.replace("  ", "")
    whole = next(line for line in lines if line.startswith("det/coco/map@0.5:0.95 ")).split()[1]
    assert any(line.startswith("IoU thresholds") and f" {whole} " in line and line.endswith("coco") for line in lines)


def test_json(data, tmp_path, command):
    path = detections(tmp_path / "r.json", 3)
    code, out, err = command(
        "evaluate",
        path,
        data,
        "--protocol",
        "voc07-11pt",
        "--iou",
        "0.5,0.7",
        "--iou",
        "0.9",
        "--json",
        "-q",
        "--split",
        "test",
        "--explain",
        "--bootstrap",
        0,
    )
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert list(found["metrics"]) == [
        *(f"det/voc07-11pt/map@{t}" for t in (0.5, 0.7, 0.9)),
        *(f"det/voc07-11pt/ap@{t}/{c}" for t in (0.5, 0.7, 0.9) for c in ("cat", "dog")),
    ]
    assert found["metrics"]["det/voc07-11pt/map@0.9"] == 0.0
    assert found["data"] == {
        "path": str(data),
        "format": "voc",
        "split": "test",
        "images": 9,
        "clusters": 9,
        "clustered": "each image alone",
        "boxes": 18,
        "left_out": 0,
        "notes": [],
    }
    assert found["counts"] == {"voc07-11pt": {"cat": 9, "dog": 5}}
    assert found["explain"]["chain"][-1]["value"] == found["explain"]["protocols"]["coco@0.5:0.95"]
    assert found["intervals"] == {} and found["compared"] is None


def test_groups_and_errors(data, tmp_path, command):
    """All boxes are 20 x 30, two an image: everything is small and every image with both counted has 2 objects."""
    path = detections(tmp_path / "r.json", 0, wrong=2)
    words = ("evaluate", path, data, "--split", "test", "--by", "area", "--by", "count", "--errors", "-p", "voc-area")
    found = json.loads(command(*words, "--json", "--bootstrap", 50)[1])
    metrics = found["metrics"]
    assert metrics["det/voc-area/map@0.5/area-small"] == metrics["det/voc-area/map@0.5"]
    assert metrics["det/voc-area/map@0.7/area-large"] is None
    assert metrics["det/voc-area/map@0.5/count-1"] == 0.75  # cats of images 1, 3, 5 and 7, the last of which is wrong
    assert found["intervals"]["det/voc-area/map@0.5/area-small"] == found["intervals"]["det/voc-area/map@0.5"]
    # Moved by 30, a cat lies at IoU 10/30 with the dog beside it, which is difficult in image 7, and counts in image 8.
    assert found["errors"]["voc-area"]["counts"] == {
        "classification": 0,
        "localization": 0,
        "both": 1,
        "duplicate": 0,
        "background": 3,
        "missed": 3,
    }
    out = command(*words, "--bootstrap", 0, "--iou", "0.7")[1]
    lines = [" ".join(line.split()) for line in out.splitlines()]
    given = found["errors"]["voc-area"]["given_back"]["missed"]
    assert f"missed 3 +{100 * given:.2f}" in lines
    assert "det/voc-area/map@0.7/area-large -" in lines
    assert any(line.startswith("errors by voc-area, and the points that mending each kind alone") for line in lines)
    coco = json.loads(command(*words[:-1], "coco", "--json", "--bootstrap", 0)[1])["metrics"]
    assert coco["det/coco/map@0.5:0.95/area-small"] == coco["det/coco/map@0.5:0.95/small"]


def test_detections_of_one_split_only(data, tmp_path, command):
    path = detections(tmp_path / "r.json", 3)
    _, out, _ = command("evaluate", path, data, "-q", "--bootstrap", 0)
    assert "3 of 12 images have no detection" in out
    assert "every detection is on an image of split 'test'; --split test scores these images only" in out
    code, _, err = command("evaluate", path, data, "--split", "train")
    assert code == 2
    assert "18 of 18 detections are on images outside the 3 images that are scored: " in err
    assert "r.json: record 0: '000'" in err and "--split" in err and "--allow-unknown" in err
    more = detections(tmp_path / "more.json", 3, images=12)
    _, out, _ = command("evaluate", more, data, "--split", "test", "--allow-unknown", "--bootstrap", 0)
    assert "left out: 6 on images outside the 9 images that are scored" in out


def test_wrong_usage(data, tmp_path, command):
    path = detections(tmp_path / "r.json", 3)
    for words, said in [
        (("--iou", "half"), "error: --iou 'half' is no IoU threshold; write 0.5, or 0.5,0.7, or 0.5:0.95."),
        (("--iou", "1.5"), "error: an IoU threshold of 1.5 means nothing; give numbers above 0, at most 1."),
        (("--split", "val"), "no image of its split 'val' has its boxes annotated"),
        (("--protocol", "voc"), "voc07-11pt"),
    ]:
        code, out, err = command("evaluate", path, data, *words)
        assert (code, out) == (2, "")
        assert said in err
    with pytest.raises(
        UsageError, match=r"protocol 'voc' is unknown. Did you mean \w+\? Known: voc07-11pt, .*, lvis, all"
    ):
        api.evaluate(path, data, "voc")


def test_data_without_boxes(tmp_path, command):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "pets" / name / "0.png")
    path = detections(tmp_path / "r.json", 0)
    with pytest.raises(DataError, match=r"pets: a class-folders data set without boxes. Name a data set whose boxes"):
        api.evaluate(path, tmp_path / "pets")


def test_open_images_rules(tmp_path):
    """Two images; people said that there is a cat in a and none in b, and nothing of dogs in b. Animal is above both.

    cat: a hit at .9, a miss at .8: AP 1. dog: the detection in b counts for nothing; none is right in a: AP 0. animal
    has the boxes of both: the detection in a is a hit, that in b a miss (absent cats do not make absent animals, but a
    box there of its own does): 1 of 3 found at precision 1: AP 1/3.
    """
    boxes = BoxColumns(
        offsets=np.array([0, 2, 3]),
        source=np.array([[0.0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]]),
        labels=np.array([0, 1, 2]),
        flags=np.zeros(3, np.uint8),
        known=np.array([True, True]),
        classes=("cat", "dog", "animal"),
        convention="edges",
    )
    table = annotate(
        tmp_path / "oi",
        "drawn",
        ["a", "b"],
        ["a.jpg", "b.jpg"],
        sizes_hw=[(60, 60)] * 2,
        splits=["", ""],
        boxes=boxes,
        present=(np.array([0, 2, 2]), np.array([1, 2], np.int32)),
        absent=(np.array([0, 0, 1]), np.array([1], np.int32)),
        image_classes=("tree", "cat", "dog"),
        hierarchy={"cat": ("animal",), "dog": ("animal",)},
    )
    found = [
        ("a", "cat", 0.9, [0, 0, 10, 10]),
        ("b", "cat", 0.8, [0, 0, 10, 10]),
        ("b", "dog", 0.95, [0, 0, 10, 10]),
        ("a", "animal", 0.9, [0, 0, 10, 10]),
        ("b", "animal", 0.5, [0, 0, 10, 10]),
    ]
    path = tmp_path / "r.json"
    path.write_text(json.dumps([{"image_id": i, "category_id": c, "score": s, "bbox": b} for i, c, s, b in found]))
    request = EvaluationRequest(("openimages", "voc-area"), bootstrap=0, errors=True)
    result = evaluate_detections([path], table, request, say=print)
    ap = {
        name.removeprefix("det/openimages/ap@0.5/"): v for name, v in result.metrics.items() if "openimages/ap" in name
    }
    assert ap == pytest.approx({"cat": 1.0, "dog": 0.0, "animal": 1 / 3})
    assert result.counts == {
        "openimages": {"cat": 1, "dog": 1, "animal": 3},
        "voc-area": {"cat": 1, "dog": 1, "animal": 1},
    }
    assert result.errors["openimages"].counts["background"] == 2  # the dog in b is left out


def test_thresholds_as_users_write_them():
    assert thresholds_of(["0.5:0.95"]) == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    assert thresholds_of(["0.5, 0.7", "0.5"]) == (0.5, 0.7)
    assert thresholds_of([]) == ()
    for wrong in ("", "0.9:0.5", "0.5:0.6:0.7", "0.5-0.7"):
        with pytest.raises(UsageError, match="no IoU threshold"):
            thresholds_of([wrong])


def test_the_example_that_makes_detections(data, tmp_path):
    script = Path(__file__).parents[2] / "examples" / "jittered_detections.py"
    made = runpy.run_path(str(script))["detections"]
    records = made(str(data), 0.08, 0)
    assert records == made(str(data), 0.08, 0) != made(str(data), 0.08, 1)
    (tmp_path / "r.json").write_text(json.dumps(records))
    found = api.evaluate(tmp_path / "r.json", data, "voc-area", bootstrap=0)
    assert found.detections.count == len(records) > 24
    assert 0.2 < found.metrics["det/voc-area/map@0.5"] < 1


def test_needs_no_torch(data, tmp_path):
    path = detections(tmp_path / "r.json", 3)
    code = "import sys, pathlib; from headstart import api; paths = map(pathlib.Path, sys.argv[1:])\n"
    code += "api.evaluate(*paths, 'all', explain=True, bootstrap=10, quiet=True); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, path, data], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.skipif(not BCCD.is_dir(), reason="the shared data are not here")
def test_the_truth_as_detections_is_perfect(tmp_path):
    """Real files: boxes of the devkit's convention, some leaving their image, come out at IoU 1."""
    table = open_dataset(BCCD, for_scoring=True)
    for k, name in enumerate(table.box_classes):
        lines = [
            f"{table.image_id(int(i))} 1.0 {' '.join(f'{v:g}' for v in box)}\n"
            for i in table.rows_of("test")
            for box, label in zip(
                table.boxes_of(int(i)).xyxy + np.array([1, 1, 0, 0]), table.boxes_of(int(i)).labels, strict=True
            )
            if label == k
        ]
        (tmp_path / f"comp4_det_test_{name}.txt").write_text("".join(lines))
    found = api.evaluate(tmp_path, BCCD, "all", split="test", bootstrap=0)
    assert found.left_out == 0 and found.num_images == 72
    assert len(table.box_labels) == len(open_dataset(BCCD, on_bad_box="skip").box_labels) + 2, "one pixel wide or high"
    assert all(v == pytest.approx(1) for n, v in found.metrics.items() if "/map@" in n and "/small" not in n)


@pytest.mark.skipif(not COCO.is_dir(), reason="the shared data are not here")
def test_coco_numbers_are_those_of_pycocotools(tmp_path, capsys):
    """40 photographs with 550 instances, of which 11 are crowds; results with tied scores."""
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    truth, rng = coco.COCO(COCO / "annotations" / "instances_val2017.json"), np.random.default_rng(0)
    records = [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "score": round(float(rng.beta(3, 2)), 2),
            "bbox": np.round(np.array(a["bbox"]) + rng.normal(0, 0.1, 4) * np.tile(a["bbox"][2:], 2), 2)
            .clip(0)
            .tolist(),
        }
        for a in truth.dataset["annotations"] * 3
        if rng.random() < 0.8
    ]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(records))
    theirs = cocoeval.COCOeval(truth, truth.loadRes(str(path)), "bbox")
    theirs.evaluate()
    theirs.accumulate()
    theirs.summarize()
    capsys.readouterr()
    found = api.evaluate(path, COCO, "coco", split="val", bootstrap=0).metrics
    measured = ("APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
    names = [
        "map@0.5:0.95",
        "map@0.5",
        "map@0.75",
        *(f"{COCO_NAMES[n][0]}@0.5:0.95/{COCO_NAMES[n][1]}" for n in measured),
    ]
    np.testing.assert_allclose([found[f"det/coco/{name}"] for name in names], theirs.stats, rtol=0, atol=1e-9)
