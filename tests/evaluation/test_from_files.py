"""`headstart evaluate` from two files: COCO's form without images, masks, LVIS, seeds; what is not there is said."""

import json

import numpy as np
import pytest

from headstart import api
from headstart.cli.evaluate import spread
from headstart.data import rle
from headstart.errors import DataError, UsageError
from headstart.stats.arms import Arms
from headstart.stats.bootstrap import image_weights
from headstart.stats.intervals import crossed_interval
from support.references.federated_cases import case

SIZE = (40, 60)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Ten images known by their ids alone, with a cat and a dog each, as rectangles with polygons."""
    folder = tmp_path_factory.mktemp("files")
    truth = {
        "images": [{"id": i} for i in range(10)],
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [
            {
                "id": 2 * i + k + 1,
                "image_id": i,
                "category_id": label,
                "bbox": [x, 5, 20, 20],
                "area": 400,
                "iscrowd": 0,
                "segmentation": [[x, 5, x + 20, 5, x + 20, 25, x, 25]],
            }
            for i in range(10)
            for k, (label, x) in enumerate([(3, 2), (7, 30)])
        ],
    }
    (folder / "gt.json").write_text(json.dumps(truth))
    return folder


def found_file(path, seed, wrong, masks=False):
    """The true boxes with scores that are logits; the last `wrong` images' are far off."""
    rng = np.random.default_rng(seed)
    records = []
    for i in range(10):
        for label, x in ((3, 2), (7, 30)):
            shift = 0 if i < 10 - wrong else 40
            record = {"image_id": i, "category_id": label, "score": round(float(rng.normal()), 4)}
            if masks:
                pixels = np.zeros(SIZE, np.uint8)
                pixels[5:25, x : x + (20 if not shift else 2)] = 1
                counts = rle.compress(rle.encode(pixels)).decode()
                record["segmentation"] = {"size": list(SIZE), "counts": counts}
            else:
                record["bbox"] = [x + shift, 5, 20, 20]
            records.append(record)
    path.write_text(json.dumps(records))
    return path


def test_two_files_and_no_image(files, tmp_path, command):
    """No image, no width, height or file name; negative scores rank as any. 8 of 10 of each class are found."""
    path = found_file(tmp_path / "dt.json", 0, wrong=2)
    code, out, err = command("evaluate", path, files / "gt.json")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == f"{files}: coco, 10 images, 20 boxes, 2 classes"
    assert (
        "intervals: 95 %, 1,000 resamples of the images (each image alone); for these detections, not for another"
        in out
    )
    found = api.evaluate(str(path), str(files / "gt.json"), bootstrap=0)
    assert 0.6 < found.metrics["det/coco/map@0.5"] < 0.85
    assert found.metrics["det/coco/ar@0.5:0.95/max100"] == pytest.approx(0.8)
    assert repr(found).startswith("<evaluation of dt.json on 10 images: det/coco/map@0.5 ")
    with pytest.raises(DataError, match=r"0: no such image, so near-duplicates cannot be looked for. Say where the im"):
        api.evaluate(path, files / "gt.json", clusters=True)


def test_an_unordered_file_has_the_same_numbers(files, tmp_path):
    """Images listed in another order than that of their ids: rows are ordered by id, boxes follow."""
    truth = json.loads((files / "gt.json").read_text())
    truth["images"] = truth["images"][::-1]
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    path = found_file(tmp_path / "dt.json", 0, wrong=3)
    first, second = (api.evaluate(path, folder / "gt.json", bootstrap=20) for folder in (files, tmp_path))
    assert first.metrics == pytest.approx(second.metrics, nan_ok=True)
    assert first.intervals["det/coco/map@0.5"] == second.intervals["det/coco/map@0.5"]


def test_resamples_are_those_of_the_images(files, tmp_path):
    path = found_file(tmp_path / "dt.json", 0, wrong=3)
    shown = []
    found = api.evaluate(path, files / "gt.json", bootstrap=40, progress=lambda done, of: shown.append((done, of)))
    assert shown == [(16, 40), (32, 40), (40, 40)]
    weights = image_weights(np.arange(10), 40)
    recalled = np.array([float((w[:7]).sum() / w.sum()) for w in weights])
    interval = crossed_interval([0.7], recalled[None])
    ours = found.intervals["det/coco/ar@0.5:0.95/max100"]
    assert (ours.lo, ours.hi) == pytest.approx((interval.lo, interval.hi), abs=1e-9)


def test_masks_need_no_size_of_the_image(files, tmp_path, command):
    """Right masks in 8 of 10 images; in the others a tenth of the object is covered."""
    path = found_file(tmp_path / "dt.json", 0, wrong=2, masks=True)
    found = api.evaluate(path, files / "gt.json", "coco-segm", bootstrap=0, explain=True)
    assert found.metrics["det/coco-segm/ar@0.5:0.95/max100"] == pytest.approx(0.8)
    assert found.explanation.protocols["coco-segm@0.5"] == pytest.approx(
        found.metrics["det/coco-segm/map@0.5"], abs=1e-14
    )
    code, out, _ = command("evaluate", path, files / "gt.json", "-p", "coco-segm", "--explain", "--bootstrap", 0)
    assert code == 0 and "overlap of boxes -> of masks" in " ".join(out.split())
    boxes = found_file(tmp_path / "boxes.json", 0, wrong=2)
    with pytest.raises(DataError, match=r"20 of 20 detections \(coco\) have no mask\. Masks are compared: write"):
        api.evaluate(boxes, files / "gt.json", "coco-segm")
    with pytest.raises(UsageError, match="kinds of errors are told by the overlaps of boxes, and coco-segm is about m"):
        api.evaluate(path, files / "gt.json", "coco-segm", errors=True)
    one = json.loads(path.read_text())
    one[1]["segmentation"] = {"size": [10, 10], "counts": [100]}
    path.write_text(json.dumps(one))
    with pytest.raises(DataError, match=r"record 1 has a mask of 10 x 10, its image is 60 x 40\. Write masks"):
        api.evaluate(path, files / "gt.json", "coco-segm")


def test_why_a_protocol_has_no_number_is_said(files, tmp_path, command):
    """Crowds only: VOC and COCO count none of them. No true box at all: nor does Open Images."""
    truth = json.loads((files / "gt.json").read_text())
    found = found_file(tmp_path / "dt.json", 0, wrong=0)
    for annotation in truth["annotations"]:
        annotation["iscrowd"] = 1
    (tmp_path / "crowds.json").write_text(json.dumps(truth))
    code, out, _ = command("evaluate", found, tmp_path / "crowds.json", "-p", "all", "--bootstrap", 0)
    said = "voc07-11pt, voc-area, coco: none of the 20 true boxes counts (20 crowd), so there is nothing to measure\n"
    assert code == 0 and said in out and "det/openimages/map@0.5        100.00" in out
    (tmp_path / "none.json").write_text(json.dumps(truth | {"annotations": []}))
    result = api.evaluate(found, tmp_path / "none.json", "openimages", bootstrap=0)
    assert result.notes == ("openimages: the images that are scored have no true box, so there is nothing to measure",)
    assert not api.evaluate(found, files / "gt.json", bootstrap=0).notes


def test_left_out_are_the_records_alone(files, tmp_path, command):
    """A box that cannot be is left out; of an outline that cannot be read, and of one of two corners, the box stays."""
    truth = json.loads((files / "gt.json").read_text())
    truth["annotations"][0]["bbox"] = [5, 5, -1, 20]
    truth["annotations"][1]["segmentation"] = [[1, 2, "3", 4]]
    truth["annotations"][2]["segmentation"] = [[1, 2, 3, 4]]
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    found = found_file(tmp_path / "dt.json", 0, wrong=0)
    skip = ("--on-bad-box", "skip", "--on-bad-record", "skip")
    code, out, err = command("evaluate", found, tmp_path / "gt.json", "--bootstrap", 0, *skip)
    assert code == 0 and err.count("left out: ") == 3
    assert "10 images, 19 boxes" in out and "left out: 1 record of the data, as --on-bad-box" in out


def test_masks_need_outlines_of_the_objects(files, tmp_path):
    truth = json.loads((files / "gt.json").read_text())
    del truth["annotations"][4]["segmentation"]
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    path = found_file(tmp_path / "dt.json", 0, wrong=2, masks=True)
    with pytest.raises(DataError, match=r"box 5 of image '2': it has no outline.*ask for --protocol coco"):
        api.evaluate(path, tmp_path / "gt.json", "coco-segm")


def test_lvis_from_files(tmp_path, command):
    """The file may have any name; what it says of verified classes and frequencies is read."""
    truth, results = case(3)
    for name, content in (("gt.json", truth), ("dt.json", results)):
        (tmp_path / name).write_text(json.dumps(content))
    code, out, _ = command("evaluate", tmp_path / "dt.json", tmp_path / "gt.json", "-p", "lvis", "--bootstrap", 50)
    assert code == 0
    assert all(f"det/lvis/map@0.5:0.95/{kind}" in out for kind in ("rare", "common", "frequent", "small"))
    assert "det/lvis/ar@0.5:0.95/max300" in out


def test_lvis_of_other_data_says_what_is_missing(files, tmp_path):
    path = found_file(tmp_path / "dt.json", 0, wrong=2)
    table = api.open_dataset(files / "gt.json", for_scoring=True)
    found = api.evaluate(path, table, "lvis", bootstrap=0)
    assert found.notes[0].startswith("lvis: the data set does not say which classes were verified in an image")
    assert found.notes[1] == "lvis: no class has a frequency, so there is no AP of rare, common and frequent ones"


def test_coco_500_from_files(files, tmp_path):
    found = api.evaluate(found_file(tmp_path / "dt.json", 0, wrong=2), files / "gt.json", "coco-500", bootstrap=0)
    assert found.metrics["det/coco-500/ar@0.5:0.95/max500"] == pytest.approx(0.8)


def test_seeds_are_crossed_with_the_images(files, tmp_path, command):
    """Recalls .8, .7, .6 against .5, .5: intervals over seeds and images, the seeds of the two sets not paired."""
    ours = [found_file(tmp_path / f"a{k}.json", k, wrong=2 + k) for k in range(3)]
    theirs = [found_file(tmp_path / f"b{k}.json", k, wrong=5) for k in range(2)]
    found = api.evaluate(ours, files / "gt.json", compare=theirs, bootstrap=60)
    name = "det/coco/ar@0.5:0.95/max100"
    assert found.metrics[name] == pytest.approx(0.7) and found.others[name] == pytest.approx(0.5)
    assert found.intervals[name].per_seed == pytest.approx((0.8, 0.7, 0.6)) and found.intervals[name].p is not None
    weights = image_weights(np.arange(10), 60)
    draws = np.array([[w[: 10 - wrong].sum() / w.sum() for w in weights] for wrong in (2, 3, 4, 5, 5)])
    crossed = crossed_interval([0.8, 0.7, 0.6], draws[:3])
    assert (found.intervals[name].lo, found.intervals[name].hi) == pytest.approx((crossed.lo, crossed.hi), abs=1e-9)
    both = Arms({"a": [0.8, 0.7, 0.6], "b": [0.5, 0.5]}, {"a": draws[:3], "b": draws[3:]})
    expected = both.difference("a", "b")
    difference = found.differences[name]
    assert (difference.effect, difference.lo, difference.hi) == pytest.approx(
        (expected.effect, expected.lo, expected.hi), abs=1e-9
    )
    code, out, _ = command(
        "evaluate", files / "gt.json", "--seeds", *ours, "--compare", *theirs, "--bootstrap", 60, "--errors"
    )
    assert code == 0
    assert "means over 3 against 2 seeds, for other trainings and other images" in out
    assert "80.00 70.00 60.00" in out and out.count("detections\n") == 5
    assert "after TIDE, with two differences from its program:" in out
    code, again, _ = command(
        "evaluate",
        ours[0],
        files / "gt.json",
        "--seeds",
        *ours[1:],
        "--compare",
        *theirs,
        "--bootstrap",
        60,
        "--errors",
    )
    assert again == out
    facts = json.loads(command("evaluate", files / "gt.json", "--seeds", *ours, "--json", "--bootstrap", 20)[1])
    assert [side["count"] for side in facts["seeds"]] == [20, 20, 20]
    assert facts["per_seed"][name] == pytest.approx([0.8, 0.7, 0.6])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("gt --seeds a b c --compare d e", "gt --seeds a --seeds b --seeds c --compare d --compare e"),
        ("a gt --compare b c -q", "a gt --compare b --compare c -q"),
        ("--compare b a gt", "--compare b a gt"),
        ("a --compare b gt", "a --compare b gt"),
        ("-p coco a gt --seeds b c --iou 0.5 --json", "-p coco a gt --seeds b --seeds c --iou 0.5 --json"),
    ],
)
def test_lists_of_files_are_written_once(words, expected):
    assert " ".join(spread(words.split())) == expected


def test_what_is_not_there_is_said(files, tmp_path, command):
    path = found_file(tmp_path / "dt.json", 0, wrong=2)
    for protocol, said in [
        ("coco-panoptic", "Headstart does not have panoptic quality (PQ). Known: voc07-11pt, "),
        ("keypoints", "Headstart does not have OKS for keypoints. Known"),
        ("dota", "Headstart does not have overlaps of rotated boxes. Known"),
        ("coco-50", "is unknown. Did you mean coco-500? Known"),
    ]:
        code, _, err = command("evaluate", path, files / "gt.json", "-p", protocol)
        assert code == 2 and said in err
    code, _, err = command("evaluate", path)
    assert (
        code == 2
        and "needs a file of detections and the data with the boxes: headstart evaluate DETECTIONS DATA" in err
    )


def test_an_ignore_key_changes_nothing_as_in_pycocotools(files, tmp_path):
    """pycocotools, faster-coco-eval and hotcoco count such an object: iscrowd is written over the key."""
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    truth = json.loads((files / "gt.json").read_text())
    for annotation in truth["annotations"][-4:]:
        annotation["ignore"] = 1
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    path = found_file(tmp_path / "dt.json", 0, wrong=2)
    ours = api.evaluate(path, tmp_path / "gt.json", bootstrap=0)
    api_of = coco.COCO(str(tmp_path / "gt.json"))
    theirs = cocoeval.COCOeval(api_of, api_of.loadRes(str(path)), "bbox")
    theirs.evaluate()
    theirs.accumulate()
    theirs.summarize()
    assert ours.metrics["det/coco/map@0.5:0.95"] == pytest.approx(theirs.stats[0], abs=1e-9)
    assert ours.metrics == pytest.approx(api.evaluate(path, files / "gt.json", bootstrap=0).metrics, nan_ok=True)


def test_a_box_of_one_pixel_counts_as_in_the_devkit(tmp_path):
    """xmin = xmax = 5, ymin = ymax = 5: by the devkit one pixel wide and high; found by the same box."""
    from support.miniatures import text, voc_object, voc_xml

    root = tmp_path / "voc"
    objects = [voc_object("dot", 5, 5, 5, 5), voc_object("dot", 11, 11, 20, 20)]
    size = "<size><width>80</width><height>60</height><depth>3</depth></size>"
    voc_xml(root / "Annotations" / "a.xml", *objects, filename="a.jpg", size=size)
    (root / "JPEGImages").mkdir()
    from PIL import Image

    Image.new("RGB", (80, 60)).save(root / "JPEGImages" / "a.jpg")
    text(root / "ImageSets" / "Main" / "test.txt", "a")
    found = tmp_path / "results"
    found.mkdir()
    (found / "comp4_det_test_dot.txt").write_text("a 0.9 5 5 5 5\na 0.8 11 11 20 20\n")
    scores = api.evaluate(found, root, "voc-area", bootstrap=0)
    assert scores.counts["voc-area"] == {"dot": 2}
    assert scores.metrics["det/voc-area/map@0.5"] == pytest.approx(1.0)
    with pytest.raises(DataError, match=r"xmax 5 <= xmin 5"):
        api.open_dataset(root)
