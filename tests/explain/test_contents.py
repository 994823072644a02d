"""What is in each image, who gets it right, and by bins of that: all by hand."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.explain.contents import Answers, Contents, bins_of, contents_of, curves, outcomes, strongest
from headstart.tasks.table import TASKS
from support.by_hand.sets import image_set

BOXES = [[(0, 0, 10, 10), (10, 10, 20, 20)], [(0, 0, 20, 20)], []]


def test_contents_are_counted_by_hand() -> None:
    of = contents_of(image_set(3, 20, 40, boxes=BOXES, labels=[[2, 4], [4], []]), 10)
    assert of.counts.tolist() == [2, 1, 0] and of.label.tolist() == [2, 4, -1] and of.classes[4] == "c4"
    assert of.mean_area.tolist() == [100 / 800, 400 / 800, 0]
    (counts, by_count), (areas, by_area) = bins_of(of)["count"], bins_of(of)["area"]
    assert counts.tolist() == [1, 2, np.inf] and by_count.tolist() == [1, 0, -1]
    assert areas.tolist() == [1 / 8, 1 / 2, np.inf] and by_area.tolist() == [0, 1, -1]
    assert bins_of(contents_of(image_set(3, 20, 40), 9)) == {}
    assert contents_of(image_set(3, 20, 40, boxes=BOXES), 2).counts.tolist() == [2, 1]
    assert contents_of(image_set(3, 20, 40, image_labels=[0, 2, 1]), 9).label.tolist() == [0, 2, 1]


def test_bins_have_about_as_many_images_each() -> None:
    """Counts 1 to 100: fifths begin at 1, 21, 41, 61 and 81."""
    many = Contents(np.arange(1, 101), np.full(100, 0.25), np.zeros(100, int), ())
    edges, bins = bins_of(many)["count"]
    assert edges.tolist() == [1, 21, 41, 61, 81, np.inf] and np.bincount(bins).tolist() == [20] * 5
    assert bins_of(many)["area"][0].tolist() == [0.25, np.inf], "one bin where all are of one size"


def detections() -> dict[str, np.ndarray]:
    """In original pixels, twice the prepared ones: image 0 has one of two objects, image 1 a box beside its object
    before the right one, image 2 a box where nothing is."""
    return {
        "image_index": np.array([0, 1, 1, 2]),
        "boxes_xyxy": np.array([[0, 0, 20, 20], [60, 0, 80, 20], [0, 0, 40, 40], [0, 0, 9, 9]], np.float32),
        "labels": np.array([0, 0, 0, 0]),
        "scores": np.array([0.9, 0.8, 0.7, 0.02], np.float32),
    }


def test_detections_are_scored_image_by_image() -> None:
    answers = Answers(TASKS["detect"], [detections()], [image_set(3, 20, 40, boxes=BOXES)], "voc-area")
    alone = answers.of_each()
    assert alone[:2].tolist() == [0.5, 0.5] and np.isnan(alone[2]), "an image without objects has no value of its own"
    weights = np.ones((2, 3), np.uint16)
    binned = answers.in_bins(np.array([1, 0, -1]), 3, weights)
    assert binned[:2].tolist() == [[0.5] * 3, [0.5] * 3] and np.isnan(binned[2]).all()
    # Both images together: hit .9, miss .8, hit .7 of three objects: 1/3 x 1 + 1/3 x 2/3.
    assert answers.under(np.array([[1, 1, 0]], np.uint16))[0] == pytest.approx(5 / 9)


def test_folds_are_one_after_the_other_and_probes_have_right_answers() -> None:
    sets = [image_set(3, 20, 40, boxes=BOXES), image_set(3, 20, 40, boxes=BOXES)]
    two = Answers(TASKS["detect"], [detections(), {k: v[:1] for k, v in detections().items()}], sets, "voc-area")
    np.testing.assert_array_equal(two.of_each(), [0.5, 0.5, np.nan, 0.5, 0, np.nan])
    probe = Answers(TASKS["probe"], [{"correct": np.array([True, False, True])}], [], "voc-area")
    assert probe.of_each().tolist() == [1, 0, 1]
    assert probe.in_bins(np.array([0, 0, 1]), 2, np.array([[2, 1, 1]]))[0].tolist() == [0.5, pytest.approx(2 / 3)]


def test_outcomes_and_curves() -> None:
    a = np.array([[0.5, 1, np.nan, 0.2], [0.7, 1, np.nan, 0.2]])
    b = np.array([[0.5, 1, 0.3, 0.6], [0.5, 1, 0.3, np.nan]])
    found = outcomes(a, b)
    assert found["images/scored"] == 3 and (found["images/ahead_a"], found["images/ahead_b"]) == (1, 1)
    assert found["images/mean_a"] == pytest.approx((0.6 + 1 + 0.2) / 3)
    assert outcomes(a * np.nan, b) == {"images/scored": 0.0}
    of_a = np.array([[[0.4, 0.3, 0.5], [np.nan] * 3]])
    curve = curves(of_a, of_a - 0.1, np.array([7, 0]))
    assert curve["a"][0] == 0.4 and curve["b"][0] == pytest.approx(0.3) and np.isnan(curve["a"][1])
    assert curve["lo"][0] == pytest.approx(0.1) and curve["hi"][0] == pytest.approx(0.1)


def test_the_surest_detections_in_thousandths() -> None:
    sizes = np.array([[40, 80]] * 3)
    shown = strongest(detections(), sizes, 1, 0.05)
    assert shown["index"].tolist() == [0, 1] and shown["scores"].tolist() == pytest.approx([0.9, 0.8])
    assert shown["boxes"].tolist() == [[0, 0, 250, 500], [750, 0, 1000, 500]]
    assert len(strongest(detections(), sizes, 9, 0)["index"]) == 4
