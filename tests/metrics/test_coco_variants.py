"""`coco-segm` and `coco-500` equal pycocotools on 100 random cases each; the bound of areas is one for all numbers."""

import numpy as np
import pytest

from headstart.data import rle
from headstart.metrics.average_precision import COCO_THRESHOLDS, CROWD, Detections, Truth, average_precision
from headstart.metrics.coco import LIMITS, coco_metrics
from headstart.metrics.detection_errors import detection_errors
from headstart.metrics.masks import Masks

HEIGHT, WIDTH = 60, 80


def blob(rng, near=None):
    """Pixels inside an ellipse, moved a little from another one where that is given; now and then nothing, or all."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    if near is None:
        near = np.array([rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH), *np.exp(rng.uniform(0, 3.8, 2))])
    shape = near + rng.normal(0, 1, 4) * rng.choice([0, 0.5, 3])
    inside = ((y - shape[0]) / max(shape[2], 0.3)) ** 2 + ((x - shape[1]) / max(shape[3], 0.3)) ** 2 <= 1
    odd = rng.random()
    return (inside & (odd > 0.02)) | (odd > 0.99), near


def masks_case(rng):
    """Columns of true masks and found ones: image, class, crowd or score, pixels."""
    num_images, num_classes = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    true, found = [], []
    for _ in range(int(rng.integers(1, 12))):
        image, label = int(rng.integers(num_images)), int(rng.integers(num_classes))
        mask, shape = blob(rng)
        true.append((image, label, int(rng.random() < 0.15), mask))
        for _ in range(int(rng.integers(0, 5))):
            score = round(float(rng.random()), int(rng.choice([1, 6])))
            found.append(
                (image, label if rng.random() < 0.9 else int(rng.integers(num_classes)), score, blob(rng, shape)[0])
            )
    order = rng.permutation(len(found))
    return num_images, num_classes, true, [found[i] for i in order]


def pycocotools_numbers(num_images, num_classes, true, found, kind, most=100):
    """Precision and recall arrays of pycocotools."""
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")

    def side(rows, named):
        api = coco.COCO()
        api.dataset = {
            "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in range(num_images)],
            "categories": [{"id": k} for k in range(num_classes)],
            "annotations": [
                {"id": j + 1, "image_id": row[0], "category_id": row[1], "iscrowd": 0, named: row[2], **row[3]}
                for j, row in enumerate(rows)
            ],
        }
        api.createIndex()
        return api

    evaluation = cocoeval.COCOeval(side(true, "iscrowd"), side(found, "score"), kind)
    evaluation.params.maxDets = [1, 10, most]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]


def assert_equal(ours, precision, recall):
    expected = np.where((precision > -1).all(1), precision.mean(1), np.nan)
    np.testing.assert_allclose(ours.ap, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.recall, np.where(recall > -1, recall, np.nan), rtol=0, atol=1e-9)


def outlined(rows):
    runs = [rle.encode(row[3]) for row in rows]
    texts = [{"size": [HEIGHT, WIDTH], "counts": rle.compress(counts).decode()} for counts in runs]
    plain = [
        (
            *row[:3],
            {"segmentation": text, "area": float(row[3].sum()), "bbox": rle.to_bbox(c, (HEIGHT, WIDTH)).tolist()},
        )
        for row, text, c in zip(rows, texts, runs, strict=True)
    ]
    return plain, Masks.of(runs)


@pytest.mark.parametrize("seed", range(100))
def test_masks_equal_pycocotools(seed, capsys):
    num_images, num_classes, true, found = masks_case(np.random.default_rng(seed))
    (true_rows, true_masks), (found_rows, found_masks) = outlined(true), outlined(found)
    numbers = pycocotools_numbers(num_images, num_classes, true_rows, found_rows, "segm")
    truth = Truth.from_xywh(
        [row[0] for row in true],
        [row[3]["bbox"] for row in true_rows],
        [row[1] for row in true],
        np.array([row[2] for row in true], np.uint8) * np.uint8(CROWD),
        num_images=num_images,
        num_classes=num_classes,
        areas=[row[3]["area"] for row in true_rows],
    )
    boxes = np.array([row[3]["bbox"] for row in found_rows]).reshape(-1, 4)
    columns = (np.array([row[k] for row in found], kind) for k, kind in ((0, int), (1, int), (2, float)))
    images, labels, scores = columns
    detections = Detections.from_xywh(images, boxes, labels, scores)
    truth = Truth(**{**vars(truth), "masks": true_masks})
    detections = Detections(**{**vars(detections), "masks": found_masks})
    ours = coco_metrics(truth, detections, protocol="coco-segm")
    assert_equal(ours, *numbers)
    np.testing.assert_array_equal(
        average_precision(truth, detections, "coco-segm", COCO_THRESHOLDS).ap, ours.ap[..., 0, 2]
    )
    if seed % 10 == 0:
        again = ours.replicates(np.ones((1, num_images), np.uint16))
        assert {n: v[0] for n, v in again.items()} == pytest.approx(ours.summary(), abs=1e-12, nan_ok=True)
    capsys.readouterr()


@pytest.mark.parametrize("seed", range(100))
def test_500_detections_equal_pycocotools(seed, capsys):
    """Up to 700 detections of an image and class."""
    rng = np.random.default_rng(seed)
    num_images, num_classes, m = int(rng.integers(1, 3)), int(rng.integers(1, 3)), int(rng.integers(1, 40))
    d = int(rng.choice([5, 300, 700, 1400]))
    boxes = np.hstack([rng.uniform(0, 300, (m, 2)), np.exp(rng.uniform(2, 5, (m, 2)))])
    source = rng.integers(m, size=d)
    found = np.abs(boxes[source] * (1 + rng.normal(0, 0.15, (d, 4))))
    images, labels = rng.integers(num_images, size=m), rng.integers(num_classes, size=m)
    scores = rng.random(d).round(int(rng.choice([1, 9])))
    crowd = (rng.random(m) < 0.1).astype(int)
    true_rows = [
        (int(images[j]), int(labels[j]), int(crowd[j]), {"bbox": boxes[j].tolist(), "area": float(boxes[j, 2:].prod())})
        for j in range(m)
    ]
    found_rows = [
        (
            int(images[s]),
            int(labels[s]),
            float(scores[j]),
            {"bbox": found[j].tolist(), "area": float(found[j, 2:].prod())},
        )
        for j, s in enumerate(source)
    ]
    numbers = pycocotools_numbers(num_images, num_classes, true_rows, found_rows, "bbox", most=500)
    truth = Truth.from_xywh(
        images, boxes, labels, crowd * np.uint8(CROWD), num_images=num_images, num_classes=num_classes
    )
    detections = Detections.from_xywh(images[source], found, labels[source], scores)
    ours = coco_metrics(truth, detections, protocol="coco-500", limits=LIMITS["coco-500"])
    assert_equal(ours, *numbers)
    assert list(ours.summary()) == [
        *["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR500", "ARs", "ARm", "ARl"]
    ]
    capsys.readouterr()


def test_objects_larger_than_all_areas_count_in_no_number():
    """pycocotools' range of all areas ends at 10^10 square pixels: an object of 2 x 10^10 does not count there, and a
    wrong detection of that size is ignored; by `voc-area`, which has no ranges, both count."""
    boxes = [[0, 0, 200_000, 100_000], [0, 0, 10, 10]]
    truth = Truth([0, 0], boxes, [0, 0], [0, 0], 1, 1)
    far = [[300_000, 0, 500_000, 100_000], boxes[1]]
    detections = Detections([0, 0], far, [0, 0], [0.9, 0.8])
    for number in (
        average_precision(truth, detections, "coco", (0.5,)).map[0],
        coco_metrics(truth, detections).ap[0, 0, 0, 2],
    ):
        assert number == pytest.approx(1.0)
    assert average_precision(truth, detections, "voc-area", (0.5,)).map[0] == pytest.approx(0.25)
    assert detection_errors(truth, detections, "coco").counts == dict.fromkeys(
        ("classification", "localization", "both", "duplicate", "background", "missed"), 0
    )


def test_masks_are_asked_for():
    truth, found = Truth([0], [[0, 0, 2, 2]], [0], [0], 1, 1), Detections([0], [[0, 0, 2, 2]], [0], [0.5])
    with pytest.raises(ValueError, match="overlaps of masks need masks of the true objects and of the detections"):
        average_precision(truth, found, "coco-segm", (0.5,))
    with pytest.raises(ValueError, match="there are 2 masks and 1 boxes; give every box its mask, or none"):
        Detections([0], [[0, 0, 2, 2]], [0], [0.5], masks=Masks.of([[4], [4]]))


def test_masks_are_taken_like_rows():
    masks = Masks.of([[1, 2, 1], [4], [0, 4]])
    assert masks.areas.tolist() == [2, 0, 4]
    assert masks.take([2, 0]).counts.tolist() == [0, 4, 1, 2, 1]
    assert masks.take(np.array([False, True, False])).areas.tolist() == [0]
