"""What is not compiled gives what is: the same events in the same order, and average precision to the last bits."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.metrics.average_precision import CROWD, DIFFICULT, GROUP_OF, Detections, Truth, average_precision
from headstart.metrics.coco import COCO_AREAS, coco_metrics
from headstart.metrics.protocols import PROTOCOLS, rules_of

THRESHOLDS = (0.75, 0.5, 0.9)
"""In no order, as users may ask."""


def case(seed, images=6, classes=3, truths=40, found=120, crowded=8.0):
    """Boxes on a few places of small images, so that many detections meet several true boxes, at few scores, so that
    many are equal."""
    drawn = np.random.default_rng(seed)

    def boxes(count):
        corners = drawn.integers(0, crowded, (count, 2)) * 2.0
        return np.concatenate([corners, corners + drawn.integers(1, 8, (count, 2)) * 4.0], axis=1)

    truth = Truth(
        drawn.integers(0, images, truths),
        boxes(truths),
        drawn.integers(0, classes, truths),
        drawn.choice([0, 0, 0, DIFFICULT, CROWD, GROUP_OF], truths).astype(np.uint8),
        images,
        classes,
        areas=drawn.uniform(0, 20000, truths),
    )
    scores = drawn.choice([0.0, -0.0, 0.1, 0.25, 0.5, -3.0], found)
    return truth, Detections(drawn.integers(0, images, found), boxes(found), drawn.integers(0, classes, found), scores)


def assert_same(plain, compiled):
    for column in fields(plain.matches):
        ours, theirs = (getattr(result.matches, column.name) for result in (plain, compiled))
        np.testing.assert_array_equal(ours, theirs, err_msg=column.name)
        assert getattr(ours, "dtype", None) == getattr(theirs, "dtype", None), column.name
    np.testing.assert_allclose(plain.ap, compiled.ap, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(plain.recall, compiled.recall)


@pytest.mark.parametrize("protocol", [name for name, rules in PROTOCOLS.items() if rules.overlap == "box"])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([(0, 0), (0, 9), (5, 0), (40, 120), (120, 400)]), st.booleans())
def test_average_precision_without_compiled_code(protocol, seed, sizes, last_first):
    truth, found = case(seed, truths=sizes[0], found=sizes[1])
    rules = replace(rules_of(protocol), ties="last" if last_first else "first")
    plain, compiled = (average_precision(truth, found, rules, THRESHOLDS, compiled=c) for c in (False, True))
    assert_same(plain, compiled)
    np.testing.assert_allclose(plain.map, compiled.map, rtol=0, atol=1e-14)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 30]))
def test_cocos_ranges_and_limits_without_compiled_code(seed, images):
    truth, found = case(seed, images=images, truths=60, found=400)
    areas = COCO_AREAS | {"none": (1e9, 2e9)}
    plain, compiled = (coco_metrics(truth, found, THRESHOLDS, areas, compiled=c) for c in (False, True))
    assert_same(plain, compiled)
    assert plain.summary().keys() == compiled.summary().keys()


def test_by_hand_without_compiled_code():
    """Two true boxes; detections at 0.9 (hit), 0.8 (miss), 0.7 (hit): precision 1, 1/2, 2/3 at recalls 1/2, 1/2, 1. The
    area under the envelope is 1/2 + 1/2 * 2/3."""
    truth = Truth([0, 0], [[0, 0, 10, 10], [50, 50, 60, 60]], [0, 0], [0, 0], 1, 1)
    boxes = [[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]]
    found = Detections([0, 0, 0], boxes, [0, 0, 0], [0.9, 0.8, 0.7])
    assert average_precision(truth, found, "voc-area", (0.5,), compiled=False).ap[0, 0] == 1 / 2 + 1 / 2 * 2 / 3


def test_many_images_are_sorted_by_no_digits():
    """More images than 16 bits count."""
    truth, found = case(3, images=70_000, truths=500, found=2000, crowded=2.0)
    plain, compiled = (average_precision(truth, found, "coco", THRESHOLDS, compiled=c) for c in (False, True))
    assert_same(plain, compiled)
