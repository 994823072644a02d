"""SNIPER chips: every box in a chip of its scale, the same whoever makes them, as many as the authors' code lays."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.batches.chips.epochs import ChipEpochs, ChipLayout, TrainingBoxes
from headstart.batches.chips.negatives import negative_chips
from headstart.batches.chips.scales import (
    CHIP,
    ChipTable,
    Scale,
    choose_negatives,
    join,
    positive_chips,
    stride_of,
)
from headstart.errors import DataError
from support.sniper_reference import chip_scales, chips_of_image

COCO_SCALES, OPENIMAGES_SCALES = chip_scales("sniper-coco"), chip_scales("sniper-openimages")
WHOLE_IMAGE, RESOLUTIONS = chip_scales("sniper-imagenet-loc"), chip_scales("sniper-voc")


def boxes_in(sizes_hw: NDArray[np.int64], per_image: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """COCO-like boxes: sides log-normal, anywhere in the image."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(per_image, len(sizes_hw))
    image = np.repeat(np.arange(len(sizes_hw)), counts)
    size = sizes_hw[image][:, ::-1].astype(float)
    sides = np.exp(rng.normal(np.log(48), 1.05, (len(image), 1)) + rng.normal(0, 0.25, (len(image), 2)) * [[1, -1]])
    sides = np.clip(sides, 1, 0.98 * size)
    corner = rng.random((len(image), 2)) * (size - sides)
    return np.concatenate([corner, corner + sides], 1), np.concatenate([[0], np.cumsum(counts)])


def in_range(box: NDArray[np.float64], scale: Scale, factor: float, last: bool, stride: float) -> bool:
    width, height = box[2] - box[0], box[3] - box[1]
    fits = last or (max(width, height) * factor <= CHIP - stride and min(width, height) >= 2)
    return scale.lo <= math.sqrt(width * height) < scale.hi and fits


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(30, 1600),
    width=st.integers(30, 1600),
    per_image=st.integers(1, 60),
    scales=st.sampled_from([COCO_SCALES, OPENIMAGES_SCALES, WHOLE_IMAGE, RESOLUTIONS]),
)
def test_every_box_in_range_lies_wholly_in_a_chip_inside_the_image(
    seed: int, height: int, width: int, per_image: int, scales: tuple[Scale, ...]
) -> None:
    sizes = np.array([[height, width], [width, height]])
    boxes, offsets = boxes_in(sizes, per_image, seed)
    try:
        table = positive_chips(boxes, offsets, sizes, scales, seed=seed, epoch=1)
    except DataError:
        table = None
    stride = stride_of(seed, 1)
    for i in range(2):
        for s, scale in enumerate(scales):
            factor = float(scale.factors(sizes[i : i + 1])[0])
            for row in range(offsets[i], offsets[i + 1]):
                if not in_range(boxes[row], scale, factor, s == len(scales) - 1, stride):
                    continue
                assert table is not None
                holding = [c for c in range(len(table)) if row in table.rows_of(c) and table.scales[c] == s]
                assert holding, (boxes[row], scale)
                for c in holding:
                    x, y = table.origins_xy[c]
                    x1, y1, x2, y2 = boxes[row] * factor
                    assert x - 1e-6 <= x1 and y - 1e-6 <= y1
                    assert min(x2, np.floor(width_of(sizes, i) * factor)) <= x + CHIP + 1e-6
                    assert min(y2, np.floor(sizes[i, 0] * factor)) <= y + CHIP + 1e-6
    if table is None:
        return
    extent = np.floor(sizes[table.images] * table.factors[:, None])
    assert (table.origins_xy >= 0).all() and (np.diff(table.box_offsets) > 0).all()
    assert (table.origins_xy[:, ::-1] + table.sizes_hw <= extent + 1e-6).all() and (table.sizes_hw <= CHIP).all()
    # A chip is filled unless the scaled image is smaller than a chip.
    assert (table.sizes_hw == np.minimum(extent, CHIP)).all()


def width_of(sizes: NDArray[np.int64], i: int) -> int:
    return int(sizes[i, 1])


def equal(a: ChipTable, b: ChipTable) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ChipTable.__dataclass_fields__)


def test_chips_depend_on_seed_and_epoch_and_not_on_who_makes_them() -> None:
    sizes = np.tile([[480, 640]], (40, 1))
    boxes, offsets = boxes_in(sizes, 7, 0)
    whole = positive_chips(boxes, offsets, sizes, COCO_SCALES, seed=3, epoch=5)
    assert equal(whole, positive_chips(boxes, offsets, sizes, COCO_SCALES, seed=3, epoch=5))
    assert not equal(whole, positive_chips(boxes, offsets, sizes, COCO_SCALES, seed=3, epoch=6))
    assert not equal(whole, positive_chips(boxes, offsets, sizes, COCO_SCALES, seed=4, epoch=5))
    parts = []
    for first, stop in ((0, 13), (13, 40)):
        rows = slice(offsets[first], offsets[stop])
        part = positive_chips(
            boxes[rows],
            offsets[first : stop + 1] - offsets[first],
            sizes[first:stop],
            COCO_SCALES,
            seed=3,
            epoch=5,
            first_image=first,
        )
        parts.append((part, first, offsets[first]))
    assert np.array_equal(whole.origins_xy, np.concatenate([p.origins_xy for p, _, _ in parts]))
    assert np.array_equal(whole.images, np.concatenate([p.images + first for p, first, _ in parts]))
    assert np.array_equal(whole.box_rows, np.concatenate([p.box_rows + row for p, _, row in parts]))


def test_as_many_chips_as_the_authors_code() -> None:
    """A slow reference of what the authors' code does (its random order of candidates included), on the same boxes."""
    sizes = np.tile([[480, 640]], (120, 1))
    boxes, offsets = boxes_in(sizes, 7, 1)
    ours = len(positive_chips(boxes, offsets, sizes, COCO_SCALES, seed=0, epoch=0))
    rng = np.random.default_rng(0)
    factors = [float(s.factors(sizes[:1])[0]) for s in COCO_SCALES]
    theirs = sum(
        len(chips_of_image(boxes[offsets[i] : offsets[i + 1]], (480, 640), factors, stride_of(0, 0), rng))
        for i in range(len(sizes))
    )
    assert 0.96 * theirs <= ours <= 1.01 * theirs


def test_one_image_worked_by_hand() -> None:
    """At factor 3 the two small boxes are 1500 px apart, so two chips hold them; at the coarsest scale neither
    is looked for. A box of 300 px is for the coarsest scale alone."""
    boxes = np.array([[10.0, 10, 30, 30], [600, 400, 620, 420], [100, 100, 400, 400]])
    table = positive_chips(boxes, np.array([0, 3]), np.array([[480, 640]]), COCO_SCALES, seed=0, epoch=0)
    assert table.scales.tolist() == [0, 0, 2] and sorted(table.rows_of(0).tolist() + table.rows_of(1).tolist()) == [
        0,
        1,
    ]
    assert table.rows_of(2).tolist() == [2] and table.origins_xy[2].tolist() == [0, 0]
    assert table.factors.tolist() == [3.0, 3.0, 0.8] and table.sizes_hw.tolist() == [[512, 512], [512, 512], [384, 512]]


def test_ranges_that_admit_no_box_and_unknown_sizes_are_refused() -> None:
    boxes = np.array([[0.0, 0, 20, 20]])
    with pytest.raises(
        DataError, match=r"none of 1 boxes is in the range of a scale: .* take \[120, inf\)\. Choose a rec"
    ):
        positive_chips(boxes, np.array([0, 1]), np.array([[480, 640]]), (Scale("longest", 512, 120),), seed=0, epoch=0)
    with pytest.raises(DataError, match=r"image 0 has no known size.*with_sizes"):
        positive_chips(boxes, np.array([0, 1]), np.array([[0, 0]]), WHOLE_IMAGE, seed=0, epoch=0)
    assert len(positive_chips(boxes[:0], np.array([0, 0]), np.array([[480, 640]]), COCO_SCALES, seed=0, epoch=0)) == 0


def test_negative_chips_hold_what_positive_ones_do_not() -> None:
    sizes = np.tile([[480, 640]], (20, 1))
    boxes, offsets = boxes_in(sizes, 4, 2)
    positives = positive_chips(boxes, offsets, sizes, COCO_SCALES, seed=0, epoch=0)
    proposals, starts = boxes_in(sizes, 400, 3)
    pool = negative_chips(proposals, starts, sizes, COCO_SCALES, positives=positives, seed=0, epoch=0)
    assert pool.negative.all() and len(pool) > 20
    for c in range(len(pool)):
        i, s, factor = pool.images[c], pool.scales[c], pool.factors[c]
        own = proposals[starts[i] : starts[i + 1]]
        inside = contained(own * factor, pool.origins_xy[c])
        covered = np.zeros(len(own), bool)
        for p in np.flatnonzero((positives.images == i) & (positives.scales == s)):
            covered |= contained(own * factor, positives.origins_xy[p])
        assert (inside & ~covered).sum() > (25 if s == 0 else 10)
    few = choose_negatives(pool, 2, 0, 0)
    assert np.bincount(few.images).max() == 2 and not equal(few, choose_negatives(pool, 2, 0, 1))
    both = join(positives, few)
    assert len(both) == len(positives) + len(few) and (np.diff(both.images) >= 0).all()
    assert sum(len(both.rows_of(c)) for c in range(len(both))) == len(positives.box_rows)
    assert all(len(both.rows_of(c)) == 0 for c in np.flatnonzero(both.negative))


def test_an_epoch_is_its_positive_chips_and_a_draw_of_the_negative_ones() -> None:
    sizes = np.tile([[480, 640]], (6, 1))
    boxes, offsets = boxes_in(sizes, 4, 2)
    proposals = boxes_in(sizes, 400, 3)
    training = TrainingBoxes(boxes, offsets, np.zeros(len(boxes), np.int64), sizes)
    epochs = ChipEpochs(training, ChipLayout("chips", COCO_SCALES, negatives=2), 5, proposals=proposals)
    for epoch in (0, 3):
        positives = positive_chips(boxes, offsets, sizes, COCO_SCALES, seed=5, epoch=epoch)
        pool = negative_chips(*proposals, sizes, COCO_SCALES, positives=positives, seed=5, epoch=epoch)
        assert equal(epochs.of(epoch), join(positives, choose_negatives(pool, 2, 5, epoch)))
        assert 0 < epochs.of(epoch).negative.sum() <= 12
    without = ChipEpochs(training, ChipLayout("chips", COCO_SCALES), 5, proposals=proposals)
    assert not without.of(0).negative.any()
    for layout, scales in (("pyramid", [0, 1, 2] * 6), ("whole", [0] * 6)):
        table = ChipEpochs(training, ChipLayout(layout, COCO_SCALES), 5).of(1)
        assert table.scales.tolist() == scales and not table.negative.any()


def test_every_negative_chip_of_an_image_is_as_likely() -> None:
    """Of an image's chips two are kept: over 300 epochs each about as often, wherever it stands."""
    sizes = np.tile([[480, 640]], (6, 1))
    boxes, offsets = boxes_in(sizes, 1, 2)
    positives = positive_chips(boxes, offsets, sizes, COCO_SCALES, seed=0, epoch=0)
    pool = negative_chips(*boxes_in(sizes, 400, 3), sizes, COCO_SCALES, positives=positives, seed=0, epoch=0)
    numbered = replace(pool, factors=np.arange(len(pool), dtype=np.float64))
    times = np.zeros(len(pool))
    for epoch in range(300):
        times[choose_negatives(numbered, 2, 7, epoch).factors.astype(int)] += 1
    share = np.minimum(1, 2 / np.bincount(pool.images)[pool.images])
    assert (np.abs(times - 300 * share) <= 5 * np.sqrt(300 * share * (1 - share)) + 1e-9).all()


def contained(boxes: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.bool_]:
    low = (boxes[:, :2] >= origin - 1e-9).all(1)
    return np.asarray(low & (np.minimum(boxes[:, 2:], [[1920, 1440]]) <= origin + CHIP + 1e-9).all(1))
