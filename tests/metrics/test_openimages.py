"""The protocol `openimages`: group-of boxes, verified labels and the hierarchy, worked by hand."""

from dataclasses import replace

import numpy as np
import pytest

from headstart.metrics.average_precision import GROUP_OF, PROTOCOLS, Detections, Truth, Verified, average_precision
from headstart.metrics.openimages import expanded, expanded_detections, lineage


def truth_of(rows, num_images=1, num_classes=1, present=None, absent=None):
    """Rows (image, label, flags, x1, y1, x2, y2); present, absent: a list of labels for each image."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    whole = table[:, :3].astype(np.int64)
    verified = None if present is None else Verified(*columns(present), *columns(absent))
    return Truth(
        whole[:, 0], table[:, 3:], whole[:, 1], whole[:, 2].astype(np.uint8), num_images, num_classes, verified=verified
    )


def columns(lists):
    return np.cumsum([0, *map(len, lists)]), np.array([k for labels in lists for k in labels], np.int64)


def detections_of(rows):
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    return Detections(table[:, 0].astype(np.int64), table[:, 3:], table[:, 1].astype(np.int64), table[:, 2])


def score(truth, detections, protocol="openimages"):
    return average_precision(truth, detections_of(detections), protocol, (0.5,))


def fates(result):
    return result.match_table()["fate@0.5"].to_pylist()


# ---- group-of

GROUP = (0, 0, GROUP_OF, 0, 0, 100, 100)
SINGLE = (0, 0, 0, 200, 0, 210, 10)
INSIDE = [(0, 0, 0.9, 0, 0, 10, 10), (0, 0, 0.8, 20, 20, 30, 30), (0, 0, 0.7, 200, 0, 210, 10)]


def test_a_group_is_found_once_by_its_surest_detection():
    """Two objects: the group, found at .9 (the second inside is ignored), and the single one, at .7: AP 1."""
    result = score(truth_of([GROUP, SINGLE]), INSIDE)
    assert fates(result) == ["hit", "ignored", "hit"]
    assert result.counts.tolist() == [2] and result.ap[0, 0] == 1.0


def test_a_group_without_a_detection_is_missed():
    result = score(truth_of([GROUP, SINGLE]), INSIDE[2:])
    assert fates(result) == ["hit"] and result.ap[0, 0] == 0.5


def test_the_share_of_the_detection_inside_the_group_decides():
    """Half of its area inside is enough, a little less is not."""
    half, less = (0, 0, 0.9, 90, 0, 110, 10), (0, 0, 0.8, 91, 0, 111, 10)
    assert fates(score(truth_of([GROUP]), [half, less])) == ["hit", "miss"]


def test_single_objects_come_first_and_their_duplicates_may_lie_in_the_group():
    """A single box inside the group: the surest detection is its hit, the next finds the group, the third is ignored.

    3 objects would be 2 here: AP 1. Outside any group a duplicate is wrong.
    """
    truth = truth_of([GROUP, (0, 0, 0, 0, 0, 10, 10)])
    result = score(truth, [(0, 0, s, 0, 0, 10, 10) for s in (0.9, 0.8, 0.7)])
    assert fates(result) == ["hit", "hit", "ignored"]
    assert result.match_table()["truth@0.5"].to_pylist() == [1, 0, 0]
    assert result.ap[0, 0] == 1.0
    assert fates(score(truth_of([SINGLE]), [(0, 0, s, 200, 0, 210, 10) for s in (0.9, 0.8)])) == ["hit", "miss"]


def test_of_two_groups_the_one_that_holds_more():
    other = (0, 0, GROUP_OF, 4, 0, 100, 100)
    result = score(truth_of([other, GROUP]), [(0, 0, 0.9, 0, 0, 10, 10)])
    assert result.match_table()["truth@0.5"].to_pylist() == [1]
    assert result.match_table()["iou@0.5"].to_pylist() == [1.0]
    assert result.ap[0, 0] == 0.5


def test_the_older_metric_ignores_groups():
    rules = replace(PROTOCOLS["openimages"], crowd="region")
    result = score(truth_of([GROUP, SINGLE]), INSIDE, rules)
    assert fates(result) == ["ignored", "ignored", "hit"]
    assert result.counts.tolist() == [1] and result.ap[0, 0] == 1.0


def test_an_iou_of_exactly_the_threshold_is_enough():
    assert score(truth_of([SINGLE]), [(0, 0, 0.9, 200, 0, 205, 10)]).ap[0, 0] == 1.0


# ---- verified labels


def test_unverified_classes_are_not_scored_and_absent_ones_are_wrong():
    """Image 0: class 0 present with a box, class 1 absent; class 2 nobody looked for. Image 1: nothing verified.

    Class 1 has one box, in image 2. Its detections: .9 in image 0 (absent: wrong), .8 in image 1 (left out), .7 the
    hit in image 2: precision 1/2. Class 2's detection in image 0 is left out; class 2 has no box at all.
    """
    box = (0, 0, 10, 10)
    truth = truth_of([(0, 0, 0, *box), (2, 1, 0, *box)], 3, 3, present=[[0], [], [1]], absent=[[1], [], []])
    found = [(0, 1, 0.9, *box), (1, 1, 0.8, *box), (2, 1, 0.7, *box), (0, 2, 0.6, *box), (0, 0, 0.5, *box)]
    result = score(truth, found)
    assert fates(result) == ["miss", "left-out", "hit", "left-out", "hit"]
    assert result.ap[0, :2].tolist() == [1.0, 0.5] and np.isnan(result.ap[0, 2])
    assert result.map[0] == 0.75
    assert score(truth, found, "voc-area").ap[0, 1] == pytest.approx(1 / 3)  # which takes every label as verified


def test_a_class_with_a_box_is_verified_without_a_label():
    truth = truth_of([(0, 0, 0, 0, 0, 10, 10)], present=[[]], absent=[[]])
    assert fates(score(truth, [(0, 0, 0.9, 50, 0, 60, 10)])) == ["miss"]


def test_without_verified_labels_every_class_counts_everywhere():
    assert fates(score(truth_of([SINGLE], 2), [(1, 0, 0.9, 0, 0, 10, 10)])) == ["miss"]


# ---- hierarchy: 0 animal > 1 pet > 2 cat, and 0 > 3 bird

PARENTS = {1: [0], 2: [1], 3: [0]}


def test_lineage_of_dicts_and_columns():
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
    assert lineage(PARENTS, 4).astype(int).tolist() == expected
    assert lineage([-1, 0, 1, 0], 4).astype(int).tolist() == expected
    both = lineage({2: [1, 3], 1: [0], 3: [0]}, 4)  # two ways up to the animal
    assert both[2].tolist() == [True, True, True, True]


def test_boxes_and_present_labels_go_up_and_absent_ones_down():
    """A cat (2) is a pet and an animal. No pets (1 absent) means no cats."""
    truth = truth_of([(0, 2, GROUP_OF, 0, 0, 10, 20)], 2, 4, present=[[2, 3], []], absent=[[], [1]])
    wide = expanded(truth, PARENTS)
    assert sorted(wide.labels.tolist()) == [0, 1, 2]
    assert wide.flags.tolist() == [GROUP_OF] * 3 and wide.areas.tolist() == [200.0] * 3
    verified = wide.verified
    assert verified.present_offsets.tolist() == [0, 5, 5] and sorted(verified.present[:5]) == [0, 0, 1, 2, 3]
    assert verified.absent_offsets.tolist() == [0, 0, 2] and sorted(verified.absent) == [1, 2]


def test_a_class_above_is_scored_with_all_the_classes_below():
    """Image 0: a cat and a bird. The model says cat, and animal for the bird only.

    Cat: AP 1. Pet: its one object is the cat, never called a pet: 0. Bird: 0. Animal: one of two found: 1/2. With the
    detections expanded, animal is found twice and pet once; bird stays 0.
    """
    cat, bird = (0, 0, 10, 10), (50, 0, 60, 10)
    truth = expanded(truth_of([(0, 2, 0, *cat), (0, 3, 0, *bird)], 1, 4, present=[[2, 3]], absent=[[]]), PARENTS)
    found = detections_of([(0, 2, 0.9, *cat), (0, 0, 0.8, *bird)])
    result = average_precision(truth, found, "openimages", (0.5,))
    assert result.ap[0].tolist() == [0.5, 0.0, 1.0, 0.0] and result.counts.tolist() == [2, 1, 1, 1]
    result = average_precision(truth, expanded_detections(found, PARENTS, 4), "openimages", (0.5,))
    assert result.ap[0].tolist() == [1.0, 1.0, 1.0, 0.0]


def test_a_detection_below_an_absent_class_is_wrong():
    """Image 0: no pets. A cat there is a false positive; a bird, which nobody looked for, is not scored."""
    truth = truth_of([(1, 2, 0, 0, 0, 10, 10)], 2, 4, present=[[], [2]], absent=[[1], []])
    found = detections_of([(0, 2, 0.9, 0, 0, 10, 10), (0, 3, 0.8, 0, 0, 10, 10), (1, 2, 0.7, 0, 0, 10, 10)])
    result = average_precision(expanded(truth, PARENTS), found, "openimages", (0.5,))
    assert fates(result) == ["miss", "left-out", "hit"]
    assert result.ap[0, 2] == 0.5


def test_hierarchies_that_make_no_sense():
    with pytest.raises(ValueError, match="class 0 lies above itself; parents must not form a circle"):
        lineage({0: [1], 1: [0]}, 2)
    with pytest.raises(ValueError, match=r"class 7 is given as above class 0; classes are 0\.\.1"):
        lineage({0: [7]}, 2)
    with pytest.raises(ValueError, match=r"parents has shape \(3,\); give one for each of 2 classes"):
        lineage([-1, 0, 0], 2)
    with pytest.raises(ValueError, match="present_offsets must rise from 0 to the number of labels"):
        Verified(np.array([0, 2]), np.array([1]), np.array([0, 0]), np.array([], np.int64))
    with pytest.raises(ValueError, match="verified is for 1 images, the test set has 2"):
        truth_of([], 2, 1, present=[[]], absent=[[]])


# ---- against the rules written out anew


def ioa(a, b, union=True):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return both / (sum(areas) - both if union else areas[0])


def challenge_ap(truth, found, label, scored_images, once):
    """The challenge's evaluation of one class: per image first the single boxes, then the groups; then one ranking."""
    points, objects = [], 0
    for image in range(truth.num_images):
        mine = np.flatnonzero((truth.image_index == image) & (truth.labels == label))
        single = [truth.boxes_xyxy[j] for j in mine if not truth.flags[j]]
        groups = [truth.boxes_xyxy[j] for j in mine if truth.flags[j]]
        objects += len(single) + once * len(groups)
        rows = np.flatnonzero((found.image_index == image) & (found.labels == label))
        if image not in scored_images and not len(mine):
            continue
        taken, entered = set(), {}
        for i in sorted(rows, key=lambda i: -found.scores[i]):
            overlaps = [ioa(found.boxes_xyxy[i], box) for box in single]
            best = int(np.argmax(overlaps)) if overlaps else -1
            if best >= 0 and overlaps[best] >= 0.5 and best not in taken:
                taken.add(best)
                points.append((found.scores[i], 1))
                continue
            shares = [ioa(found.boxes_xyxy[i], box, union=False) for box in groups]
            best = int(np.argmax(shares)) if shares else -1
            if best >= 0 and shares[best] >= 0.5:
                entered[best] = max(entered.get(best, 0.0), found.scores[i])
            else:
                points.append((found.scores[i], 0))
        points += [(score, 1) for score in entered.values()] if once else []
    if not objects:
        return np.nan
    right = np.array([hit for _, hit in sorted(points, reverse=True)])
    hits = np.cumsum(right)
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / objects
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


@pytest.mark.parametrize("once", [True, False])
def test_equal_to_the_rules_written_out(once):
    rng, seen = np.random.default_rng(3), 0
    rules = PROTOCOLS["openimages"] if once else replace(PROTOCOLS["openimages"], crowd="region")
    for _ in range(150):
        n, k, m, d = rng.integers(1, 5), 2, rng.integers(0, 12), rng.integers(0, 40)
        corner = rng.integers(0, 20, (m, 2))
        true = np.hstack([corner, corner + rng.integers(4, 16, (m, 2))]).astype(float)
        source = rng.integers(m, size=d) if m else np.zeros(d, int)
        boxes = np.sort((true[source] if m else np.zeros((d, 4))).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
        boxes[:, 2:] += rng.integers(0, 3, (d, 2))
        boxes[:, :2] -= rng.integers(0, 3, (d, 2))
        labels, images = rng.integers(k, size=m), rng.integers(n, size=m)
        same = rng.random(d) < 0.8
        at, of = (
            np.where(same & (m > 0), own[source] if m else 0, rng.integers(size, size=d))
            for own, size in ((images, n), (labels, k))
        )
        found = Detections(at, boxes, of, rng.permutation(d) / 64 + 0.01)
        lists = [sorted(set(rng.integers(k, size=2))) for _ in range(n)]
        truth = Truth(
            images,
            true,
            labels,
            rng.choice([0, 0, GROUP_OF], m).astype(np.uint8),
            int(n),
            k,
            verified=Verified(*columns(lists), *columns([[]] * n)),
        )
        ap = average_precision(truth, found, rules, (0.5,)).ap[0]
        expected = [challenge_ap(truth, found, c, [i for i in range(n) if c in lists[i]], once) for c in range(k)]
        np.testing.assert_allclose(ap, expected, rtol=0, atol=1e-12)
        seen += int(np.nansum(expected) > 0)
    assert seen > 100
