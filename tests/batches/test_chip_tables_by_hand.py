"""Tables of chips worked by hand: factors of scales, ranges, where chips end, how tables are joined and thinned out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.batches.chips.negatives import CLUSTERED, negative_chips
from headstart.batches.chips.scales import (
    CHIP,
    MINIMUM_SIDE,
    ChipTable,
    Scale,
    as_table,
    choose_negatives,
    join,
    positive_chips,
    prepared_scales,
    require_sizes,
    scales_of,
    stride_of,
)
from headstart.errors import DataError
from headstart.recipes.sampling import ScaleSettings
from support.by_hand.chip_tables import equal, of_types

INF = float("inf")


# Scales


@pytest.mark.parametrize(
    ("scale", "factors"),
    [
        (Scale("factor", 3.0), [3, 3, 3]),
        (Scale("factor", 3.0, limit=1), [3, 3, 3]),
        (Scale("longest", 512), [0.8, 0.8, 0.512]),
        (Scale("longest", 512, limit=1), [0.8, 0.8, 0.512]),
        (Scale("resolution", 240), [0.5, 0.5, 2.4]),
        (Scale("resolution", 240, limit=480), [0.5, 0.5, 0.48]),
        (Scale("resolution", 240, limit=32), [0.05, 0.05, 0.032]),
    ],
)
def test_factors_by_hand(scale: Scale, factors: list[float]) -> None:
    found = scale.factors(np.array([[480, 640], [640, 480], [100, 1000]]))
    assert found.tolist() == pytest.approx(factors) and found.dtype == np.float64


def test_scales_of_settings() -> None:
    given = [
        ScaleSettings(kind="resolution", value=800, lo=1, hi=80, limit=1280),
        ScaleSettings(kind="longest", value=512),
    ]
    assert scales_of(given) == (Scale("resolution", 800, 1, 80, 1280), Scale("longest", 512, 0, INF, 0))


def test_strides_are_drawn_evenly() -> None:
    drawn = [stride_of(4, epoch) for epoch in range(400)]
    assert drawn[:9] == [int(np.random.Generator(np.random.PCG64([4, 2, k])).integers(56, 60)) for k in range(9)]
    assert np.bincount(drawn).nonzero()[0].tolist() == [56, 57, 58, 59] and min(np.bincount(drawn)[56:]) > 60
    assert type(drawn[0]) is int


@pytest.mark.parametrize("chip", [CHIP, 256])
def test_what_a_laying_is_made_from(chip: int) -> None:
    """Of all scales but the coarsest, a box must fit wherever the grid lies: chip - stride."""
    scales = (Scale("factor", 2.0, 1, 40), Scale("longest", 320, 30, 90), Scale("longest", 64, 50))
    sizes, factors, ranges, stride, state = prepared_scales(np.array([[480, 640], [16, 8]]), scales, 5, 9, chip=chip)
    assert sizes.tolist() == [[480, 640], [16, 8]] and sizes.dtype == np.float64
    assert factors.tolist() == [[2.0, 0.5, 0.1], [2.0, 20.0, 4.0]]
    assert stride == stride_of(5, 9) * chip / 512 and type(stride) is float
    assert ranges.tolist() == [[1, 40, chip - stride], [30, 90, chip - stride], [50, INF, chip]]
    assert state == np.random.SeedSequence([5, 3, 9]).generate_state(1, np.uint64)[0] and state.dtype == np.uint64
    alone = prepared_scales(np.array([[480, 640]]), scales[:1], 5, 9, chip=chip)
    assert alone[2].tolist() == [[1, 40, chip]]
    assert prepared_scales(np.zeros((0, 2), int), scales, 5, 9, chip=chip)[1].shape == (0, 3)


@pytest.mark.parametrize(("size", "named"), [((0, 0), 1), ((0, 20), 1), ((20, 0), 1)])
def test_an_image_of_unknown_size_is_named(size: tuple[int, int], named: int) -> None:
    with pytest.raises(DataError) as fault:
        require_sizes(np.array([[10, 20], size, [0, 0]]))
    assert str(fault.value) == (
        f"image {named} has no known size. Chips are laid before images are decoded: fill sizes in with "
        "`headstart.data.sizes.with_sizes`."
    )
    require_sizes(np.array([[1, 1]]))


# Positive chips


def lay(boxes: list[list[float]], *scales: Scale, size: tuple[int, int] = (100, 100), **changes: object) -> ChipTable:
    given: dict = {"seed": 0, "epoch": 0, "chip": 64} | changes
    return positive_chips(np.array(boxes, float), np.array([0, len(boxes)]), np.array([size]), scales, **given)


def test_ranges_take_their_lower_bound_and_not_their_upper() -> None:
    """Square roots of areas 10, 20 and 30 at scales from 10 to 20 and from 20 on."""
    boxes = [[0, 0, 10, 10], [0, 0, 20, 20], [0, 0, 30, 30]]
    table = lay(boxes, Scale("factor", 1.0, 10, 20), Scale("factor", 0.5, 20, 30))
    assert table.scales.tolist() == [0, 1] and table.rows_of(0).tolist() == [0] and table.rows_of(1).tolist() == [1]
    assert of_types(table) and not table.negative.any() and table.factors.tolist() == [1.0, 0.5]
    assert table.origins_xy.tolist() == [[0, 0], [0, 0]] and table.sizes_hw.tolist() == [[64, 64], [50, 50]]
    assert len(table) == 2 and table.box_offsets.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("lo", "hi", "laid"), [(20, 21, True), (19, 20, False), (20.001, 40, False), (0, 20, False), (0, 20.001, True)]
)
def test_boxes_in_no_range_are_refused(lo: float, hi: float, laid: bool) -> None:
    scale = Scale("factor", 1.0, lo, hi)
    if laid:
        assert lay([[0, 0, 20, 20]], scale).box_rows.tolist() == [0]
        return
    with pytest.raises(DataError) as fault:
        lay([[0, 0, 20, 20]], scale)
    assert str(fault.value) == (
        "none of 1 boxes is in the range of a scale: square roots of areas lie between 20 and 20 pixels, the scales "
        f"take [{lo:g}, {hi:g}). Choose a recipe whose scales suit these images."
    )


def test_the_refusal_tells_all_ranges_and_how_large_boxes_are() -> None:
    with pytest.raises(DataError) as fault:
        lay([[0, 0, 20, 5], [0, 0, 90, 40], [9, 9, 4, 4]], Scale("factor", 1.0, 12, 40), Scale("longest", 64, 70))
    assert str(fault.value) == (
        "none of 3 boxes is in the range of a scale: square roots of areas lie between 0 and 60 pixels, the scales "
        "take [12, 40), [70, inf). Choose a recipe whose scales suit these images."
    )


def test_no_boxes_give_no_chips() -> None:
    table = positive_chips(
        np.zeros((0, 4)), np.zeros(3, int), np.array([[9, 9]] * 2), (Scale("factor", 1.0),), seed=0, epoch=0
    )
    assert len(table) == 0 and of_types(table) and table.box_offsets.tolist() == [0]


def test_thin_boxes_are_for_the_coarsest_scale() -> None:
    thin, least = [0, 0, MINIMUM_SIDE - 0.1, 50], [10, 0, 10 + MINIMUM_SIDE, 50]
    table = lay([thin, least], Scale("factor", 1.0), Scale("factor", 0.5))
    assert [table.rows_of(0).tolist(), sorted(table.rows_of(1).tolist())] == [[1], [0, 1]]


def test_boxes_are_clipped_to_their_images() -> None:
    table = lay([[-30, 80, 20, 130]], Scale("factor", 1.0))
    assert table.origins_xy.tolist() == [[0, 36]] and table.sizes_hw.tolist() == [[64, 64]]


def test_chips_are_of_512_pixels_unless_said() -> None:
    boxes = np.array([[0.0, 0, 20, 20], [600, 700, 620, 720]])
    given = (boxes, np.array([0, 2]), np.array([[800, 900]]), (Scale("factor", 1.0),))
    table = positive_chips(*given, seed=1, epoch=2)
    assert equal(table, positive_chips(*given, seed=1, epoch=2, chip=512, first_image=0))
    assert (table.sizes_hw == 512).all() and len(table) == 2


def test_other_types_of_numbers_give_the_same_chips() -> None:
    boxes = np.array([[0, 0, 20, 20], [60, 70, 80, 90]])
    sizes, scales = np.array([[100, 100]]), (Scale("factor", 1.0),)
    wanted = positive_chips(boxes.astype(float), np.array([0, 2]), sizes, scales, seed=0, epoch=0, chip=64)
    for given in (boxes.astype(np.float32), np.asfortranarray(boxes), np.repeat(boxes, 2, axis=0)[::2]):
        found = positive_chips(
            given, np.array([0, 2], np.int32), sizes.astype(np.int32), scales, seed=0, epoch=0, chip=64
        )
        assert equal(found, wanted) and of_types(found)


def test_a_table_from_what_was_laid() -> None:
    """Image 1 of 30 x 50 pixels: at factor 0.5 it has 15 x 25, at 1.25 37 x 62 (rounded down)."""
    chips = np.array([[0, 0, 0, 0], [1, 0, 30, 5], [1, 1, 0, 0]], float)
    sizes, factors = np.array([[64, 64], [30, 50]]), np.array([[1.0, 0.5], [1.25, 0.5]])
    table = as_table(chips, np.array([2, 0, 1]), np.array([7, 8, 3]), sizes, factors=factors, chip=32, negative=False)
    assert table.images.tolist() == [0, 1, 1] and table.scales.tolist() == [0, 0, 1]
    assert table.factors.tolist() == [1.0, 1.25, 0.5] and table.origins_xy.tolist() == [[0, 0], [30, 5], [0, 0]]
    assert table.sizes_hw.tolist() == [[32, 32], [32, 32], [15, 25]]
    assert table.box_offsets.tolist() == [0, 2, 2, 3] and table.box_rows.tolist() == [7, 8, 3]
    assert table.negative.tolist() == [False] * 3 and of_types(table)
    chips[:] = -1
    assert table.origins_xy.min() == 0, "columns are its own"
    none = as_table(chips[:0], np.zeros(0, int), np.zeros(0, int), sizes, factors=factors, chip=32, negative=True)
    assert len(none) == 0 and of_types(none)
    one = as_table(np.zeros((1, 4)), np.zeros(1, int), np.zeros(0, int), sizes, factors=factors, chip=32, negative=True)
    assert one.negative.tolist() == [True]


# Negative chips

CROWDED = (Scale("factor", 1.0), Scale("factor", 0.5))


def mine(
    count: int,
    scales: tuple[Scale, ...] = CROWDED,
    *,
    positives: ChipTable | None = None,
    at: tuple[float, float] = (10.0, 20.0),
    **changes: object,
) -> ChipTable:
    """From `count` equal proposals in the second of two images of 100 x 100 pixels."""
    sizes = np.array([[100, 100]] * 2)
    boxes = np.tile([[at[0], at[1], at[0] + 10.0, at[1] + 10]], (count, 1))
    none = positive_chips(np.zeros((0, 4)), np.zeros(3, int), sizes, scales, seed=0, epoch=0, chip=32)
    settings: dict = {"seed": 0, "epoch": 0, "chip": 32} | changes
    return negative_chips(boxes, np.array([0, 0, count]), sizes, scales, positives=positives or none, **settings)


def test_more_proposals_than_a_bound_make_a_negative_chip() -> None:
    fine, coarse = CLUSTERED
    assert [mine(n).scales.tolist() for n in (coarse, coarse + 1, fine, fine + 1)] == [[], [1], [1], [0, 1]]
    assert [len(mine(n, CROWDED[:1])) for n in (coarse, coarse + 1)] == [0, 1], "of one scale, it is the coarsest"
    table = mine(fine + 1)
    assert table.images.tolist() == [1, 1] and table.negative.tolist() == [True, True] and of_types(table)
    assert table.sizes_hw.tolist() == [[32, 32]] * 2 and table.box_offsets.tolist() == [0, 0, 0]
    assert table.factors.tolist() == [1.0, 0.5]
    assert of_types(mine(coarse)) and len(mine(0)) == 0
    for x, y in table.origins_xy[:1]:
        assert x <= 10 and y <= 20 and x + 32 >= 20 and y + 32 >= 30


def test_proposals_that_a_positive_chip_holds_are_left_out() -> None:
    sizes, offsets = np.array([[100, 100]] * 2), np.array([0, 0, 1])
    positives = positive_chips(np.array([[10.0, 20, 20, 30]]), offsets, sizes, CROWDED, seed=0, epoch=0, chip=32)
    assert positives.scales.tolist() == [0, 1] and len(mine(30, positives=positives)) == 0
    finest = replace(
        positives,
        **{name: getattr(positives, name)[:1] for name in ("images", "scales", "factors", "origins_xy", "sizes_hw")},
    )
    assert mine(30, positives=finest).scales.tolist() == [1]
    elsewhere = replace(positives, images=np.zeros(2, np.int32))
    assert mine(30, positives=elsewhere).scales.tolist() == [0, 1], "of another image"


def test_negative_chips_follow_from_seed_epoch_and_place() -> None:
    rng = np.random.default_rng(0)
    sizes = np.tile([[300, 400]], (6, 1))
    corner = rng.random((1200, 2)) * [370, 270]
    boxes, offsets = np.concatenate([corner, corner + 25], 1), np.arange(7) * 200
    given = {"seed": 3, "epoch": 5, "chip": 128}
    none = positive_chips(np.zeros((0, 4)), np.zeros(7, int), sizes, CROWDED, **given)  # type: ignore[arg-type]
    whole = negative_chips(boxes, offsets, sizes, CROWDED, positives=none, **given)  # type: ignore[arg-type]
    assert len(whole) > 20
    for changes in ({"seed": 4}, {"epoch": 6}, {"first_image": 2}, {"chip": 127}):
        other = negative_chips(boxes, offsets, sizes, CROWDED, positives=none, **given | changes)  # type: ignore[arg-type]
        assert not equal(whole, other), changes
    zero = negative_chips(boxes, offsets, sizes, CROWDED, positives=none, first_image=0, **given)  # type: ignore[arg-type]
    assert equal(whole, zero)
    rest = negative_chips(
        boxes[400:],
        (offsets[2:] - 400).astype(np.int32),
        sizes[2:].astype(np.int32),
        CROWDED,
        positives=positive_chips(np.zeros((0, 4)), np.zeros(5, int), sizes[2:], CROWDED, **given),  # type: ignore[arg-type]
        first_image=2,
        **given,  # type: ignore[arg-type]
    )
    assert np.array_equal(rest.origins_xy, whole.origins_xy[whole.images >= 2])
    single = negative_chips(boxes.astype(np.float32), offsets, sizes, CROWDED, positives=none, **given)  # type: ignore[arg-type]
    assert of_types(single)


def test_negative_chips_are_of_512_pixels_unless_said() -> None:
    sizes = np.array([[600, 700]])
    boxes = np.tile([[100.0, 100, 130, 130]], (30, 1))
    none = positive_chips(np.zeros((0, 4)), np.zeros(2, int), sizes, CROWDED, seed=0, epoch=0)
    found = negative_chips(boxes, np.array([0, 30]), sizes, CROWDED, positives=none, seed=0, epoch=0)
    assert found.sizes_hw.tolist() == [[512, 512], [300, 350]]


# Joined and chosen


def by_hand(images: list[int], scales: list[int], rows: list[list[int]], first: int, negative: bool) -> ChipTable:
    """Chips whose other columns count from `first`."""
    numbers = np.arange(first, first + len(images))
    return ChipTable(
        images=np.array(images, np.int32),
        scales=np.array(scales, np.int8),
        factors=numbers + 0.5,
        origins_xy=np.stack([numbers, numbers + 1], 1).astype(float),
        sizes_hw=np.stack([numbers + 2, numbers + 3], 1).astype(np.int32),
        negative=np.full(len(images), negative),
        box_offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        box_rows=np.array([r for own in rows for r in own], np.int64),
    )


def test_two_tables_joined_by_hand() -> None:
    first = by_hand([0, 0, 2, 2], [0, 1, 0, 1], [[1, 2], [], [5], [6, 7, 8]], 0, False)
    second = by_hand([0, 1, 2], [0, 0, 0], [[10], [11, 12], []], 100, True)
    both = join(first, second)
    assert both.images.tolist() == [0, 0, 0, 1, 2, 2, 2] and both.scales.tolist() == [0, 0, 1, 0, 0, 0, 1]
    assert both.factors.tolist() == [0.5, 100.5, 1.5, 101.5, 2.5, 102.5, 3.5]
    assert both.origins_xy[:, 1].tolist() == [1, 101, 2, 102, 3, 103, 4]
    assert both.sizes_hw[:, 0].tolist() == [2, 102, 3, 103, 4, 104, 5]
    assert both.negative.tolist() == [False, True, False, True, False, True, False] and of_types(both)
    assert [both.rows_of(c).tolist() for c in range(7)] == [[1, 2], [10], [], [11, 12], [5], [], [6, 7, 8]]
    assert equal(join(first, by_hand([], [], [], 0, True)), first)
    assert equal(join(by_hand([], [], [], 0, True), second), second)


WORD = 2**64 - 1


def mixed(state: int) -> int:
    """SplitMix64's finalizer, as in its paper."""
    z = (state + 0x9E3779B97F4A7C15) & WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & WORD
    return z ^ (z >> 31)


@pytest.mark.parametrize("places", [None, [3, 8, 1]])
def test_negative_chips_of_an_epoch_are_drawn_by_the_image_s_place(places: list[int] | None) -> None:
    images = [0] * 4 + [2] * 9 + [1] * 0
    pool = by_hand(images, [0] * 13, [[]] * 13, 0, True)
    for epoch in range(5):
        state = int(np.random.SeedSequence([6, 4, epoch]).generate_state(1, np.uint64)[0])
        kept: list[int] = []
        for image, first, count in ((0, 0, 4), (2, 4, 9)):
            place = image if places is None else places[image]
            drawn = [mixed(state ^ mixed(place * 4096 + k)) for k in range(count)]
            kept += [first + k for k in sorted(sorted(range(count), key=drawn.__getitem__)[:3])]
        chosen = choose_negatives(pool, 3, 6, epoch, images=places)
        assert (chosen.factors - 0.5).astype(int).tolist() == kept and of_types(chosen)
        assert chosen.images.tolist() == [0] * 3 + [2] * 3 and chosen.negative.all()
        assert chosen.box_offsets.tolist() == [0] * 7 and chosen.box_rows.tolist() == []
    assert len(choose_negatives(pool, 0, 6, 0)) == 0 and len(choose_negatives(pool, 9, 6, 0)) == 13
    assert len(choose_negatives(pool, 5, 6, 0)) == 9
    assert of_types(choose_negatives(by_hand([], [], [], 0, True), 2, 6, 0))
