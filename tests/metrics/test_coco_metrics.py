"""COCO's metrics in full: equal to pycocotools on random cases and on real annotations; edges worked by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import DataError
from headstart.metrics.average_precision import COCO_THRESHOLDS, CROWD, Detections, Truth, average_precision
from headstart.metrics.coco import COCO_AREAS, coco_metrics

COCO_TINY = Path(__file__).parents[3] / "shared" / "data" / "coco_tiny" / "annotations"


def pycocotools_of(dataset, results):
    """pycocotools' evaluation of a COCO data set and (r, 7) rows image id, x, y, width, height, score, class id."""
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    truth = coco.COCO()
    truth.dataset = dataset
    truth.createIndex()
    found = coco.COCO()
    found.dataset = {key: dataset[key] for key in ("images", "categories")} | {
        "annotations": [
            {
                "id": j + 1,
                "image_id": int(row[0]),
                "category_id": int(row[6]),
                "bbox": row[1:5].tolist(),
                "area": float(row[3] * row[4]),
                "iscrowd": 0,
                "score": float(row[5]),
            }
            for j, row in enumerate(results)
        ]
    }
    found.createIndex()
    evaluation = cocoeval.COCOeval(truth, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def assert_equal(ours, evaluation):
    """Every average precision and recall, and the 12 numbers."""
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    if precision.shape[2]:
        expected = np.where((precision > -1).all(1), precision.mean(1), np.nan)
        np.testing.assert_allclose(ours.ap, expected, rtol=0, atol=1e-9)
        np.testing.assert_allclose(ours.recall, np.where(recall > -1, recall, np.nan), rtol=0, atol=1e-9)
    summary = list(ours.summary().values())
    np.testing.assert_allclose(summary, np.where(evaluation.stats > -1, evaluation.stats, np.nan), rtol=0, atol=1e-9)


@st.composite
def cases(draw):
    """A drawn test set: columns of the truth and of the detections, boxes x, y, width, height."""
    num_images, num_classes = draw(st.integers(0, 6)), draw(st.sampled_from([0, 1, 2, 3, 80]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    some = num_images * num_classes > 0
    m, d = draw(st.integers(0, 30)) * some, draw(st.sampled_from([0, 1, 7, 40, 250])) * some
    on_grid, ties, crowded = draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from([0.0, 0.2]))
    crowd = rng.random(m) < crowded
    true = np.hstack([rng.uniform(0, 60, (m, 2)), rng.uniform(2, 120, (m, 2))])
    found = np.hstack([rng.uniform(0, 60, (d, 2)), rng.uniform(0, 120, (d, 2))])
    truth_at = rng.integers(max(num_images, 1), size=m), rng.integers(max(num_classes, 1), size=m)
    found_at = rng.integers(max(num_images, 1), size=d), rng.integers(max(num_classes, 1), size=d)
    if m and d:  # two thirds start from a true box, most of them with its image and class
        source, near = rng.integers(m, size=d), rng.random(d) < 0.67
        found[near] = np.abs(true[source] + rng.normal(0, 1, (d, 4)) * rng.choice([0, 1, 6], (d, 1)))[near]
        for ours, theirs in zip(found_at, truth_at, strict=True):
            kept = near & (rng.random(d) < 0.9)
            ours[kept] = theirs[source][kept]
    if on_grid:  # many equal IoUs, and IoUs of exactly a threshold
        true, found = np.maximum(true.round(-1), 1.0), found.round(-1)
    areas = np.where(rng.random(m) < 0.3, rng.choice([32.0**2, 96.0**2], m), true[:, 2] * true[:, 3] * 0.7)
    scores = rng.integers(0, 6, d) / 8 if ties else rng.random(d)
    return num_images, num_classes, (*truth_at, true, areas, crowd), (*found_at, found, scores)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(cases())
def test_equal_to_pycocotools_on_random_cases(case):
    num_images, num_classes, (images, labels, boxes, areas, crowd), found = case
    dataset = {
        "images": [{"id": i} for i in range(num_images)],
        "categories": [{"id": k} for k in range(num_classes)],
        "annotations": [
            {
                "id": j + 1,
                "image_id": int(images[j]),
                "category_id": int(labels[j]),
                "bbox": boxes[j].tolist(),
                "area": float(areas[j]),
                "iscrowd": int(crowd[j]),
            }
            for j in range(len(boxes))
        ],
    }
    evaluation = pycocotools_of(dataset, np.column_stack([found[0], found[2], found[3], found[1]]))
    truth = Truth.from_xywh(
        images, boxes, labels, crowd * np.uint8(CROWD), num_images=num_images, num_classes=num_classes, areas=areas
    )
    detections = Detections.from_xywh(found[0], found[2], found[1], found[3])
    ours = coco_metrics(truth, detections)
    assert_equal(ours, evaluation)
    np.testing.assert_array_equal(average_precision(truth, detections, "coco", COCO_THRESHOLDS).ap, ours.ap[..., 0, 2])


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_equal_to_pycocotools_on_real_annotations(split, capsys):
    """Detections are the true boxes moved and resized, some with another class, some twice, a few anywhere."""
    path = COCO_TINY / f"instances_{split}.json"
    if not path.exists():
        pytest.skip("no coco_tiny")
    dataset = json.loads(path.read_text())
    image_ids = sorted(image["id"] for image in dataset["images"])
    class_ids = sorted(category["id"] for category in dataset["categories"])
    rows = dataset["annotations"]
    columns = {key: np.array([row[key] for row in rows]) for key in ("bbox", "area", "iscrowd")}
    images = np.searchsorted(image_ids, [row["image_id"] for row in rows])
    labels = np.searchsorted(class_ids, [row["category_id"] for row in rows])
    rng = np.random.default_rng(1)
    source = rng.integers(len(rows), size=4 * len(rows))
    boxes = columns["bbox"][source]
    boxes = boxes + rng.normal(0, 0.08, boxes.shape) * np.tile(boxes[:, 2:], 2)
    boxes[:, 2:] = np.abs(boxes[:, 2:])
    called = np.where(rng.random(len(source)) < 0.1, rng.integers(len(class_ids), size=len(source)), labels[source])
    scores = rng.random(len(source)).round(2)
    evaluation = pycocotools_of(
        dataset,
        np.column_stack(
            [
                np.array(image_ids)[images[source]],
                boxes,
                scores,
                np.array(class_ids)[called],
            ]
        ),
    )
    truth = Truth.from_xywh(
        images,
        columns["bbox"],
        labels,
        columns["iscrowd"] * CROWD,
        num_images=len(image_ids),
        num_classes=len(class_ids),
        areas=columns["area"],
    )
    result = coco_metrics(truth, Detections.from_xywh(images[source], boxes, called, scores))
    assert_equal(result, evaluation)
    assert 0.1 < result.summary()["AP"] < 0.9 and columns["iscrowd"].sum() > 5
    capsys.readouterr()


# ---- worked by hand


def one_image(true, true_areas, found, **options):
    """True boxes x, y, width, height with areas; detections score, x, y, width, height. One class."""
    zeros, found = np.zeros(len(true), int), np.array(found, dtype=float).reshape(-1, 5)
    truth = Truth.from_xywh(zeros, true, zeros, zeros, num_images=1, num_classes=1, areas=true_areas)
    none = np.zeros(len(found), int)
    return coco_metrics(truth, Detections.from_xywh(none, found[:, 1:], none, found[:, 0]), **options)


def test_both_edges_belong_to_an_area_range():
    """An object of exactly 32^2 counts as small and as medium; its own area decides, not that of its box."""
    result = one_image([[0, 0, 200, 200]], [1024.0], [[0.9, 0, 0, 200, 200]])
    assert result.areas == ("all", "small", "medium", "large")
    assert result.counts[:, 0].tolist() == [1, 1, 1, 0]
    summary = result.summary()
    assert [summary[n] for n in ("AP", "APs", "APm", "ARs", "ARm")] == pytest.approx([1.0] * 5)
    assert np.isnan(summary["APl"]) and np.isnan(summary["ARl"])


def test_unmatched_detections_count_where_their_own_box_lies():
    """A wrong detection of 10 x 10, surer than the hit: it halves the small objects' precision, not the large one's."""
    result = one_image(
        [[0, 0, 20, 20], [100, 0, 100, 100]],
        [400.0, 10000.0],
        [[0.9, 300, 0, 10, 10], [0.8, 0, 0, 20, 20], [0.7, 100, 0, 100, 100]],
    )
    summary = result.summary()
    assert (summary["APs"], summary["APl"]) == pytest.approx((0.5, 1.0))
    assert summary["AP"] == pytest.approx(2 / 3)  # precision 1/2 and 2/3; the envelope is 2/3 all along


def test_recall_with_one_ten_and_a_hundred_detections():
    """Ten objects, all found: one of them by the surest detection."""
    true = [[30.0 * k, 0, 20, 20] for k in range(10)]
    result = one_image(true, [400.0] * 10, [[0.9 - k / 100, *box] for k, box in enumerate(true)])
    summary = result.summary()
    assert [summary[n] for n in ("AR1", "AR10", "AR100")] == pytest.approx([0.1, 1.0, 1.0])


def test_other_ranges_limits_and_thresholds():
    result = one_image(
        [[0, 0, 10, 10]],
        [100.0],
        [[0.9, 0, 0, 10, 6]],
        iou_thresholds=(0.6, 0.7),
        areas={"any": (0, 1e9), "tiny": (0, 50)},
        limits=(3,),
    )
    assert result.ap.shape == (2, 1, 2, 1)
    assert result.ap[:, 0, 0, 0].tolist() == pytest.approx([1.0, 0.0])
    assert np.isnan(result.ap[:, 0, 1, 0]).all()
    assert result.summary() == {}
    with pytest.raises(ValueError, match="rising limits"):
        one_image([[0, 0, 10, 10]], [100.0], [], limits=(10, 1))
    with pytest.raises(DataError, match=r"1 of 1 true boxes have an area that is not a number: record 0 \(image 0\)"):
        one_image([[0, 0, 10, 10]], [np.nan], [])


def test_replicates_of_the_twelve_numbers():
    """Image 0 has its small object found, image 1 misses its large one."""
    truth = Truth.from_xywh([0, 1], [[0, 0, 20, 20], [0, 0, 100, 100]], [0, 0], [0, 0], num_images=2, num_classes=1)
    result = coco_metrics(truth, Detections.from_xywh([0], [[0, 0, 20, 20]], [0], [0.9]))
    replicates = result.replicates([[1, 1], [2, 0], [0, 2]])
    assert set(replicates) == set(result.summary()) and len(replicates) == 12
    assert replicates["AR100"].tolist() == [0.5, 1.0, 0.0]
    np.testing.assert_array_equal(replicates["APs"], [1.0, 1.0, np.nan])
    np.testing.assert_array_equal(replicates["APl"], [0.0, np.nan, 0.0])
    assert [values[0] for values in replicates.values()] == pytest.approx(list(result.summary().values()), nan_ok=True)
    assert tuple(COCO_AREAS) == result.areas
