"""Average precision by area, by count and by given groups: worked by hand, and against separate evaluations."""

import numpy as np
import pytest

from headstart.metrics.average_precision import DIFFICULT, Detections, Truth, average_precision
from headstart.metrics.coco import COCO_AREAS, coco_metrics
from headstart.metrics.groups import AREA_BINS, Bin, ap_by_area, ap_by_count, ap_by_image, ap_by_object, in_bins
from headstart.metrics.protocols import OF_BOXES
from support.boxes_by_hand import detections_of, random_case, truth_of

SMALL, LARGE = (0, 0, 20, 20), (100, 0, 200, 100)


def evaluated(truth, found, protocol="voc-area", **shape):
    return average_precision(truth_of(truth, **shape), detections_of(found), protocol, (0.5,))


def test_a_bin_owns_its_lower_edge():
    assert in_bins([0, 1023.9, 1024, 9215, 9216, 1e12], AREA_BINS).tolist() == [0, 0, 1, 1, 2, 2]
    assert in_bins([-1, np.nan, 5], [Bin("a", 0, 5)]).tolist() == [-1, -1, -1]
    with pytest.raises(ValueError, match=r"bin 'b' \(4 to 9\) overlaps one before it"):
        in_bins([], [Bin("a", 0, 5), Bin("b", 4, 9)])


def test_by_area():
    """A wrong detection of 10 x 10, surer than both hits: it halves the small object's AP; there is nothing medium."""
    found = [(0, 0, 0.9, 300, 0, 310, 10), (0, 0, 0.8, *SMALL), (0, 0, 0.7, *LARGE)]
    for protocol in ("voc-area", "coco"):
        parts = ap_by_area(evaluated([(0, 0, 0, *SMALL), (0, 0, 0, *LARGE)], found, protocol))
        assert parts.names == ("small", "medium", "large")
        assert parts.counts[:, 0].tolist() == [1, 0, 1]
        assert parts.map[:, 0].tolist() == pytest.approx([0.5, np.nan, 1.0], nan_ok=True)
        assert np.isnan(parts.ap[1]).all()


def test_objects_in_given_groups_share_the_wrong_detections():
    """Occluded (1) or not (0): the wrong detection at .85 has no such property and counts in both groups.

    Group 0: hit, wrong: AP 1. Group 1: the first detection met a box outside the group: ignored; wrong, hit: 1/2.
    """
    truth = [(0, 0, 0, *SMALL), (0, 0, 0, *LARGE), (0, 0, 0, 300, 0, 320, 20)]
    found = [(0, 0, 0.9, *SMALL), (0, 0, 0.85, 500, 0, 510, 10), (0, 0, 0.8, *LARGE)]
    result = evaluated(truth, found)
    parts = ap_by_object(result, [0, 1, -1], ("clear", "occluded"))
    assert parts.map[:, 0].tolist() == [1.0, 0.5] and parts.counts[:, 0].tolist() == [1, 1]
    own = ap_by_object(result, [0, 1, -1], ("clear", "occluded"), detection_groups=[0, 0, 0])
    assert own.map[:, 0].tolist() == [1.0, 1.0]


def test_by_count():
    """Image 0 has one object, found; image 1 three, one found; image 2 a difficult one only: in no bin."""
    rows = [(0, 0, 0, *SMALL), *[(1, 0, 0, 50 * k, 0, 50 * k + 20, 20) for k in range(3)], (2, 0, DIFFICULT, *SMALL)]
    found = [(0, 0, 0.9, *SMALL), (1, 0, 0.8, *SMALL), (2, 0, 0.95, *LARGE)]
    parts = ap_by_count(evaluated(rows, found, num_images=3))
    assert parts.names == ("1", "2-3", "4-7", "8+")
    assert parts.counts[:, 0].tolist() == [1, 3, 0, 0]
    assert parts.map[:, 0].tolist() == pytest.approx([1.0, 1 / 3, np.nan, np.nan], nan_ok=True)


@pytest.mark.parametrize("protocol", OF_BOXES)
def test_groups_of_images_equal_their_own_evaluation(protocol):
    rng = np.random.default_rng(2)
    for _ in range(25):
        truth, found = random_case(rng)
        groups = rng.integers(-1, 2, truth.num_images)
        parts = ap_by_image(average_precision(truth, found, protocol, (0.3, 0.5)), groups, ("a", "b"))
        for g in range(2):
            t, d = groups[truth.image_index] == g, groups[found.image_index] == g
            alone = average_precision(
                Truth(
                    truth.image_index[t],
                    truth.boxes_xyxy[t],
                    truth.labels[t],
                    truth.flags[t],
                    truth.num_images,
                    truth.num_classes,
                ),
                Detections(found.image_index[d], found.boxes_xyxy[d], found.labels[d], found.scores[d]),
                protocol,
                (0.3, 0.5),
            )
            np.testing.assert_allclose(parts.ap[g], alone.ap, rtol=0, atol=1e-12)
            np.testing.assert_array_equal(parts.counts[g], alone.counts)


def test_areas_equal_cocos_ranges_away_from_their_edges():
    rng = np.random.default_rng(4)
    for _ in range(25):
        corner = rng.uniform(0, 100, (40, 2))
        boxes = np.hstack([corner, corner + np.exp(rng.uniform(2, 5.5, (40, 2)))])
        image, label = rng.integers(0, 3, 40), rng.integers(0, 2, 40)
        source = rng.integers(0, 40, 120)
        moved = np.sort((boxes[source] + rng.normal(0, 4, (120, 4))).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
        truth = Truth(image, boxes, label, np.zeros(40, np.uint8), 3, 2)
        found = Detections(image[source], moved, label[source], rng.random(120))
        parts = ap_by_area(average_precision(truth, found, "coco", (0.5, 0.75)))
        full = coco_metrics(truth, found, (0.5, 0.75))
        ranges = [list(COCO_AREAS).index(name) for name in parts.names]
        np.testing.assert_allclose(parts.ap, np.moveaxis(full.ap[:, :, ranges, 2], 2, 0), rtol=0, atol=1e-12)


def test_replicates_of_groups():
    """Image 0 has the small object, found; image 1 the large one, missed."""
    result = evaluated([(0, 0, 0, *SMALL), (1, 0, 0, *LARGE)], [(0, 0, 0.9, *SMALL)], num_images=2)
    weights = [[1, 1], [2, 0], [0, 2]]
    expected = [[1.0, 0.0], [1.0, np.nan], [np.nan, 0.0]]
    by_image = ap_by_image(result, [0, 1], ("a", "b")).replicates(weights)
    by_object = ap_by_object(result, [0, 1], ("a", "b")).replicates(weights)
    assert by_image.shape == by_object.shape == (3, 2, 1)
    np.testing.assert_array_equal(by_image[..., 0], expected)
    np.testing.assert_array_equal(by_object[..., 0], expected)
    with pytest.raises(ValueError, match=r"weights have shape \(1, 3\); they must be \(resamples, 2 images\)"):
        ap_by_image(result, [0, 1], ("a", "b")).replicates([[1, 1, 1]])


def test_groups_that_make_no_sense():
    result = evaluated([(0, 0, 0, *SMALL)], [])
    with pytest.raises(ValueError, match=r"groups have shape \(2,\); give one for every image \(1\)"):
        ap_by_image(result, [0, 0], ("a",))
    with pytest.raises(ValueError, match=r"groups of a true box must be whole numbers from -1 \(none\) to 0"):
        ap_by_object(result, [1], ("a",))
