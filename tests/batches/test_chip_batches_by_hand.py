"""Batches of chips and whole images against what is worked by hand: canvases, targets, ranges, steps, words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from headstart.batches.batch import draw_seeds
from headstart.batches.chips.arranging import ChipOrder, arrange
from headstart.batches.chips.batches import ChipBatches, boxes_of_several, training_boxes, within
from headstart.batches.chips.cutting import PADDING
from headstart.batches.chips.epochs import ChipLayout
from headstart.batches.chips.scales import Scale
from headstart.batches.chips.small_objects import SmallObjects
from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.data.flags import CROWD, DIFFICULT, GROUP_OF, OCCLUDED
from headstart.errors import DataError

INF = float("inf")
ONE = (Scale("factor", 1.0),)
WHOLE = ChipLayout("whole", ONE)
SIZES = [(40, 60), (50, 30), (40, 60)]
BOXES = [
    [(10.0, 5.0, 30.0, 25.0), (50, 30, 70, 50), (0, 0, 20, 20), (1, 1, 9, 9), (0, 35, 70, 45)],
    [(-4.0, 10.0, 16.0, 30.0)],
    [],
]
LABELS, FLAGS = [1, 2, 0, 1, 2, 0], [0, OCCLUDED, CROWD, DIFFICULT, GROUP_OF | DIFFICULT, 0]


def table(
    folder: Path,
    sizes: list[tuple[int, int]] = SIZES,
    boxes: list[list[tuple[float, ...]]] = BOXES,  # type: ignore[assignment]
    flags: list[int] = FLAGS,
    labels: list[int] = LABELS,
) -> Annotations:
    """Images of noise: two of 60 x 40 pixels (w x h), the second of 30 x 50."""
    folder.mkdir(exist_ok=True)
    for k, (height, width) in enumerate(sizes):
        pixels = np.random.default_rng(k).integers(0, 256, (max(1, height), max(1, width), 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    columns = BoxColumns(
        offsets=np.cumsum([0, *map(len, boxes)]),
        source=np.array([box for own in boxes for box in own], float).reshape(-1, 4),
        labels=np.array(labels, np.int32),
        flags=np.array(flags, np.uint8),
        known=np.ones(len(sizes), bool),
        classes=("a", "b", "c"),
        convention="edges",
    )
    ids = [f"n{k}" for k in range(len(sizes))]
    names = [f"{k}.png" for k in range(len(sizes))]
    return annotate(folder, "made", ids, names, sizes_hw=sizes, splits=["train"] * len(ids), boxes=columns)


def pixels_of(of: Annotations, i: int) -> NDArray[np.uint8]:
    return np.asarray(Image.open(str(of.image_path(i))))


def batches(of: Annotations, layout: ChipLayout = WHOLE, **changes: object) -> ChipBatches:
    given: dict = {"batch_size": 2, "seed": 3, "flip": False, "window": 16} | changes
    return ChipBatches(of, layout, **given)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Annotations:
    return table(tmp_path_factory.mktemp("data"))


# Boxes


def test_boxes_that_are_trained_on_by_hand(source: Annotations) -> None:
    boxes = training_boxes(source)
    assert boxes.xyxy.tolist() == [[10, 5, 30, 25], [50, 30, 60, 40], [0, 10, 16, 30]]
    assert boxes.offsets.tolist() == [0, 2, 3, 3] and boxes.labels.tolist() == [1, 2, 0]
    assert boxes.sizes_hw.tolist() == [[40, 60], [50, 30], [40, 60]]
    assert boxes.xyxy.dtype == np.float64 and boxes.offsets.dtype == np.int64


def test_boxes_of_several_objects_by_hand(source: Annotations) -> None:
    xyxy, offsets = boxes_of_several(source)
    assert xyxy.tolist() == [[0, 0, 20, 20], [0, 35, 60, 40]] and offsets.tolist() == [0, 2, 2, 2]


def test_a_table_without_boxes_has_none_of_either_kind(tmp_path: Path) -> None:
    empty = table(tmp_path / "data", boxes=[[], [], []], flags=[], labels=[])
    assert training_boxes(empty).offsets.tolist() == [0, 0, 0, 0] and training_boxes(empty).xyxy.shape == (0, 4)
    assert boxes_of_several(empty)[1].tolist() == [0, 0, 0, 0]
    with pytest.raises(DataError) as fault:
        batches(empty, ChipLayout("chips", ONE, chip=32))
    assert str(fault.value) == (
        f"{tmp_path}/data: no image of 3 gives a chip, since none has a box to train on. Choose another split, "
        "or a data set with boxes."
    )
    assert batches(empty).per_epoch == 2, "whole images need no box"


@pytest.mark.parametrize("mirror", [False, True])
def test_boxes_within_a_chip_by_hand(mirror: bool) -> None:
    """At factor 2 from (10, 20), 30 x 24 pixels (w x h): whole, cut at each side, one pixel, less, outside."""
    boxes = np.array(
        [
            [10, 15, 15, 20],
            [2, 3, 9, 12],
            [15, 15, 99, 99],
            [2, 12, 5.5, 15],
            [2, 12, 5.25, 15],
            [6, 2, 9, 10.5],
            [6, 2, 9, 10.25],
            [30, 12, 40, 15],
        ],
        float,
    )
    inside, seen = within(boxes, 2.0, np.array([10.0, 20.0]), np.array([24, 30]), mirror=mirror)
    wanted = np.array(
        [
            [10, 10, 20, 20],
            [0, 0, 8, 4],
            [20, 10, 30, 24],
            [0, 4, 1, 10],
            [0, 4, 0.5, 10],
            [2, 0, 8, 1],
            [2, 0, 8, 0.5],
            [30, 4, 30, 10],
        ]
    )
    if mirror:
        wanted[:, [0, 2]] = 30 - wanted[:, [2, 0]]
    assert inside.tolist() == wanted.tolist() and inside.dtype == np.float32
    assert seen.tolist() == [True, True, True, True, False, True, False, False] and seen.dtype == np.bool_


# Whole images


def test_a_whole_image_by_hand(source: Annotations) -> None:
    made = batches(source)
    batch = made.alone(np.array([0, 2]), 0)
    assert batch.images.shape == (2, 3, 64, 64) and batch.images.dtype == torch.uint8
    seen = batch.images.permute(0, 2, 3, 1).numpy()
    for k, i in enumerate((0, 2)):
        assert np.array_equal(seen[k, :40, :60], pixels_of(source, i))
    assert (seen[:, 40:] == PADDING).all() and (seen[:, :, 60:] == PADDING).all()
    assert batch.boxes_xyxy[0].tolist() == [[10, 5, 30, 25], [50, 30, 60, 40]] and batch.boxes_xyxy[1].shape == (0, 4)
    assert batch.box_labels[0].tolist() == [1, 2] and batch.box_labels[0].dtype == torch.int64
    assert batch.boxes_xyxy[0].dtype == torch.float32 and batch.image_labels.tolist() == [-1, -1]
    assert batch.image_labels.dtype == torch.int64 and batch.masks is None and batch.image_ids == ["n0", "n2"]
    assert batch.ignored is None and batch.valid_ranges is None and batch.label_table is None
    assert batch.group_of is not None and batch.group_of[0].tolist() == [[0, 0, 20, 20], [0, 35, 60, 40]]
    assert batch.group_of[1].shape == (0, 4) and batch.seeds is not None and batch.seeds.tolist() == [0, 0]
    assert batch.seeds.dtype == torch.int64
    tall = made.alone(np.array([1]), 0)
    assert tall.images.shape == (1, 3, 64, 32) and tall.group_of is None


def test_canvases_are_multiples_of_32(tmp_path: Path) -> None:
    sizes = [(32, 64), (33, 65), (1, 1)]
    made = batches(table(tmp_path / "data", sizes, [[(0, 0, 1, 1)]] * 3, [0] * 3, [0] * 3))
    assert [made._canvas(made.epochs.of(0), np.array([k])) for k in range(3)] == [(32, 64), (64, 96), (32, 32)]
    assert made._canvas(made.epochs.of(0), np.array([0, 2])) == (32, 64)
    assert made._canvas(made.epochs.of(0), np.array([2, 1])) == (64, 96)
    chips = batches(made.annotations, ChipLayout("chips", ONE, chip=40))
    assert chips._canvas(chips.epochs.of(0), np.array([0])) == (40, 40)


PYRAMID = ChipLayout("pyramid", (Scale("factor", 1.0, 15), Scale("factor", 0.5, 0, 15)))


def test_targets_of_a_pyramid_by_hand(source: Annotations) -> None:
    """The first image's boxes have areas of 20^2 and 10^2; each is ignored at the other's scale."""
    made = batches(source, PYRAMID)
    boxes, labels, ignored, several = made.targets_of(0, 0, False)
    assert boxes.tolist() == [[10, 5, 30, 25]] and labels.tolist() == [1] and ignored.tolist() == [[50, 30, 60, 40]]
    assert several.tolist() == [[0, 0, 20, 20], [0, 35, 60, 40]]
    assert [v.dtype for v in (boxes, labels, ignored, several)] == [np.float32, np.int64, np.float32, np.float32]
    boxes, labels, ignored, several = made.targets_of(0, 1, True)
    assert boxes.tolist() == [[0, 15, 5, 20]] and labels.tolist() == [2] and ignored.tolist() == [[15, 2.5, 25, 12.5]]
    assert several.tolist() == [[20, 0, 30, 10], [0, 17.5, 30, 20]]
    batch = made.alone(np.array([0, 1]), 0)
    assert batch.valid_ranges is not None and batch.valid_ranges.tolist() == [[15, INF], [0, 7.5]]
    assert batch.valid_ranges.dtype == torch.float32 and batch.ignored is not None
    assert [b.tolist() for b in batch.ignored] == [[[50, 30, 60, 40]], [[5, 2.5, 15, 12.5]]]


@pytest.mark.parametrize(
    ("scales", "ranged"),
    [
        (ONE, False),
        ((Scale("factor", 1.0, 0.5),), True),
        ((Scale("factor", 1.0, 0, 50),), True),
        ((Scale("factor", 1.0), Scale("factor", 0.5, 1)), True),
    ],
)
def test_ranges_are_told_where_a_scale_has_one(source: Annotations, scales: tuple[Scale, ...], ranged: bool) -> None:
    made = batches(source, ChipLayout("pyramid", scales))
    assert (made.alone(np.array([0]), 0).valid_ranges is not None) == ranged


def test_a_box_of_which_nothing_is_left_is_no_target(tmp_path: Path) -> None:
    """41 pixels times 1/2 are 20; what lies beyond is not drawn."""
    source = table(tmp_path / "data", [(40, 41)], [[(40.2, 0, 41, 1), (0, 0, 8, 8)]], [0, 0], [1, 2])
    made = batches(source, ChipLayout("whole", (Scale("factor", 0.5),)))
    assert made.epochs.of(0).box_rows.tolist() == [0, 1]
    boxes, labels, ignored, _ = made.targets_of(0, 0, False)
    assert boxes.tolist() == [[0, 0, 4, 4]] and labels.tolist() == [2] and len(ignored) == 0


@pytest.mark.parametrize(("factor", "left"), [(1.0, 7.0), (2.0, 16.5)])
def test_boxes_are_moved_as_the_pixels_are(source: Annotations, factor: float, left: float) -> None:
    """A chip that begins at 3.5 begins at 3, unless it is enlarged. The box begins at 10 pixels of the image."""
    made = batches(source)
    held = made.epochs._epoch(0)
    chips = replace(held.chips, factors=np.full(3, factor), origins_xy=np.full((3, 2), 3.5))
    made.epochs._held = {0: replace(held, chips=chips)}
    assert made.targets_of(0, 0, False)[0][0, 0] == left


# Batches


def test_images_of_like_shape_and_one_scale_share_a_batch(source: Annotations) -> None:
    made = batches(source, PYRAMID)
    chips = made.epochs.of(0)
    order = made._order(0)
    kinds = [{(int(chips.scales[c]), int(chips.images[c]) == 1) for c in batch} for batch in order.chips]
    assert sorted(map(sorted, kinds)) == [[(0, False)], [(0, True)], [(1, False)], [(1, True)]]
    assert made.per_epoch == 4 and made.count == 6
    wanted = arrange(chips.images, np.array([0, 2, 1, 3, 0, 2]), 2, 16, seed=3, epoch=1)
    found = made._arranged(1)
    assert np.array_equal(found.chips, wanted.chips) and np.array_equal(found.windows, wanted.windows)
    square = arrange(np.arange(3), np.array([0, 1, 0]), 2, 16, seed=3, epoch=5)
    assert np.array_equal(batches(source)._order(5).chips, square.chips)


def test_a_square_image_goes_with_the_wide_ones(tmp_path: Path) -> None:
    made = batches(table(tmp_path / "data", [(40, 40), (40, 60), (60, 40)], [[(0, 0, 9, 9)]] * 3, [0] * 3, [0] * 3))
    assert sorted(sorted(set(b.tolist())) for b in made._order(0).chips) == [[0, 1], [2]]


@pytest.mark.parametrize("flip", [False, True])
def test_chips_are_mirrored_by_what_is_drawn_for_their_place(source: Annotations, flip: bool) -> None:
    made = batches(source, flip=flip, batch_size=3)
    for t in range(4):
        batch, drawn = made.batch(t), np.random.Generator(np.random.PCG64([3, 1, t])).random(3) < 0.5
        chips = made._order(t // made.per_epoch).chips[t % made.per_epoch]
        for k, chip in enumerate(chips):
            height, width = SIZES[chip]
            want = pixels_of(source, chip)
            mirrored = flip and drawn[k]
            seen = batch.images[k].permute(1, 2, 0).numpy()[:height, :width]
            assert np.array_equal(seen, want[:, ::-1] if mirrored else want)
            assert batch.boxes_xyxy[k].tolist() == made.targets_of(0, int(chip), bool(mirrored))[0].tolist()
        assert batch.seeds is not None and batch.seeds.tolist() == draw_seeds(3, t, 3).tolist()
        assert batch.image_ids == [f"n{c}" for c in chips]


def test_parts_of_steps_that_are_made_together(source: Annotations) -> None:
    made = batches(source, PYRAMID, batch_size=4, flip=True)
    assert made.per_epoch == 4
    for epoch in (0, 2):
        steps = range(4 * epoch + 1, 4 * epoch + 4)
        for t, part in zip(steps, made.made(steps, slice(1, 3)), strict=True):
            whole = made.batch(t)
            assert part.image_ids == whole.image_ids[1:3] and torch.equal(part.images, whole.images[1:3])
            assert torch.equal(part.seeds, whole.seeds[1:3])  # type: ignore[arg-type]
            assert torch.equal(part.valid_ranges, whole.valid_ranges[1:3])  # type: ignore[arg-type, index]
            assert torch.equal(made.batch(t, slice(1, 3)).images, part.images)
            for a, b in zip(part.boxes_xyxy, whole.boxes_xyxy[1:3], strict=True):
                assert torch.equal(a, b)


def test_the_pixels_of_a_part_lie_in_the_canvas_of_the_whole_batch(tmp_path: Path) -> None:
    """So that processes agree on the shape."""
    made = batches(table(tmp_path / "data", [(20, 20), (90, 90)], [[(0, 0, 9, 9)]] * 2, [0, 0], [0, 0]))
    assert made.batch(0).images.shape == (2, 3, 96, 96)
    assert [made.batch(0, slice(k, k + 1)).images.shape for k in (0, 1)] == [(1, 3, 96, 96)] * 2


def numbered_epochs(made: ChipBatches, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs of five batches (as the first), three, and seven; each chip has its batch's number, 10 more an epoch."""
    lengths = [(5, [0, 2, 5]), (3, [0, 1, 3]), (7, [0, 4, 6, 7])]
    orders = [
        ChipOrder(np.repeat(np.arange(n)[:, None], 2, axis=1) + 10 * epoch, np.array(windows))
        for epoch, (n, windows) in enumerate(lengths)
    ]
    monkeypatch.setattr(made, "_arranged", lambda epoch: orders[epoch])
    made.per_epoch = 5


def test_every_epoch_has_as_many_batches_as_the_first(source: Annotations, monkeypatch: pytest.MonkeyPatch) -> None:
    made = batches(source)
    numbered_epochs(made, monkeypatch)
    assert made._order(0).chips[:, 0].tolist() == [0, 1, 2, 3, 4] and made._order(0).windows.tolist() == [0, 2, 5]
    assert made._order(1).chips[:, 0].tolist() == [10, 11, 12, 10, 11]
    assert made._order(1).windows.tolist() == [0, 1, 3, 5]
    assert made._order(2).chips[:, 0].tolist() == [20, 21, 22, 23, 24] and made._order(2).windows.tolist() == [0, 4, 5]
    assert made._order(2) is made._order(2) and list(made._orders) == [2]


@pytest.mark.parametrize(
    ("first", "stop", "expected"),
    [
        (0, 5, [(0, 2), (2, 5)]),
        (0, 15, [(0, 2), (2, 5), (5, 6), (6, 8), (8, 10), (10, 14), (14, 15)]),
        (1, 6, [(1, 2), (2, 5), (5, 6)]),
        (4, 5, [(4, 5)]),
        (5, 6, [(5, 6)]),
        (7, 13, [(7, 8), (8, 10), (10, 13)]),
        (5, 5, []),
        (10, 10, []),
        (9, 11, [(9, 10), (10, 11)]),
    ],
)
def test_steps_in_windows(
    source: Annotations,
    monkeypatch: pytest.MonkeyPatch,
    first: int,
    stop: int,
    expected: list[tuple[int, int]],
) -> None:
    made = batches(source)
    numbered_epochs(made, monkeypatch)
    assert list(made.together(first, stop)) == [range(*steps) for steps in expected]


def test_inputs_in_words(source: Annotations, tmp_path: Path) -> None:
    """Three images of 600 x 500 and their halves are 1.125 megapixels; chips of 400 x 400 and 300 x 250 are 0.235."""
    assert batches(source).summary() == (
        "3 images, 1.00 an image (1.00 by scale, finest first), 0.0 megapixels, 2 batches"
    )
    large = table(tmp_path / "large", [(500, 600)] * 3, [[(10, 10, 30, 30)], [(1, 1, 9, 9)], []], [0, 0], [0, 1])
    assert batches(large, PYRAMID, batch_size=1).summary() == (
        "6 images, 2.00 an image (1.00, 1.00 by scale, finest first), 1.1 megapixels, 6 batches"
    )
    chips = ChipLayout("chips", (Scale("factor", 3.0, 0, 5), *PYRAMID.scales), chip=400)
    assert batches(large, chips, batch_size=1).summary() == (
        "2 chips, 0.67 an image (0.00, 0.33, 0.33 by scale, finest first), 0.2 megapixels, 2 batches"
    )
    proposals = np.tile([[300.0, 300, 320, 320]], (20, 1)), np.array([0, 0, 0, 20])
    mined = batches(large, replace(chips, negatives=2), batch_size=1, proposals=proposals).summary()
    assert mined == (  # proposals of 20 pixels are for the scale in the middle alone
        "3 chips, 1 of them negative, 1.00 an image (0.00, 0.67, 0.33 by scale, finest first), 0.4 megapixels, "
        "3 batches"
    )


# Small objects


def test_what_is_done_for_small_objects_is_nothing_unless_said(source: Annotations) -> None:
    made = batches(source)
    assert made.small == SmallObjects() and made.pasting is None and made.with_small.tolist() == [False] * 3
    given = batches(source, small=SmallObjects(below=15, repeats=2))
    assert given.with_small.tolist() == [True, False, False] and given.with_small.dtype == np.bool_
    assert given.pasting is None and given.small.repeats == 2
    counts = np.bincount(given._order(0).chips.flatten())  # wide: 0, 0, 2 and one to fill up; tall: 1, twice
    assert given.per_epoch == 3 and counts[1] == 2 and counts[0] >= 2 and counts[0] + counts[2] == 4
    assert given.count == 3 and given.flip is False and given.window == 16 and given.seed == 3 and given.batch_size == 2
    assert given.layout is WHOLE and given.annotations is source
    image = given.decoded(1, 0)
    assert np.array_equal(image, pixels_of(source, 1))


def test_repeated_images_come_more_often(tmp_path: Path) -> None:
    """Of five images the first has a small object: with 4 repeats, 8 images are in two batches of 4."""
    boxes: list[list[tuple[float, ...]]] = [[(0, 0, 5, 5)], *[[(0, 0, 30, 30)]] * 4]
    of = table(tmp_path / "data", [(40, 40)] * 5, boxes, [0] * 5, [0] * 5)
    made = batches(of, batch_size=4, small=SmallObjects(below=10, repeats=4), window=1)
    assert made.per_epoch == 2
    assert np.bincount(made._order(0).chips.flatten()).tolist() == [4, 1, 1, 1, 1]


def test_sizes_must_be_known_to_tell_small_objects(tmp_path: Path) -> None:
    of = table(tmp_path / "data", [(0, 0)], [[(0, 0, 5, 5)]], [0], [0])
    with pytest.raises(DataError, match=r"^image 0 has no known size"):
        batches(of, small=SmallObjects())


def test_images_of_another_size_than_the_table_says_are_refused(source: Annotations, tmp_path: Path) -> None:
    of = table(tmp_path / "data")
    made = batches(of)
    Image.new("RGB", (50, 60)).save(tmp_path / "data" / "0.png")
    with pytest.raises(DataError, match=r"0\.png: the image is 50 x 60 pixels, its annotation was made for 60 x 40"):
        made.decoded(0, 0)
