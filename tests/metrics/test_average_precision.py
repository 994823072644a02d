"""Average precision: cases worked by hand, and faults. `test_average_precision_oracles.py` has the oracles."""

import subprocess
import sys

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.metrics.average_precision import CROWD, DIFFICULT, GROUP_OF, Detections, average_precision
from support.boxes_by_hand import HIT_MISS_HIT, TWO_TRUTHS, detections_of, truth_of

EVERY = ("voc07-11pt", "voc-area", "coco")


def score(truth, detections, protocol, threshold=0.5, **shape):
    return average_precision(truth_of(truth, **shape), detections_of(detections), protocol, (threshold,))


# ---- worked by hand


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("voc-area", 1 / 2 * 1 + 1 / 2 * 2 / 3),  # 0.8333: precision 1 up to recall 1/2, then 2/3
        ("voc07-11pt", (6 * 1 + 5 * 2 / 3) / 11),  # 0.8485: recalls 0 to .5, then .6 to 1
        ("coco", (51 * 1 + 50 * 2 / 3) / 101),  # 0.8350: recalls 0 to .50, then .51 to 1
    ],
)
def test_two_truths_hit_miss_hit(protocol, expected):
    result = score(TWO_TRUTHS, HIT_MISS_HIT, protocol)
    assert result.ap.shape == (1, 1)
    assert result.ap[0, 0] == pytest.approx(expected, abs=1e-12)
    assert result.map[0] == result.ap[0, 0]
    assert (result.protocol, result.iou_thresholds, result.counts.tolist()) == (protocol, (0.5,), [2])


@pytest.mark.parametrize("flag", [DIFFICULT, CROWD, GROUP_OF])
@pytest.mark.parametrize("protocol", EVERY)
def test_a_box_that_does_not_count_is_neither_hit_nor_miss(protocol, flag):
    truth = [(0, 0, 0, 0, 0, 10, 10), (0, 0, flag, 50, 50, 60, 60)]
    result = score(truth, [(0, 0, 0.9, 50, 50, 60, 60), (0, 0, 0.8, 0, 0, 10, 10)], protocol)
    assert result.counts.tolist() == [1]
    assert result.ap[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize(("protocol", "second"), [("voc-area", True), ("coco", False)])
def test_only_voc_ignores_every_detection_of_a_difficult_box(protocol, second):
    """Two detections on one difficult box, then a hit: COCO's difficult box takes one detection, the other is wrong."""
    truth = [(0, 0, 0, 0, 0, 10, 10), (0, 0, DIFFICULT, 50, 50, 60, 60)]
    detections = [(0, 0, 0.9, 50, 50, 60, 60), (0, 0, 0.8, 50, 50, 60, 60), (0, 0, 0.7, 0, 0, 10, 10)]
    assert score(truth, detections, protocol).ap[0, 0] == pytest.approx(1.0 if second else 0.5)


def test_coco_crowd_takes_many_by_the_share_of_the_detection():
    """Each detection covers a hundredth of the crowd but lies inside it; the crowd takes both."""
    truth = [(0, 0, CROWD, 0, 0, 100, 100), (0, 0, 0, 200, 0, 210, 10)]
    detections = [(0, 0, 0.9, 0, 0, 10, 10), (0, 0, 0.8, 20, 20, 30, 30), (0, 0, 0.7, 200, 0, 210, 10)]
    assert score(truth, detections, "coco").ap[0, 0] == pytest.approx(1.0)
    assert score(truth, detections, "voc-area").ap[0, 0] == pytest.approx(1 / 3)


def test_a_second_detection_of_a_box_is_wrong():
    """voc-area: hit, duplicate, hit: precision 1 to recall 1/2, then 2/3."""
    detections = [HIT_MISS_HIT[0], (0, 0, 0.8, 0, 0, 10, 10), HIT_MISS_HIT[2]]
    assert score(TWO_TRUTHS, detections, "voc-area").ap[0, 0] == pytest.approx(5 / 6)


def test_voc_does_not_fall_back_on_a_second_best_box():
    """The second detection overlaps both boxes by more than half, the taken one most: wrong by VOC, right by COCO."""
    truth = [(0, 0, 0, 0, 0, 10, 10), (0, 0, 0, 2, 0, 12, 10)]
    detections = [(0, 0, 0.9, 0, 0, 10, 10), (0, 0, 0.8, 0, 0, 10, 10)]
    assert score(truth, detections, "voc-area").ap[0, 0] == pytest.approx(0.5)
    assert score(truth, detections, "coco").ap[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize(("protocol", "right"), [("voc07-11pt", False), ("voc-area", False), ("coco", True)])
def test_iou_of_exactly_the_threshold(protocol, right):
    """Width 7 of 10: IoU 0.7 to the last bit."""
    result = score([(0, 0, 0, 0, 0, 10, 10)], [(0, 0, 0.9, 0, 0, 7, 10)], protocol, threshold=0.7)
    assert result.ap[0, 0] == pytest.approx(1.0 if right else 0.0)


def test_devkit_widths_are_continuous_widths():
    """Devkit boxes (xmin 1, xmax 3) and (1, 2), both 1 high: (2-1+1)/(3-1+1) = 2/3, although 1/2 without the +1."""
    truth, detection = [(0, 0, 0, 0, 0, 3, 1)], [(0, 0, 0.9, 0, 0, 2, 1)]
    assert score(truth, detection, "voc07-11pt", 0.66).ap[0, 0] == pytest.approx(1.0)
    assert score(truth, detection, "voc07-11pt", 0.67).ap[0, 0] == 0.0


def test_eleven_recalls_are_the_doubles_of_the_reference():
    """3 hits of 10: the fourth recall is 0.30000000000000004, above 3/10, so three recalls have precision 1."""
    truth = [(i, 0, 0, 0, 0, 10, 10) for i in range(10)]
    detections = [(i, 0, 0.9, 0, 0, 10, 10) for i in range(3)]
    assert score(truth, detections, "voc07-11pt", num_images=10).ap[0, 0] == pytest.approx(3 / 11)


def test_detections_on_images_without_truth_count():
    detections = [(1, 0, 0.9, 0, 0, 10, 10), (0, 0, 0.8, 0, 0, 10, 10)]
    for protocol in EVERY:
        result = score([(0, 0, 0, 0, 0, 10, 10)], detections, protocol, num_images=2)
        assert result.ap[0, 0] == pytest.approx(0.5)


def test_mean_over_classes_with_a_box_that_counts():
    """Class 0 perfect, class 1 never found, class 2 only difficult, class 3 only detected."""
    truth = [(0, 0, 0, 0, 0, 10, 10), (0, 1, 0, 0, 0, 10, 10), (0, 2, DIFFICULT, 0, 0, 10, 10)]
    detections = [(0, 0, 0.9, 0, 0, 10, 10), (0, 3, 0.9, 0, 0, 10, 10), (0, 2, 0.9, 0, 0, 10, 10)]
    for protocol in EVERY:
        result = score(truth, detections, protocol, num_classes=4)
        assert result.ap[0, :2] == pytest.approx([1.0, 0.0])
        assert np.isnan(result.ap[0, 2:]).all()
        assert result.map[0] == pytest.approx(0.5)
        assert result.counts.tolist() == [1, 1, 0, 0]


def test_scores_are_not_rounded_and_ties_follow_the_images():
    wrong, right = (1, 0, 0.5, 50, 50, 60, 60), (0, 0, 0.5, 0, 0, 10, 10)
    truth = [(0, 0, 0, 0, 0, 10, 10)]
    assert score(truth, [wrong, right], "voc-area", num_images=2).ap[0, 0] == 1.0  # image 0 first
    wrong = (1, 0, np.nextafter(0.5, 1), 50, 50, 60, 60)
    assert score(truth, [right, wrong], "voc-area", num_images=2).ap[0, 0] == 0.5


def test_coco_keeps_a_hundred_detections_of_an_image_and_class():
    misses = [(0, 0, 0.9, 50, 50, 60, 60)] * 100
    hit = [(0, 0, 0.8, 0, 0, 10, 10), (0, 1, 0.8, 0, 0, 10, 10)]
    truth = [(0, 0, 0, 0, 0, 10, 10), (0, 1, 0, 0, 0, 10, 10)]
    assert score(truth, misses + hit, "coco", num_classes=2).ap[0].tolist() == [0.0, 1.0]
    assert score(truth, misses + hit, "voc-area", num_classes=2).ap[0] == pytest.approx([1 / 101, 1.0])


@pytest.mark.parametrize("protocol", EVERY)
def test_nothing_to_score(protocol):
    assert np.isnan(score([], [], protocol).map).all()
    assert np.isnan(score([], HIT_MISS_HIT, protocol).map).all()
    result = score(TWO_TRUTHS, [], protocol)
    assert result.map.tolist() == [0.0]
    assert result.replicates([[2], [0]]).tolist()[0] == [0.0]
    assert np.isnan(result.replicates([[2], [0]])[1, 0])


def test_boxes_without_area_overlap_nothing():
    point = (0, 0, 0, 5, 5, 5, 5)
    for protocol in EVERY:
        assert score([point], [(0, 0, 0.9, 5, 5, 5, 5)], protocol).map.tolist() == [0.0]


# ---- replicates and faults


def test_a_class_without_weight_leaves_the_mean_of_that_resample():
    truth = [(0, 0, 0, 0, 0, 10, 10), (1, 1, 0, 0, 0, 10, 10)]
    result = score(truth, [(0, 0, 0.9, 0, 0, 10, 10)], "voc-area", num_images=2, num_classes=2)
    assert result.replicates([[1, 1], [2, 0], [0, 2]])[:, 0].tolist() == [0.5, 1.0, 0.0]


def test_weights_of_another_test_set_are_refused():
    with pytest.raises(ValueError, match=r"weights have shape \(3, 2\); they must be \(resamples, 1 images\)"):
        score(TWO_TRUTHS, HIT_MISS_HIT, "coco").replicates(np.ones((3, 2)))


BOX = (0, 0, 10, 10)


@pytest.mark.parametrize(
    ("truth", "detections", "message"),
    [
        ([], [(0, 0, np.nan, *BOX)], r"1 of 1 detections have a score that is not a number: record 0 \(image 0\): nan"),
        (
            [],
            [(0, 0, 0.5, *BOX)] + [(1, 0, 0.5, 0, 0, np.nan, 1)] * 5,
            r"5 of 6 detections have coordinates that are not finite: record 1 \(image 1\): \[0.0, 0.0, nan, 1.0\]; "
            r"record 2 .*; and 2 more\. .*leave out",
        ),
        (
            [(1, 0, 0, 9, 0, 3, 5)],
            [],
            r"1 of 1 true boxes have x2 < x1 or y2 < y1: record 0 \(image 1\): "
            r"\[9.0, 0.0, 3.0, 5.0\]\. Boxes are x1, y1, x2, y2",
        ),
        ([(0, 1, 0, *BOX)], [], r"true boxes have a label outside 0\.\.0: record 0 \(image 0\): 1\. Labels start at 0"),
        ([], [(0, -1, 0.5, *BOX)], r"detections have a label outside 0\.\.0: record 0 \(image 0\): -1"),
        ([(2, 0, 0, *BOX)], [], r"true boxes have an image index outside 0\.\.1: record 0 \(image 2\): 2"),
        ([], [(-1, 0, 0.5, *BOX)], r"detections have an image index outside 0\.\.1: .* not in the test set"),
    ],
)
def test_faults_name_the_records(truth, detections, message):
    for protocol in EVERY:
        with pytest.raises(DataError, match=message):
            score(truth, detections, protocol, num_images=2)


def test_arguments_that_make_no_sense():
    with pytest.raises(ValueError, match="unknown protocol 'voc'; known: voc07-11pt, voc-area, coco, coco-500"):
        score([], [], "voc")
    with pytest.raises(ValueError, match="above 0, at most 1"):
        score([], [], "coco", 50)
    with pytest.raises(ValueError, match="labels has shape"):
        Detections(np.zeros(2, int), np.zeros((2, 4)), np.zeros(3, int), np.zeros(2))
    with pytest.raises(ValueError, match="labels holds float64; it must hold whole numbers"):
        Detections(np.zeros(1, int), np.zeros((1, 4)), np.array([0.5]), np.zeros(1))


def test_metrics_and_stats_load_neither_torch_nor_numba():
    code = (
        "import sys, headstart.metrics.average_precision, headstart.metrics.mean_iou, headstart.metrics.accuracy, "
        "headstart.stats.bootstrap, headstart.stats.intervals, headstart.stats.contrasts; "
        "print([m for m in ('torch', 'numba', 'scipy.stats') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
