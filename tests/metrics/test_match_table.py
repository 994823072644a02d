"""The match table, curves and single rules, worked by hand."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headstart.metrics.average_precision import CROWD, DIFFICULT, PROTOCOLS, average_precision
from headstart.metrics.match_table import overlaps
from headstart.metrics.protocols import OF_BOXES
from support.boxes_by_hand import HIT_MISS_HIT, TWO_TRUTHS, detections_of, truth_of

BOX = (0, 0, 10, 10)


def table_of(truth, detections, protocol, thresholds=(0.5, 0.7), **shape):
    return average_precision(truth_of(truth, **shape), detections_of(detections), protocol, thresholds).match_table()


@pytest.mark.parametrize("protocol", OF_BOXES)
def test_which_truth_at_which_iou_and_what_became_of_it(protocol):
    """Unordered input: a duplicate of box 0, a hit on box 1 with IoU .6, a hit on box 0, one that meets nothing."""
    truth = [(0, 0, 0, *BOX), (0, 0, 0, 50, 0, 60, 10)]
    found = [(0, 0, 0.6, 0, 0, 9, 10), (0, 0, 0.7, 50, 0, 56, 10), (0, 0, 0.9, *BOX), (0, 0, 0.8, 90, 0, 99, 10)]
    table = table_of(truth, found, protocol)
    assert table.column_names == [
        "detection",
        "image",
        "label",
        "score",
        "truth",
        "iou",
        "truth@0.5",
        "iou@0.5",
        "fate@0.5",
        "truth@0.7",
        "iou@0.7",
        "fate@0.7",
    ]
    rows = table.to_pydict()
    assert rows["detection"] == [0, 1, 2, 3] and rows["score"] == [0.6, 0.7, 0.9, 0.8]
    assert rows["truth"] == [0, 1, 0, None] and rows["iou"] == pytest.approx([0.9, 0.6, 1.0, 0.0])
    assert rows["fate@0.5"] == ["miss", "hit", "hit", "miss"]
    assert rows["fate@0.7"] == ["miss", "miss", "hit", "miss"]
    assert rows["truth@0.5"] == [None, 1, 0, None] and rows["truth@0.7"] == [None, None, 0, None]
    assert rows["iou@0.5"] == [None, pytest.approx(0.6), 1.0, None]
    types = {name: table.schema.field(name).type for name in table.column_names}
    assert types["truth@0.5"] == pa.int64() and types["iou@0.5"] == pa.float64()
    assert pa.types.is_dictionary(types["fate@0.5"])


def test_ignored_and_left_out_detections():
    """COCO: a crowd takes what lies inside it, by the share of the detection; the hundred-and-first is left out."""
    truth = [(0, 0, CROWD, 0, 0, 100, 100), (0, 0, 0, 200, 0, 210, 10)]
    found = [(0, 0, 0.9, 10, 10, 20, 20)] * 2 + [(0, 0, 0.8, 300, 0, 310, 10)] * 98 + [(0, 0, 0.7, 200, 0, 210, 10)]
    rows = table_of(truth, found, "coco", (0.5,)).to_pydict()
    assert rows["fate@0.5"] == ["ignored"] * 2 + ["miss"] * 98 + ["left-out"]
    assert rows["truth@0.5"][:3] == [0, 0, None] and rows["iou@0.5"][:3] == [1.0, 1.0, None]
    assert rows["truth"][-1] == 1 and rows["truth@0.5"][-1] is None


def test_each_threshold_is_matched_on_its_own_by_coco():
    """At .5 the surer detection takes the box that fits it best; at .7 none does, so the other one has it."""
    rows = table_of([(0, 0, 0, *BOX)], [(0, 0, 0.9, 0, 0, 6, 10), (0, 0, 0.8, 0, 0, 8, 10)], "coco").to_pydict()
    assert rows["fate@0.5"] == ["hit", "miss"] and rows["fate@0.7"] == ["miss", "hit"]


def test_boxes_apart_do_not_overlap():
    """Apart on both axes, too, where the product of two negative sides would be an area; nothing met has no overlap."""
    truth = truth_of([(0, 0, 0, 0, 0, 10, 10), (0, 0, CROWD, 0, 0, 10, 10)])
    boxes = [(0, 0, 10, 10), (20, 20, 30, 30), (20, 0, 30, 10), (10, 0, 20, 10), (5, 0, 15, 10), (0, 0, 10, 5)]
    found = detections_of([(0, 0, 0.5, *box) for box in [*boxes, boxes[4]]])
    met = np.array([0, 0, 0, 0, 0, -1, 1])
    expected = [1.0, 0.0, 0.0, 0.0, 1 / 3, np.nan, 1 / 2]
    assert overlaps(truth, found, PROTOCOLS["coco"], met) == pytest.approx(expected, nan_ok=True)


def test_the_table_of_nothing():
    table = table_of([], [], "coco")
    assert table.num_rows == 0 and "fate@0.7" in table.column_names


def test_curve_has_a_point_for_every_detection_that_is_not_ignored():
    truth = [*TWO_TRUTHS, (0, 0, DIFFICULT, 70, 0, 80, 10)]
    found = [*HIT_MISS_HIT, (0, 0, 0.85, 70, 0, 80, 10)]
    curve = average_precision(truth_of(truth), detections_of(found), "voc-area", (0.5,)).curve(0)
    assert curve.scores.tolist() == [0.9, 0.8, 0.7]
    assert curve.recall.tolist() == [0.5, 0.5, 1.0]
    assert curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])


def test_curves_reach_the_recall_of_the_result():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 30, (60, 2))
    boxes = np.hstack([corners, corners + rng.integers(5, 20, (60, 2))])
    truth = [(i % 4, i % 3, 0, *box) for i, box in enumerate(boxes)]
    moved = np.tile(boxes, (3, 1)) + rng.integers(0, 3, (180, 4))
    found = [(i % 4, i % 3, rng.random(), *box) for i, box in enumerate(moved)]
    result = average_precision(truth_of(truth, num_images=4, num_classes=3), detections_of(found), "coco", (0.5, 0.75))
    for label in range(3):
        for t in range(2):
            curve = result.curve(label, t)
            assert curve.recall[-1] == result.recall[t, label] > 0
            assert (np.diff(curve.scores) <= 0).all() and (np.diff(curve.recall) >= 0).all()
            envelope = np.maximum.accumulate(curve.precision[::-1])[::-1]
            at = np.searchsorted(curve.recall, np.linspace(0, 1, 101))
            mean = np.append(envelope, 0.0)[at].mean()
            assert mean == pytest.approx(result.ap[t, label], abs=1e-12)


# ---- single rules


def ap(truth, found, threshold=0.5, **rules):
    changed = replace(PROTOCOLS["voc-area"], **rules)
    return average_precision(truth_of(truth), detections_of(found), changed, (threshold,)).ap[0, 0]


def test_a_difficult_box_that_counts_is_found_or_missed():
    truth = [(0, 0, 0, *BOX), (0, 0, DIFFICULT, 50, 0, 60, 10)]
    assert ap(truth, [(0, 0, 0.9, *BOX)]) == 1.0
    assert ap(truth, [(0, 0, 0.9, *BOX)], difficult="counted") == 0.5


@pytest.mark.parametrize(("crowd", "expected"), [("ignored", 0.5), ("region", 1.0), ("once", 1.0), ("counted", 0.25)])
def test_the_four_ways_with_a_crowd(crowd, expected):
    """A detection that lies inside the crowd, a tenth of it, then a hit on the single box.

    By IoU the first one misses the crowd: precision 1/2 at the hit, and where the crowd counts, recall 1/2 only. As a
    region the crowd takes it: ignored, or, once, right; then both objects are found.
    """
    truth = [(0, 0, CROWD, 0, 0, 100, 10), (0, 0, 0, 200, 0, 210, 10)]
    assert ap(truth, [(0, 0, 0.9, *BOX), (0, 0, 0.7, 200, 0, 210, 10)], crowd=crowd) == expected


def test_ties_in_the_two_orders():
    found = [(0, 0, 0.5, 90, 0, 99, 10), (0, 0, 0.5, *BOX), (0, 0, 0.4, 90, 0, 99, 10)]
    assert ap([(0, 0, 0, *BOX)], found) == 0.5
    assert ap([(0, 0, 0, *BOX)], found, ties="last") == 1.0


def test_extra_width():
    """Boxes 3 and 2 wide, 1 high: IoU 2/3; with 1 more on every side (4 x 2 and 3 x 2): 3/4."""
    truth, found = [(0, 0, 0, 0, 0, 3, 1)], [(0, 0, 0.9, 0, 0, 2, 1)]
    assert ap(truth, found, 0.7) == 0.0
    assert ap(truth, found, 0.7, extra_width=1.0) == 1.0


def test_a_limit_and_the_threshold_itself():
    found = [(0, 0, 0.9, 90, 0, 99, 10), (0, 0, 0.8, 0, 0, 5, 10)]
    assert ap([(0, 0, 0, *BOX)], found) == 0.0
    assert ap([(0, 0, 0, *BOX)], found, at_threshold=True) == 0.5
    assert ap([(0, 0, 0, *BOX)], found, at_threshold=True, max_detections=1) == 0.0
