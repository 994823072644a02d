"""Protocol `lvis`: equal to the lvis package's numbers on 100 random cases; its rules worked by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from headstart.metrics.average_precision import CROWD, Detections, Truth, Verified, average_precision
from headstart.metrics.coco import FREQUENCIES, LIMITS, coco_metrics
from support.references.federated_cases import CASES, case

NUMBERS = json.loads((Path(__file__).parent / "lvis_values.json").read_text())
KINDS = dict(zip("rcf", FREQUENCIES, strict=True))
THEIRS = {"AR300": "AR@300", "ARs": "ARs@300", "ARm": "ARm@300", "ARl": "ARl@300"}


def offsets_of(lists):
    return np.cumsum([0, *map(len, lists)])


def columns_of(dataset, results):
    """Truth, detections and frequencies of a case; ids there count from 1."""
    rows, images, classes = dataset["annotations"], dataset["images"], dataset["categories"]
    where = np.array([[row["image_id"] - 1, row["category_id"] - 1] for row in rows])
    absent, partial = (
        [[k - 1 for k in image[key]] for image in images] for key in ("neg_category_ids", "not_exhaustive_category_ids")
    )
    truth = Truth.from_xywh(
        where[:, 0],
        [row["bbox"] for row in rows],
        where[:, 1],
        np.zeros(len(rows), np.uint8),
        num_images=len(images),
        num_classes=len(classes),
        areas=[row["area"] for row in rows],
    )
    lists = (offsets_of(absent), np.concatenate(absent), offsets_of(partial), np.concatenate(partial))
    flat = [lists[0], lists[1].astype(int), lists[2], lists[3].astype(int)]
    verified = Verified(np.zeros(len(images) + 1, int), np.zeros(0, int), flat[0], flat[1], flat[2], flat[3])
    found = np.array([[r["image_id"] - 1, *r["bbox"], r["category_id"] - 1, r["score"]] for r in results])
    detections = Detections.from_xywh(found[:, 0].astype(int), found[:, 1:5], found[:, 5].astype(int), found[:, 6])
    frequencies = [KINDS[entry["frequency"]] for entry in classes]
    return Truth(**{**vars(truth), "verified": verified}), detections, frequencies


@pytest.mark.parametrize("seed", range(CASES))
def test_equal_to_the_lvis_package(seed):
    truth, detections, frequencies = columns_of(*case(seed))
    metrics = coco_metrics(truth, detections, limits=LIMITS["lvis"], protocol="lvis", frequencies=frequencies)
    ours = metrics.summary()
    assert set(ours) == {"AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", *THEIRS}
    theirs = {name: NUMBERS[seed][THEIRS.get(name, name)] for name in ours}
    expected = {name: np.nan if value == -1 else value for name, value in theirs.items()}
    assert ours == pytest.approx(expected, abs=1e-9, nan_ok=True)
    alone = average_precision(truth, detections, "lvis", metrics.iou_thresholds)
    np.testing.assert_array_equal(alone.ap, metrics.ap[:, :, 0, 0])
    if seed % 10 == 0:
        replicates = metrics.replicates(np.ones((1, truth.num_images), np.uint16))
        assert {n: v[0] for n, v in replicates.items()} == pytest.approx(ours, abs=1e-12, nan_ok=True)


def test_the_cases_have_what_they_should():
    """All frequencies, images with more than 300 detections, and numbers that are not 0 or 1."""
    assert all(sum(numbers[name] > -1 for numbers in NUMBERS) > 40 for name in ("APr", "APc", "APf", "APs", "APl"))
    assert sum(0.05 < numbers["AP"] < 0.95 for numbers in NUMBERS) > 50
    sizes = [np.bincount([r["image_id"] for r in case(seed)[1]]).max() for seed in range(CASES)]
    assert sum(size > 300 for size in sizes) >= 3


def three_images(partial=()):
    """A true box of class 0 in image 0; class 0 is verified as absent from image 1 and nothing is known of image 2."""
    lists = ([], [0], [])
    verified = Verified(
        np.zeros(4, int), np.zeros(0, int), offsets_of(lists), np.array([0]), offsets_of([partial, [], []]), partial
    )
    return Truth([0], [[0, 0, 10, 10]], [0], [CROWD], 3, 1, verified=verified)


def test_what_nobody_verified_is_not_scored():
    """Surest first: image 2 (.9) is left out, image 1 (.8) is wrong, image 0 (.7) right: precision 1/2 at every recall.
    A crowd is an object like any other."""
    boxes = [[0, 0, 10, 10]] * 3
    detections = Detections([2, 1, 0], boxes, [0, 0, 0], [0.9, 0.8, 0.7])
    assert average_precision(three_images(), detections, "lvis", (0.5,)).map[0] == pytest.approx(0.5)
    assert np.isnan(average_precision(three_images(), detections, "coco", (0.5,)).map[0])


def test_a_class_that_is_not_boxed_exhaustively_has_no_wrong_detections_there():
    """Image 0 has a surer detection that meets nothing: wrong (precision 1/2), unless the class is partial there."""
    detections = Detections([0, 0], [[50, 50, 60, 60], [0, 0, 10, 10]], [0, 0], [0.9, 0.8])
    assert average_precision(three_images(), detections, "lvis", (0.5,)).map[0] == pytest.approx(0.5)
    result = average_precision(three_images(partial=[0]), detections, "lvis", (0.5,))
    assert result.map[0] == pytest.approx(1.0)
    assert result.match_table()["fate@0.5"].to_pylist() == ["ignored", "hit"]
    assert result.curve(0).scores.tolist() == [0.8]


def test_an_image_has_300_detections_of_all_classes_together():
    """301 detections: the least sure, which is the only right one, is left out."""
    boxes, scores = [[50, 50, 60, 60]] * 300 + [[0, 0, 10, 10]], np.arange(301)[::-1]
    truth = Truth([0], [[0, 0, 10, 10]], [0], [0], 1, 2)
    labels = [1] * 300 + [0]
    assert average_precision(truth, Detections([0] * 301, boxes, labels, scores), "lvis", (0.5,)).map[0] == 0
    fewer = Detections([0] * 300, boxes[1:], labels[1:], scores[1:])
    assert average_precision(truth, fewer, "lvis", (0.5,)).map[0] == pytest.approx(1.0)
