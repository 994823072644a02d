"""Kinds of detection errors and what fixing them gives back: worked by hand, and equal to hotcoco's TIDE."""

import numpy as np
import pytest

from headstart.metrics.average_precision import CROWD, DIFFICULT, Detections, Truth
from headstart.metrics.detection_errors import KINDS, detection_errors
from support.boxes_by_hand import detections_of, truth_of

A, B = (0, 0, 10, 10), (100, 0, 110, 10)
RIGHT, NEAR, EDGE, NOWHERE = A, (0, 0, 10, 4), (0, 0, 10, 0.5), (50, 50, 60, 60)
"""IoU with A: 1, .4, .05 and 0."""


def errors_of(truth, found, protocol="voc-area", **shape):
    return detection_errors(truth_of(truth, **shape), detections_of(found), protocol)


def by_kind(**values):
    return dict.fromkeys(KINDS, 0) | values


def kinds_of(result):
    return [KINDS[k] if k >= 0 else "" for k in result.kinds]


def test_each_kind_of_error():
    """Class 0 has a box at A, class 1 one at B. The last two: poor box and another class; almost nothing there."""
    truth = [(0, 0, 0, *A), (0, 1, 0, *B)]
    found = [
        (0, 0, 0.9, *RIGHT),
        (0, 0, 0.8, *RIGHT),
        (0, 1, 0.7, *RIGHT),
        (0, 0, 0.6, *NEAR),
        (0, 0, 0.5, *NOWHERE),
        (0, 1, 0.4, *NEAR),
        (0, 1, 0.3, *EDGE),
    ]
    result = errors_of(truth, found, num_classes=2)
    assert kinds_of(result) == ["", "duplicate", "classification", "localization", "background", "both", "background"]
    assert result.missed.tolist() == [False, True]
    assert result.counts == by_kind(classification=1, localization=1, both=1, duplicate=1, background=2, missed=1)
    assert result.class_counts.tolist() == [[0, 1], [1, 0], [0, 1], [1, 0], [1, 1], [0, 1]]


def test_fixing_a_localization_error():
    """Two objects: A found at .9; B has a poor box at .8 (IoU .4). AP 1/2 as it is; fixed: 1. Nothing is missed."""
    result = errors_of([(0, 0, 0, *A), (0, 0, 0, *B)], [(0, 0, 0.9, *A), (0, 0, 0.8, 100, 0, 110, 4)])
    assert result.ap == 0.5
    assert result.given_back == by_kind(localization=0.5)


def test_fixing_a_classification_error_helps_both_classes():
    """Class 0: its object at A was called class 1, at .9: AP 0, then 1. Class 1: B found at .8, after the wrong one:
    precision 1/2, then 1. Together (1 + 1/2) / 2."""
    result = errors_of([(0, 0, 0, *A), (0, 1, 0, *B)], [(0, 1, 0.9, *A), (0, 1, 0.8, *B)], num_classes=2)
    assert kinds_of(result) == ["classification", ""]
    assert result.class_given_back[0].tolist() == [1.0, 0.5]
    assert result.given_back["classification"] == 0.75 and result.ap == 0.25


@pytest.mark.parametrize(("wrong", "kind"), [((0, 0, 0.9, *NOWHERE), "background"), ((0, 1, 0.9, *NEAR), "both")])
def test_fixing_what_goes_away(wrong, kind):
    """The wrong detection stands before the hit of its class: 1/2, then 1; the other class is found: 1."""
    truth = [(0, 0, 0, *A), (0, 1, 0, *B)]
    hits = [(0, 0, 0.95 if kind == "both" else 0.8, *A), (0, 1, 0.8, *B)]
    result = errors_of(truth, [wrong, *hits], num_classes=2)
    assert kinds_of(result)[0] == kind
    assert result.given_back == by_kind(**{kind: 0.25}) and result.ap == 0.75


def test_fixing_a_duplicate():
    """A found at .9, again at .8, B at .7: 1/2 + 1/2 * 2/3 = 5/6, without the duplicate 1."""
    result = errors_of([(0, 0, 0, *A), (0, 0, 0, *B)], [(0, 0, 0.9, *A), (0, 0, 0.8, *A), (0, 0, 0.7, *B)])
    assert result.given_back["duplicate"] == pytest.approx(1 / 6) and result.counts["duplicate"] == 1


def test_missed_objects_no_longer_count():
    """A found, B not: 1/2, then 1. Class 1 has one object, missed, and after fixing nothing to find: 1."""
    result = errors_of([(0, 0, 0, *A), (0, 0, 0, *B), (0, 1, 0, *B)], [(0, 0, 0.9, *A)], num_classes=3)
    assert result.class_given_back[-1].tolist() == pytest.approx([0.5, 1.0, np.nan], nan_ok=True)
    assert result.given_back["missed"] == 0.75 and result.counts["missed"] == 2


def test_only_the_surest_error_at_an_object_is_fixed():
    """Two poor boxes at A, .9 and .8, one more there at .7 of another class, well placed: the first becomes right, the
    second goes. Fixing classification alone fixes nothing, as TIDE does it, but takes the third away."""
    found = [(0, 0, 0.9, *NEAR), (0, 0, 0.8, *NEAR), (0, 1, 0.7, *A), (0, 1, 0.6, *B)]
    result = errors_of([(0, 0, 0, *A), (0, 1, 0, *B)], found, num_classes=2)
    assert result.class_given_back[KINDS.index("localization")].tolist() == [1.0, 0.0]
    assert result.class_given_back[KINDS.index("classification")].tolist() == [0.0, 0.5]


def test_an_error_at_an_object_that_was_found_goes_away():
    result = errors_of([(0, 0, 0, *A)], [(0, 0, 0.9, *NEAR), (0, 0, 0.8, *A)])
    assert result.ap == 0.5 and result.given_back["localization"] == 0.5


def test_ignored_detections_are_no_errors_and_boxes_that_do_not_count_make_none():
    """A detection on a difficult box is ignored. One that only grazes it is background: the box does not count."""
    truth = [(0, 0, DIFFICULT, *A), (0, 0, CROWD, *B)]
    result = errors_of(truth, [(0, 0, 0.9, *A), (0, 0, 0.8, *NEAR), (0, 0, 0.7, 102, 0, 104, 10)], "coco")
    assert kinds_of(result) == ["", "background", ""]
    assert result.counts["missed"] == 0 and np.isnan(result.ap)


def test_under_image_weights_as_if_the_images_stood_there_so_often():
    """Three images, each with another kind of error: none, one and two of them."""
    truth = [(k, 0, 0, *A) for k in range(3)] + [(2, 1, 0, *B)]
    found = [(0, 0, 0.9, *A), (0, 0, 0.8, *NOWHERE), (1, 0, 0.7, *NEAR), (2, 1, 0.6, *A), (2, 0, 0.5, *A)]
    shape = {"num_images": 3, "num_classes": 2}
    weights = np.array([[1, 1, 1], [2, 0, 1], [0, 3, 0], [0, 0, 0]])
    result = detection_errors(truth_of(truth, **shape), detections_of(found), "voc-area", image_weights=weights)
    for row, times in enumerate(weights[:3]):
        copies = [(image, sum(times[:image]) + k) for image in range(3) for k in range(times[image])]
        again = [(to, *of[1:]) for of_image, to in copies for of in truth if of[0] == of_image]
        said = [(to, *of[1:]) for of_image, to in copies for of in found if of[0] == of_image]
        alone = errors_of(again, said, num_images=max(len(copies), 1), num_classes=2)
        assert {kind: values[row] for kind, values in result.weighted.items()} == pytest.approx(alone.given_back)
    assert result.given_back == {kind: values[0] for kind, values in result.weighted.items()}
    assert all(np.isnan(values[3]) for values in result.weighted.values()), "no object has weight"


def test_nothing_and_thresholds_that_make_no_sense():
    assert errors_of([(0, 0, 0, *A)], []).given_back["missed"] == 1.0
    assert np.isnan(errors_of([], []).given_back["missed"])
    with pytest.raises(ValueError, match=r"background is 0\.6, foreground 0\.5"):
        detection_errors(truth_of([]), detections_of([]), "coco", 0.5, background=0.6)


NAMES = {
    "Cls": "classification",
    "Loc": "localization",
    "Both": "both",
    "Dupe": "duplicate",
    "Bkg": "background",
    "Miss": "missed",
}


@pytest.mark.parametrize("seed", range(8))
def test_equal_to_hotcocos_tide(seed):
    hotcoco = pytest.importorskip("hotcoco")
    rng = np.random.default_rng(seed)
    n, k, m, d = 6, 4, 40, 160
    boxes = np.hstack([rng.uniform(0, 150, (m, 2)), rng.uniform(10, 60, (m, 2))])
    image, label, source = rng.integers(n, size=m), rng.integers(k, size=m), rng.integers(m, size=d)
    moved = np.abs(boxes[source] + rng.normal(0, 1, (d, 4)) * rng.choice([1, 5, 15, 40], (d, 1)))
    said, scores = np.where(rng.random(d) < 0.6, label[source], rng.integers(k, size=d)), rng.random(d)
    truth = hotcoco.COCO(
        {
            "info": {},
            "images": [{"id": i + 1, "width": 300, "height": 300} for i in range(n)],
            "categories": [{"id": c + 1, "name": str(c)} for c in range(k)],
            "annotations": [
                {
                    "id": j + 1,
                    "image_id": int(image[j]) + 1,
                    "category_id": int(label[j]) + 1,
                    "bbox": boxes[j].tolist(),
                    "area": float(boxes[j, 2:].prod()),
                    "iscrowd": 0,
                }
                for j in range(m)
            ],
        }
    )
    found = truth.load_res(np.column_stack([image[source] + 1, moved, scores, said + 1]))
    evaluation = hotcoco.COCOeval(truth, found, "bbox")
    evaluation.evaluate()
    theirs = evaluation.tide_errors()
    ours = detection_errors(
        Truth.from_xywh(image, boxes, label, np.zeros(m, np.uint8), num_images=n, num_classes=k),
        Detections.from_xywh(image[source], moved, said, scores),
    )
    assert ours.ap == pytest.approx(theirs["ap_base"], abs=1e-9)
    for their_name, name in NAMES.items():
        assert ours.counts[name] == theirs["counts"][their_name] > 0
        assert ours.given_back[name] == pytest.approx(theirs["delta_ap"][their_name], abs=1e-9)
