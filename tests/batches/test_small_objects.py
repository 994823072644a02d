"""Small-object augmentation: what is pasted and where, its pixels and boxes, and how often images come."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull

from headstart.batches.chips.batches import ChipBatches, training_boxes
from headstart.batches.chips.epochs import ChipEpochs, ChipLayout
from headstart.batches.chips.pasting import GAP, MARGIN, hull_of, paste
from headstart.batches.chips.scales import Scale
from headstart.batches.chips.small_objects import CopyPaste, Pastes, SmallObjects, images_of, small_rows
from headstart.data import rle
from headstart.data.annotations import Annotations
from headstart.data.masks import instance_masks
from headstart.errors import DataError, UsageError
from headstart.places.images import read_rgb
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.train.distributed import ALONE
from headstart.train.loaders import fetched
from headstart.world.shapes import write_coco

SCALES = (Scale("factor", 2.0, 0, 40), Scale("factor", 1.0, 20, 70), Scale("longest", 96, 50))
CHIPS = ChipLayout("chips", SCALES, chip=96)
ALWAYS = SmallObjects(copies=2, share=1.0)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Annotations:
    out = tmp_path_factory.mktemp("drawn")
    write_coco("base", 12, 0, 128, out=out, progress=silent)
    return open_dataset(out)


def written(out: Path, outlines: list[Any], boxes: list[list[float]], crowd: tuple[int, ...] = ()) -> Annotations:
    """One image of 100 x 80 pixels."""
    (out / "images").mkdir(parents=True)
    (out / "annotations").mkdir()
    Image.new("RGB", (100, 80)).save(out / "images" / "a.png")
    record = {
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {
                "id": k + 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(k in crowd),
                **({"segmentation": outline} if outline else {}),
            }
            for k, (outline, box) in enumerate(zip(outlines, boxes, strict=True))
        ],
    }
    (out / "annotations" / "instances.json").write_text(json.dumps(record))
    return open_dataset(out)


def square(x: float, y: float, side: float) -> list[float]:
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def copying(table: Annotations, given: SmallObjects = ALWAYS, seed: int = 0) -> CopyPaste:
    return CopyPaste(table, small_rows(table, given.below), given, seed)


def same(a: Pastes, b: Pastes) -> bool:
    return all(np.array_equal(value, getattr(b, name)) for name, value in vars(a).items())


def blob(seed: int, size: int) -> NDArray[np.bool_]:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(size, size + 3)), 1.5)
    return noise > np.quantile(noise, 0.6)


# Hulls and drawing


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 14), st.floats(0.05, 0.95))
def test_hulls_are_those_of_the_pixels_and_of_connected_masks_only(seed: int, size: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((size, size + 1)) < share
    found = hull_of(rle.encode(mask), size)
    if ndimage.label(mask, np.ones((3, 3)))[1] != 1:
        assert len(found) == 0
        return
    rows, columns = np.nonzero(mask)
    corners = np.concatenate([np.stack([columns + i, rows + j], 1) for i in (0, 1) for j in (0, 1)])
    hull = corners[ConvexHull(corners).vertices]
    assert set(map(tuple, found.tolist())) == set(map(tuple, hull.astype(float).tolist()))


def test_a_run_may_go_on_in_the_next_column() -> None:
    assert len(hull_of(np.array([2, 6, 4]), 4)) == 5  # the lower half of a column, then a whole one: 5 corners
    assert len(hull_of(np.array([12]), 4)) == 0


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 24), st.floats(0.8, 1.2), st.floats(-15, 15), st.floats(0, 1))
def test_pasted_pixels_fill_their_box_and_keep_area_and_color(
    seed: int, size: int, scale: float, turn: float, shift: float
) -> None:
    mask = blob(seed, size)
    mask = ndimage.label(mask, np.ones((3, 3)))[0] == 1
    corners = hull_of(rle.encode(mask), size)
    a, d = scale * math.cos(math.radians(turn)), scale * math.sin(math.radians(turn))
    moved = corners @ np.array([[a, d], [-d, a]])
    offset = 10 + shift - moved.min(0)
    affine = np.array([a, -d, offset[0], d, a, offset[1]])
    box = np.concatenate([moved.min(0), moved.max(0)]) + np.tile(offset, 2)
    pixels = np.random.default_rng(seed).integers(0, 256, (*mask.shape, 3)).astype(np.uint8)
    cover, shown = np.zeros((60, 64, 3), np.uint8), np.zeros((60, 64, 3), np.uint8)
    paste(np.full_like(pixels, 255), mask.astype(np.uint8), affine, box, cover)
    paste(pixels, mask.astype(np.uint8), affine, box, shown)
    rows, columns = np.nonzero(cover[:, :, 0])
    around = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert np.abs(around - box).max() < 1.5
    share = cover[:, :, 0] / 255.0
    assert share.sum() == pytest.approx(scale**2 * mask.sum(), rel=0.05, abs=2.0)
    if mask.sum() > 40:
        means = shown.reshape(-1, 3).sum(0) / share.sum()
        assert np.abs(means - pixels[mask].mean(0)).max() < 6


def test_edges_are_blended_with_what_was_there() -> None:
    """Half a pixel further right: the first and the last column are half of the object, half of the ground."""
    mask = np.ones((4, 4), np.uint8)
    out = np.full((10, 10, 3), 100, np.uint8)
    paste(np.full((4, 4, 3), 200, np.uint8), mask, np.array([1, 0, 2.5, 0, 1, 3]), np.array([2.5, 3, 6.5, 7]), out)
    expected = np.full((10, 10), 100)
    expected[3:7, 2:7] = [150, 200, 200, 200, 150]
    assert np.array_equal(out, np.repeat(expected[:, :, None], 3, 2))


# Plans


@settings(max_examples=40, derandomize=True, deadline=None)
@given(data=st.data())
def test_pastes_lie_free_inside_their_images(drawn: Annotations, data: st.DataObject) -> None:
    low, high = sorted(data.draw(st.tuples(st.floats(0.3, 2), st.floats(0.3, 2))))
    chosen = SmallObjects(
        below=data.draw(st.sampled_from([20.0, 32.0, 60.0])),
        copies=data.draw(st.integers(1, 6)),
        share=1.0,
        scale=(low, high),
        turn=data.draw(st.floats(0, 180)),
        at_most=data.draw(st.integers(1, 12)),
    )
    seed, epoch = data.draw(st.integers(0, 2**31)), data.draw(st.integers(0, 1000))
    planner = copying(drawn, chosen, seed)
    plan = planner.plan(epoch)
    assert same(plan, copying(drawn, chosen, seed).plan(epoch))
    counts = np.diff(plan.offsets)
    assert (counts <= np.minimum(chosen.at_most, chosen.copies * np.diff(planner.offsets))).all()
    assert np.bincount(plan.rows, minlength=1).max(initial=0) <= chosen.copies
    assert np.array_equal(plan.labels, drawn.box_labels[plan.rows])
    root = np.sqrt((drawn.boxes_xyxy[plan.rows, 2:] - drawn.boxes_xyxy[plan.rows, :2]).prod(1))
    assert (root < chosen.below).all()
    image = np.repeat(np.arange(len(drawn)), counts)
    assert np.array_equal(images_of(drawn, plan.rows), image)
    height, width = drawn.sizes_hw[image].T
    assert (plan.xyxy[:, :2] >= MARGIN).all() and (plan.xyxy[:, 2] <= width - MARGIN + 1e-9).all()
    assert (plan.xyxy[:, 3] <= height - MARGIN + 1e-9).all()
    a, b, _, d, e, _ = plan.affines.T
    scale = np.hypot(a, d)
    assert np.allclose([a, b], [e, -d]) and (scale > low - 1e-9).all() and (scale < high + 1e-9).all()
    assert (np.abs(np.degrees(np.arctan2(d, a))) < chosen.turn + 1e-6).all()
    for row, affine, box in zip(plan.rows, plan.affines, plan.xyxy, strict=True):
        which = int(np.searchsorted(planner.rows, row))
        corners = planner.hulls[planner.hull_offsets[which] : planner.hull_offsets[which + 1]]
        moved = np.column_stack([corners, np.ones(len(corners))]) @ affine.reshape(2, 3).T
        assert np.allclose([*moved.min(0), *moved.max(0)], box)
    for i in range(len(drawn)):
        own = plan.xyxy[plan.offsets[i] : plan.offsets[i + 1]]
        every = np.concatenate([own, drawn.boxes_of(i).xyxy])
        for k, box in enumerate(own):
            others = np.delete(every, k, 0)
            apart = np.maximum(others[:, :2] - box[2:], box[:2] - others[:, 2:]).max(1)
            assert (apart >= GAP - 1e-9).all()


def test_plans_differ_by_epoch_and_seed_and_reach_a_share_of_the_images(drawn: Annotations) -> None:
    planner = copying(drawn)
    assert len(planner.plan(0).rows) > 10
    assert not same(planner.plan(0), planner.plan(1))
    assert not same(planner.plan(0), copying(drawn, seed=1).plan(0))
    some = copying(drawn, replace(ALWAYS, share=0.3))
    hits = np.array([np.diff(some.plan(epoch).offsets) > 0 for epoch in range(200)])
    able = np.array([np.diff(planner.plan(epoch).offsets) > 0 for epoch in range(200)])
    assert hits.sum() / able.sum() == pytest.approx(0.3, abs=0.04)


def test_which_objects_are_copied(tmp_path: Path) -> None:
    outlines = [
        [square(10, 10, 12)],  # copied
        [square(40, 10, 5), square(50, 10, 5)],  # in two pieces
        [square(10, 40, 38)],  # large
        None,  # no outline
        [square(60, 40, 8), square(66, 44, 8)],  # two rings that overlap are one piece
    ]
    boxes = [[10, 10, 12, 12], [40, 10, 15, 5], [10, 40, 38, 38], [80, 10, 9, 9], [60, 40, 14, 12]]
    table = written(tmp_path / "a", outlines, boxes)
    planner = copying(table)
    assert planner.rows.tolist() == [0, 4]
    pasted = np.concatenate([planner.plan(epoch).rows for epoch in range(30)])
    assert set(pasted.tolist()) == {0, 4}
    crowded = written(tmp_path / "b", [*outlines, [square(0, 0, 80)]], [*boxes, [0, 0, 100, 80]], crowd=(5,))
    assert not len(copying(crowded).plan(0).rows)  # nothing is free where a box of several covers the image


# Pixels


def test_pastes_show_their_objects_and_leave_the_rest_alone(drawn: Annotations) -> None:
    planner = copying(drawn)
    plan = planner.plan(0)
    compared = 0
    for i in range(len(drawn)):
        image = read_rgb(drawn.image_path(i), drawn.size_hw(i))
        before = image.copy()
        shown = planner.drawn(image, i, plan)
        assert np.array_equal(image, before)
        own = slice(int(plan.offsets[i]), int(plan.offsets[i + 1]))
        free, masks = np.ones(image.shape[:2], bool), instance_masks(drawn, i)
        for row, (x1, y1, x2, y2), affine in zip(plan.rows[own], plan.xyxy[own], plan.affines[own], strict=True):
            part = np.s_[int(y1) : math.ceil(y2), int(x1) : math.ceil(x2)]
            assert free[part].all()
            free[part] = False
            mask = masks[row - drawn.box_offsets[i]]
            share = np.zeros_like(image)
            paste(np.full_like(image, 255), mask.astype(np.uint8), affine, np.array([x1, y1, x2, y2]), share)
            rows, columns = np.nonzero(share[:, :, 0])
            around = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert np.abs(around - [x1, y1, x2, y2]).max() < 1.5
            inside = share[:, :, 0] == 255
            if inside.sum() > 30:
                assert np.abs(shown[inside].mean(0) - image[mask].mean(0)).max() < 25
                compared += 1
            assert np.array_equal(shown[part][share[part] == 0], image[part][share[part] == 0])
        assert np.array_equal(shown[free], image[free])
    assert compared > 10


def test_objects_are_copied_from_the_image_without_pastes(tmp_path: Path) -> None:
    """An outline may reach beyond its box, where another paste may lie: here the first."""
    table = written(tmp_path, [[square(10, 10, 8)]], [[10, 10, 8, 8]])
    image = np.random.default_rng(0).integers(0, 256, (80, 100, 3)).astype(np.uint8)
    affines = np.array([[1, 0, 2, 0, 1, 0], [1, 0, 40, 0, 1, 0]], float)
    boxes = np.array([[12, 10, 20, 18], [50, 10, 58, 18]], float)
    shown = copying(table).drawn(image, 0, Pastes(np.array([0, 2]), np.zeros(2, np.int64), np.zeros(2), affines, boxes))
    assert np.array_equal(shown[10:18, 50:58], image[10:18, 10:18])
    assert np.array_equal(shown[10:18, 12:20], image[10:18, 10:18])


# Batches


def test_repetitions_by_hand() -> None:
    chips, places = SmallObjects(repeats=3).repeated(np.array([0, 0, 1, 2]), np.array([True, False, True]))
    assert chips.tolist() == [0, 1, 2, 3, 0, 1, 3, 0, 1, 3]
    assert places.tolist() == [0, 0, 1, 2, 3, 3, 5, 6, 6, 8]


def test_images_with_a_small_object_come_more_often(drawn: Annotations) -> None:
    below = 20.0
    boxes = training_boxes(drawn)
    small = np.sqrt((boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).prod(1)) < below
    with_small = np.array([small[boxes.offsets[i] : boxes.offsets[i + 1]].any() for i in range(len(drawn))])
    assert 0 < with_small.sum() < len(drawn)
    source = ChipBatches(drawn, CHIPS, 4, 3, flip=True, window=16, small=SmallObjects(below, repeats=3))
    table = source.epochs.of(0)
    expected = np.where(with_small[table.images], 3, 1)
    counts = np.bincount(source._order(0).chips.flatten(), minlength=len(table))
    assert source.per_epoch == math.ceil(expected.sum() / 4)
    assert (counts >= expected).all() and counts.sum() - expected.sum() < 4  # the last batch is filled up


@pytest.mark.parametrize("layout", ["whole", "pyramid", "chips"])
def test_batches_hold_the_pasted_objects(drawn: Annotations, layout: str) -> None:
    """At factor 1, whole images are those with pastes, and their targets all boxes of the epoch."""
    scales = (Scale("factor", 1.0),)
    source = ChipBatches(drawn, ChipLayout(layout, scales, 128), 4, 3, flip=False, window=16, small=ALWAYS)  # type: ignore[arg-type]
    row = {drawn.image_id(i): i for i in range(len(drawn))}
    planner = copying(drawn, seed=3)
    for t in (0, 1, source.per_epoch, 3 * source.per_epoch - 1):
        epoch = t // source.per_epoch
        plan, batch = planner.plan(epoch), source.batch(t)
        boxes = source.epochs.boxes_of(epoch)
        assert len(boxes.xyxy) == len(source.boxes.xyxy) + len(plan.rows)
        for k, name in enumerate(batch.image_ids):
            i = row[name]
            shown = planner.drawn(read_rgb(drawn.image_path(i), drawn.size_hw(i)), i, plan)
            assert np.array_equal(batch.images[k].permute(1, 2, 0).numpy(), shown)
            own = slice(int(plan.offsets[i]), int(plan.offsets[i + 1]))
            expected = np.concatenate([drawn.boxes_of(i).xyxy, plan.xyxy[own]])
            assert np.allclose(batch.boxes_xyxy[k].numpy(), expected, atol=1e-4)
            assert batch.box_labels[k].tolist() == [*drawn.boxes_of(i).labels, *plan.labels[own]]


def test_chips_hold_every_paste_of_their_scale(drawn: Annotations) -> None:
    source = ChipBatches(drawn, CHIPS, 4, 3, flip=True, window=16, small=ALWAYS)
    for epoch in (0, 2):
        boxes, table = source.epochs.boxes_of(epoch), source.epochs.of(epoch)
        root = np.sqrt((boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).prod(1))
        sides = boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]
        fits = (sides.min(1) >= 2) & (2 * sides.max(1) <= 96 - 12)  # wherever the grid of at most 12 pixels lies
        finest = np.repeat(table.scales, np.diff(table.box_offsets)) == 0
        assert set(np.flatnonzero((root < 40) & fits)) <= set(table.box_rows[finest].tolist())


def test_the_same_batches_whoever_makes_them_and_plans_kept_on_disk(drawn: Annotations, tmp_path: Path) -> None:
    small = SmallObjects(repeats=2, copies=2)
    made = ChipBatches(drawn, CHIPS, 4, 3, flip=True, window=16, small=small)
    kept = ChipBatches(drawn, CHIPS, 4, 3, flip=True, window=16, folder=tmp_path, small=small)
    stop = made.per_epoch + 3
    expected = [made.batch(t) for t in reversed(range(stop))][::-1]
    for step, batch in fetched(kept, 0, stop, ALONE, workers=2):
        assert torch.equal(batch.images, expected[step].images)
        for a, b in zip(batch.boxes_xyxy, expected[step].boxes_xyxy, strict=True):
            assert torch.equal(a, b)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")}
    other = ChipEpochs(kept.boxes, CHIPS, 3, tmp_path, proposals=None, pasting=kept.pasting)
    pastes = other.pastes_of(1)
    assert pastes is not None and same(pastes, copying(drawn, small, 3).plan(1))
    assert files == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")}


def test_settings_that_do_nothing_change_nothing(drawn: Annotations) -> None:
    plain = ChipBatches(drawn, CHIPS, 4, 3, flip=True, window=16)
    given = ChipBatches(drawn, CHIPS, 4, 3, flip=True, window=16, small=SmallObjects())
    assert plain.per_epoch == given.per_epoch
    for t in range(plain.per_epoch + 1):
        assert torch.equal(plain.batch(t).images, given.batch(t).images)


# Faults


def test_data_without_small_objects_or_outlines_is_refused_at_once(tmp_path: Path) -> None:
    table = written(tmp_path / "a", [None, None], [[10, 10, 20, 20], [50, 10, 30, 40]])
    with pytest.raises(DataError, match=r"none of 1 objects below 32 pixels has an outline.*COCO.*`copies` to 0"):
        ChipBatches(table, CHIPS, 1, 0, flip=True, window=16, small=SmallObjects(copies=1))
    assert ChipBatches(table, CHIPS, 1, 0, flip=True, window=16, small=SmallObjects(repeats=2)).with_small.tolist() == [
        True
    ]
    with pytest.raises(DataError, match=r"a: no box is small, below 12 pixels.*the smallest is 20\. Set `below`"):
        ChipBatches(table, CHIPS, 1, 0, flip=True, window=16, small=SmallObjects(below=12, repeats=2))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"below": 0}, "below = 0: a size in pixels"),
        ({"repeats": 0}, "repeats = 0: 1 .* or more"),
        ({"copies": -1}, "copies = -1: 0 .* or more"),
        ({"share": 1.5}, "share = 1.5: above 0, at most 1"),
        ({"scale": (1.2, 0.8)}, "scale = .*the smaller one first"),
        ({"turn": 200}, "turn = 200: 0 to 180 degrees"),
        ({"at_most": 0}, "at_most = 0: 1 or more"),
    ],
)
def test_settings_that_mean_nothing(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SmallObjects(**values)
