"""Which rule moves the number: every step of the chain against a plain evaluation with the same rules switched."""

import numpy as np
import pytest

from headstart.evaluation.protocol_rules import CHAIN, explain_protocols
from headstart.metrics.average_precision import COCO_THRESHOLDS, average_precision
from headstart.metrics.boxes import CROWD, DIFFICULT, Detections, Truth
from headstart.metrics.coco import coco_metrics


def random_case(rng, size=40):
    """Boxes on a coarse grid, so that IoUs of exactly 0.5, equal IoUs and equal scores occur."""
    n, k = 6, 3
    corner = rng.integers(0, 6, (size, 2)) * 4.0
    true = np.hstack([corner, corner + rng.integers(1, 4, (size, 2)) * 4.0])
    source = rng.integers(size, size=3 * size)
    found = true[source] + rng.integers(-1, 2, (3 * size, 4)) * 2.0
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 2)
    image, label = rng.integers(n, size=size), rng.integers(k, size=size)
    flags = rng.choice([0, 0, 0, DIFFICULT, CROWD], size).astype(np.uint8)
    return Truth(image, true, label, flags, n + 1, k + 1), Detections(
        np.where(rng.random(3 * size) < 0.05, n, image[source]),
        found,
        label[source],
        rng.integers(1, 12, 3 * size) / 12,
    )


def plain_ap(truth, detections, label, threshold, rules):
    """Average precision of one class, written out with a switch for each rule; `limit` 3 stands for 100 here."""
    hits, misses, points, taken = 0, 0, [], set()
    rows = [
        i
        for i in np.lexsort((np.arange(len(detections.scores)), detections.image_index, -detections.scores))
        if detections.labels[i] == label
    ]
    seen: dict[int, int] = {}
    for i in rows:
        image = detections.image_index[i]
        seen[image] = seen.get(image, 0) + 1
        if "max_detections" in rules and seen[image] > rules["max_detections"]:
            continue
        near = []
        for j in np.flatnonzero((truth.image_index == image) & (truth.labels == label)):
            a, b = detections.boxes_xyxy[i], truth.boxes_xyxy[j]
            sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            both = sides.prod() if (sides > 0).all() else 0.0
            areas = (a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod()
            region = "crowd" in rules and truth.flags[j] & CROWD
            near.append((both / areas[0] if region else both / (sum(areas) - both), j, bool(region)))
        enough = [
            (iou, j, region)
            for iou, j, region in near
            if (iou >= threshold if "at_threshold" in rules else iou > threshold)
        ]
        chosen = None
        if "match" in rules:
            counts = [(iou, j) for iou, j, _ in enough if not truth.flags[j] and j not in taken]
            others = [(iou, j) for iou, j, region in enough if truth.flags[j] and (region or j not in taken)]
            chosen = max(counts, default=max(others, default=None))
        elif enough:
            best = max(iou for iou, _, _ in near)
            chosen = next((iou, j) for iou, j, _ in near if iou == best)
            too_little = best < threshold or (best == threshold and "at_threshold" not in rules)
            if too_little or (not truth.flags[chosen[1]] and chosen[1] in taken):
                chosen = None
        if chosen is None:
            misses += 1
        else:
            taken.add(chosen[1])
            if truth.flags[chosen[1]]:
                continue
            hits += 1
        points.append((hits, hits / (hits + misses)))
    positives = int(((truth.labels == label) & (truth.flags == 0)).sum())
    if not positives:
        return np.nan
    recall = np.array([h / positives for h, _ in points])
    precision = np.array([p for _, p in points])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if "recalls" in rules and rules["recalls"] == "envelope":
        return float(np.sum(np.diff(np.r_[0, recall]) * envelope)) if len(points) else 0.0
    levels = np.linspace(0, 1, 101) if rules.get("recalls") == "101-point" else np.arange(0, 1.1, 0.1)
    return float(np.mean([max(precision[recall >= level], default=0.0) for level in levels]))


@pytest.mark.parametrize("seed", range(12))
def test_every_step_is_a_plain_evaluation_with_that_rule_switched(seed):
    truth, detections = random_case(np.random.default_rng(seed))
    found = explain_protocols(truth, detections)
    rules: dict = {}
    for k, step in enumerate(found.chain[:-1]):
        rules |= CHAIN[k][2]
        expected = [plain_ap(truth, detections, c, 0.5, rules) for c in range(truth.num_classes)]
        assert step.value == pytest.approx(np.nanmean(expected), abs=1e-12), step.rule


@pytest.mark.parametrize("iou", [0.5, 0.7])
def test_the_chain_passes_the_protocols_and_ends_at_coco(iou):
    moved = set()
    for seed in range(10):
        truth, detections = random_case(np.random.default_rng(100 + seed), size=60)
        found = explain_protocols(truth, detections, iou)
        of = {
            name: average_precision(truth, detections, name, (iou,)).map[0]
            for name in ("voc07-11pt", "voc-area", "coco")
        }
        reached = {step.protocol: step.value for step in found.chain}
        assert found.start == found.protocols[f"voc07-11pt@{iou:g}"] == of["voc07-11pt"]
        assert reached["voc-area"] == found.protocols[f"voc-area@{iou:g}"] == of["voc-area"]
        assert reached[f"coco at {iou:g}"] == found.protocols[f"coco@{iou:g}"] == of["coco"]
        whole = average_precision(truth, detections, "coco", COCO_THRESHOLDS).map.mean()
        assert found.chain[-1].value == found.protocols["coco@0.5:0.95"] == whole
        assert whole == pytest.approx(coco_metrics(truth, detections).summary()["AP"], abs=1e-12)
        assert found.start + sum(step.moved for step in found.chain) == pytest.approx(whole, abs=1e-12)
        moved |= {step.rule for step in found.chain if step.moved}
    assert moved == {"11 points", "> against >=", "matching", "crowds", "101 points", "IoU thresholds"} or iou == 0.7


def test_the_limit_of_detections_moves_the_number():
    """150 wrong detections that are surer than the one right one: within 100 an image there is no hit."""
    truth = Truth([0], [[0, 0, 10, 10]], [0], [0], 1, 1)
    boxes = np.array([[50.0, 50, 60, 60]] * 150 + [[0, 0, 10, 10]])
    found = explain_protocols(truth, Detections(np.zeros(151, int), boxes, np.zeros(151, int), np.arange(151)[::-1]))
    steps = {step.rule: step for step in found.chain}
    assert steps["matching"].value == pytest.approx(1 / 151)
    assert steps["maxDets"].value == 0.0 and steps["maxDets"].moved == pytest.approx(-1 / 151)


def alone(truth, detections):
    found = explain_protocols(truth, detections)
    reference = found.protocols["voc-area@0.5"]
    assert all(step.moved == step.value - reference for step in found.alone)
    return {(step.rule, step.change.split()[0]): step for step in found.alone}


def test_rules_that_others_break_by_hand():
    """Class 0: a hit at .9, a miss at .8 on an empty image; class 1: a difficult box found, and one missed. voc-area:
    class 0 has AP 1, class 1 AP 0; class 2 has no true box."""
    truth = Truth([0, 0, 0], [[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]], [0, 1, 1], [0, DIFFICULT, 0], 2, 3)
    detections = Detections([0, 1, 0], [[0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 30, 30]], [0, 0, 1], [0.9, 0.95, 0.5])
    steps = alone(truth, detections)
    assert explain_protocols(truth, detections).protocols["voc-area@0.5"] == pytest.approx((0.5 + 0) / 2)
    assert steps["difficult", "difficult"].value == pytest.approx((0.5 + 0.5) / 2)
    assert steps["class averaging", "classes"].value == pytest.approx((0.5 + 0 + 0) / 3)
    assert steps["class averaging", "one"].value == pytest.approx(0.5 * 0.5)  # one of two boxes at precision 1/2
    assert steps["empty images", "detections"].value == pytest.approx((1 + 0) / 2)
    assert steps["crowds", "crowd"].moved == 0


@pytest.mark.parametrize(
    ("shift", "wider", "narrower"),
    [
        (3.4, 1.0, 0.0),  # IoU 6.6 / 13.4 = .493; every side one longer: 7.6 / 14.4 = .528
        (3.0, 0.0, -1.0),  # 7 / 13 = .538; every side one shorter: 6 / 12 = .5, which is not above .5
        (2.0, 0.0, 0.0),
    ],
)
def test_widths_by_hand(shift, wider, narrower):
    """A box of 10 x 10 and a detection beside it."""
    truth = Truth([0], [[0, 0, 10, 10]], [0], [0], 1, 1)
    steps = alone(truth, Detections([0], [[shift, 0, shift + 10, 10]], [0], [0.5]))
    assert (steps["widths", "1"].moved, steps["widths", "xmax"].moved) == (wider, narrower)


def test_ties_and_rounding_by_hand():
    """Two detections of .12345 (miss) and .12341 (hit), and two equal ones: rounding makes ties, order decides them."""
    truth = Truth([0], [[0, 0, 10, 10]], [0], [0], 1, 1)
    boxes = [[50, 50, 60, 60], [0, 0, 10, 10]]
    steps = alone(truth, Detections([0, 0], boxes[::-1], [0, 0], [0.12341, 0.12345]))
    assert steps["score ties", "scores"].moved == pytest.approx(0.5)  # the hit is first in the input
    steps = alone(truth, Detections([0, 0], boxes, [0, 0], [0.5, 0.5]))
    assert steps["score ties", "equal"].moved == pytest.approx(0.5)
