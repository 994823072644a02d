"""Run lengths of masks: worked by hand, and bit for bit as pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as reference

from headstart.data import rle

quick = settings(max_examples=150, deadline=None, derandomize=True)
sizes = st.tuples(st.integers(1, 23), st.integers(1, 23))


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(sizes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(("noise", "rectangle", "full", "empty")))
    mask = np.zeros((height, width), np.uint8)
    if kind == "noise":
        mask[:] = rng.random((height, width)) < rng.random()
    elif kind == "rectangle":
        top, left = rng.integers(0, height), rng.integers(0, width)
        mask[top : rng.integers(top, height) + 1, left : rng.integers(left, width) + 1] = 1
    elif kind == "full":
        mask[:] = 1
    return mask


@st.composite
def polygons(draw: st.DrawFn) -> tuple[list[float], tuple[int, int]]:
    """Corners inside and outside the image, on whole, half and odd places, some repeated."""
    size = draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
    place = st.one_of(
        st.integers(-9, 70).map(float),
        st.integers(-20, 140).map(lambda v: v / 2),
        st.floats(-9, 70, allow_nan=False),
        st.integers(-900, 7000).map(lambda v: v / 100),
    )
    corners = draw(st.lists(st.tuples(place, place), min_size=3, max_size=9))
    if draw(st.booleans()):
        corners.insert(draw(st.integers(0, len(corners))), corners[0])
    return [v for corner in corners for v in corner], size


def theirs(mask: np.ndarray) -> bytes:
    return reference.encode(np.asfortranarray(mask))["counts"]


def test_worked_by_hand() -> None:
    # Columns: (0, 1, 1), (1, 0, 0).
    mask = np.array([[0, 1], [1, 0], [1, 0]], np.uint8)
    counts = rle.encode(mask)
    assert counts.tolist() == [1, 3, 2]
    assert np.array_equal(rle.decode(counts, (3, 2)), mask)
    assert rle.area(counts) == 3 and rle.to_bbox(counts, (3, 2)).tolist() == [0, 0, 2, 3]
    # Below 16 a count is one character, 48 + count; 40 = 8 + 32 * 1 is two, the first marked by 32.
    assert rle.compress([1, 3, 2]) == b"132" and rle.compress([40]) == bytes([48 + 8 + 32, 48 + 1])
    # From the fourth on, the difference to the last but one: 5 - 3 = 2.
    assert rle.compress([1, 3, 2, 5]) == b"1322" and rle.decompress(b"1322").tolist() == [1, 3, 2, 5]
    # Pixels 1 and 2 of columns 1 to 3, in an image 5 high.
    square = rle.from_polygon([1, 1, 4, 1, 4, 3, 1, 3], (5, 6))
    assert square.tolist() == [6, 2, 3, 2, 3, 2, 12]


@quick
@given(masks())
def test_masks_counts_and_text_as_pycocotools(mask: np.ndarray) -> None:
    height, width = size = mask.shape
    counts, text = rle.encode(mask), theirs(mask)
    assert rle.compress(counts) == text and np.array_equal(rle.decompress(text), counts)
    assert np.array_equal(rle.decode(counts, size), mask)
    known = {"size": [height, width], "counts": text}
    assert rle.area(counts) == reference.area(known)
    assert rle.to_bbox(counts, size).tolist() == reference.toBbox(known).tolist()


@settings(max_examples=500, deadline=None, derandomize=True)
@given(polygons())
def test_polygons_as_pycocotools(case: tuple[list[float], tuple[int, int]]) -> None:
    ring, size = case
    counts = rle.from_polygon(ring, size)
    known = reference.frPyObjects([ring], *size)[0]
    assert rle.compress(counts) == known["counts"]
    assert np.array_equal(rle.decode(counts, size), reference.decode(known))


@quick
@given(st.lists(polygons(), min_size=1, max_size=4))
def test_union_as_pycocotools(cases: list[tuple[list[float], tuple[int, int]]]) -> None:
    size = cases[0][1]
    rings = [ring for ring, _ in cases]
    parts = [rle.from_polygon(ring, size) for ring in rings]
    known = reference.merge(reference.frPyObjects(rings, *size))
    assert rle.compress(rle.merge(parts, size)) == known["counts"]
    assert np.array_equal(rle.union(parts, size), reference.decode(known))


def test_a_line_covers_nothing_and_no_parts_are_empty() -> None:
    assert rle.from_polygon([1, 1, 4, 4], (5, 6)).tolist() == [30]
    assert rle.merge([], (5, 6)).tolist() == [30] and not rle.union([], (5, 6)).any()
    assert rle.to_bbox(rle.merge([], (5, 6)), (5, 6)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"132P", "ends within a number"),
        (b"1 2", "characters that mean nothing"),
        (b"\xff", "characters that mean nothing"),
        (b"o" * 40, "a number too large"),
    ],
)
def test_damaged_text_is_refused(text: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rle.decompress(text)


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ([3, 2], "are 5 pixels together, 3 x 2 has 6"),
        ([-1, 7], "run length -1 is negative"),
        ([1.5, 4.5], "whole numbers"),
        ([2**63 - 1, 2**63 - 1, 8], "18446744073709551616 pixels together"),
    ],
)
def test_counts_that_do_not_fit_are_refused(counts: list[int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rle.decode(counts, (2, 3))


@given(st.binary(max_size=30))
@quick
def test_any_bytes_are_counts_or_a_clear_fault(text: bytes) -> None:
    try:
        rle.checked(rle.decompress(text), (4, 4))
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("ring", "says"),
    [
        ([1, 2, 3, 4, 5, 6, 7], "7 numbers lacks one"),
        ([1, 2, 3, float("nan"), 5, 6], "not finite"),
        ([1, 2, 3, 1e9, 5, 6], "1000000 pixels away"),
    ],
)
def test_outlines_that_are_none_are_refused(ring: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rle.from_polygon(ring, (5, 6))
