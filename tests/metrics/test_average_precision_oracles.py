"""Average precision on random cases: against the VOC devkit's rules written out anew, pycocotools, repeated images."""

import numpy as np
import pytest

from headstart.metrics.average_precision import (
    COCO_THRESHOLDS,
    CROWD,
    DIFFICULT,
    Detections,
    Truth,
    average_precision,
)
from support.boxes_by_hand import random_case

INCLUSIVE = np.array([1, 1, 0, 0])
"""Added to continuous edges from 0, gives the devkit's inclusive pixel numbers from 1."""


def devkit_ap(truth, detections, label, threshold, eleven_points):
    """The devkit's evaluation of one class, written out on 1-based inclusive boxes with its +1 widths."""
    objects = {i: [] for i in range(truth.num_images)}
    for i, box, k, flags in zip(truth.image_index, truth.boxes_xyxy, truth.labels, truth.flags, strict=True):
        if k == label:
            objects[i].append({"box": box + INCLUSIVE, "difficult": bool(flags), "found": False})
    positives = sum(not o["difficult"] for found in objects.values() for o in found)
    lines = [
        (i, s, box + INCLUSIVE)
        for i, s, box, k in zip(
            detections.image_index, detections.scores, detections.boxes_xyxy, detections.labels, strict=True
        )
        if k == label
    ]
    lines = sorted(sorted(lines, key=lambda line: line[0]), key=lambda line: -line[1])
    hits, misses, recall, precision = 0, 0, [], []
    for image, _, a in lines:
        best, chosen = -np.inf, None
        for candidate in objects[image]:
            b = candidate["box"]
            width = min(a[2], b[2]) - max(a[0], b[0]) + 1
            height = min(a[3], b[3]) - max(a[1], b[1]) + 1
            if width > 0 and height > 0:
                areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
                overlap = width * height / (sum(areas) - width * height)
                if overlap > best:
                    best, chosen = overlap, candidate
        if best > threshold:
            if not chosen["difficult"]:
                hits, misses = hits + (not chosen["found"]), misses + chosen["found"]
                chosen["found"] = True
        else:
            misses += 1
        recall.append(hits / positives if positives else np.nan)
        precision.append(hits / max(hits + misses, 1e-16))
    if not positives:
        return np.nan
    recall, precision = np.array(recall), np.array(precision)
    if eleven_points:
        return sum(max(precision[recall >= t], default=0.0) for t in np.arange(0, 1.1, 0.1)) / 11
    recall, precision = np.r_[0, recall, 1], np.r_[0, precision, 0]
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))


@pytest.mark.parametrize("protocol", ["voc07-11pt", "voc-area"])
def test_equal_to_the_devkit_on_random_cases(protocol):
    rng, thresholds = np.random.default_rng(7), (0.25, 0.5, 0.7)
    seen = 0
    for _ in range(500):
        truth, detections = random_case(rng)
        result = average_precision(truth, detections, protocol, thresholds)
        for t, threshold in enumerate(thresholds):
            oracle = [
                devkit_ap(truth, detections, k, threshold, protocol == "voc07-11pt") for k in range(truth.num_classes)
            ]
            np.testing.assert_allclose(result.ap[t], oracle, rtol=0, atol=1e-12)
            seen += int(np.nansum(oracle) > 0)
    assert seen > 500  # the comparison is not between empty results


def pycocotools_ap(truth, detections, thresholds):
    """(T, K) by pycocotools; nan where it has no value."""
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")

    def side(table, crowd, extra):
        boxes, api = table.boxes_xyxy, coco.COCO()
        sizes = boxes[:, 2:] - boxes[:, :2]
        api.dataset = {
            "images": [{"id": i} for i in range(truth.num_images)],
            "categories": [{"id": k} for k in range(truth.num_classes)],
            "annotations": [
                {
                    "id": j + 1,
                    "image_id": int(table.image_index[j]),
                    "category_id": int(table.labels[j]),
                    "bbox": [*boxes[j, :2], *sizes[j]],
                    "area": float(sizes[j].prod()),
                    "iscrowd": int(crowd[j]),
                }
                | {name: float(values[j]) for name, values in extra.items()}
                for j in range(len(boxes))
            ],
        }
        api.createIndex()
        return api

    evaluation = cocoeval.COCOeval(
        side(truth, truth.flags & CROWD != 0, {}),
        side(detections, np.zeros(len(detections.scores)), {"score": detections.scores}),
        "bbox",
    )
    evaluation.params.iouThrs = np.array(thresholds)
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # (T, R, K), area all, 100 detections
    return np.where((precision > -1).all(1), precision.mean(1), np.nan)


@pytest.mark.parametrize("ties", [True, False])
def test_equal_to_pycocotools_on_random_cases(ties, capsys):
    rng, seen = np.random.default_rng(11), 0
    for _ in range(120):
        truth, detections = random_case(rng, (0, 0, CROWD), ties=ties)
        result = average_precision(truth, detections, "coco", COCO_THRESHOLDS)
        oracle = pycocotools_ap(truth, detections, COCO_THRESHOLDS)
        np.testing.assert_allclose(result.ap, oracle, rtol=0, atol=1e-9)
        seen += int(np.nansum(oracle) > 0)
    assert seen > 60
    capsys.readouterr()


def test_equal_to_pycocotools_with_many_detections_and_real_coordinates(capsys):
    rng = np.random.default_rng(3)
    true = rng.uniform(0, 60, (90, 2))
    true = np.hstack([true, true + rng.uniform(5, 30, (90, 2))])
    image, label = rng.integers(4, size=90), rng.integers(2, size=90)
    source = rng.integers(90, size=1500)
    found = true[source] + rng.normal(0, 3, (1500, 4))
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2])
    truth = Truth(image, true, label, np.where(rng.random(90) < 0.2, CROWD, 0).astype(np.uint8), 4, 2)
    detections = Detections(image[source], found, label[source], rng.random(1500).round(2))
    np.testing.assert_allclose(
        average_precision(truth, detections, "coco", COCO_THRESHOLDS).ap,
        pycocotools_ap(truth, detections, COCO_THRESHOLDS),
        rtol=0,
        atol=1e-9,
    )
    capsys.readouterr()


# ---- replicates


def repeated(truth, detections, weights):
    """The test set with image i physically there weights[i] times; copies are neighbors."""

    def copies(images):
        first = np.concatenate([[0], np.cumsum(weights)])
        rows = [(j, first[i] + c) for j, i in enumerate(images) for c in range(weights[i])]
        return np.array(rows, dtype=np.int64).reshape(-1, 2).T

    (t, ti), (d, di) = copies(truth.image_index), copies(detections.image_index)
    return (
        Truth(ti, truth.boxes_xyxy[t], truth.labels[t], truth.flags[t], int(np.sum(weights)), truth.num_classes),
        Detections(di, detections.boxes_xyxy[d], detections.labels[d], detections.scores[d]),
    )


@pytest.mark.parametrize("protocol", ["voc07-11pt", "voc-area", "coco"])
def test_replicates_equal_repeated_images(protocol):
    rng = np.random.default_rng(5)
    for _ in range(40):
        truth, detections = random_case(rng, (0, 0, DIFFICULT, CROWD), ties=False)
        result = average_precision(truth, detections, protocol, (0.3, 0.5))
        weights = rng.integers(0, 4, (5, truth.num_images)).astype(np.uint16)
        weights[0] = 1
        per_class, means = result.ap_replicates(weights), result.replicates(weights)
        assert per_class.shape == (5, 2, truth.num_classes) and means.shape == (5, 2)
        np.testing.assert_array_equal(per_class[0], result.ap)
        np.testing.assert_array_equal(means[0], result.map)
        for b in range(1, 5):
            again = average_precision(*repeated(truth, detections, weights[b]), protocol, (0.3, 0.5))
            np.testing.assert_allclose(per_class[b], again.ap, rtol=0, atol=1e-12)
            np.testing.assert_allclose(means[b], again.map, rtol=0, atol=1e-12)
