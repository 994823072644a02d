"""Batch t is a function of (seed, t), and boxes move with their pixels."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.batches.image_batches import Batches, in_order
from headstart.batches.image_sets import ImageSet
from headstart.data.flags import GROUP_OF
from headstart.progress import silent
from headstart.world.shapes import draw_set


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> ImageSet:
    out: Path = tmp_path_factory.mktemp("drawn")
    draw_set("base", 10, 0, 64, out=out, progress=silent)
    return ImageSet.open(out)


def batches(drawn: ImageSet, seed: int = 3, **changes) -> Batches:
    settings = {"batch_size": 4, "flip": True, "quarter_turns": True} | changes
    return Batches(drawn, seed=seed, **settings)


def test_a_batch_does_not_depend_on_what_was_asked_before(drawn):
    first, second = batches(drawn), batches(drawn)
    for t in range(7):
        second.batch(t)
    for t in (6, 0, 3):
        a, b = first.batch(t), second.batch(t)
        assert a.image_ids == b.image_ids
        assert (a.images == b.images).all() and all(
            (x == y).all() for x, y in zip(a.boxes_xyxy, b.boxes_xyxy, strict=True)
        )
    assert batches(drawn, seed=4).batch(0).image_ids != first.batch(0).image_ids


def test_every_image_comes_once_an_epoch(drawn):
    order = batches(drawn)
    seen = np.concatenate([order.indices(t) for t in range(5)])  # 20 draws of 10 images
    assert sorted(seen[:10]) == list(range(10)) and sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])


def test_boxes_of_several_objects_are_handed_on_as_no_background(drawn):
    flags = drawn.box_flags.copy()
    first = int(drawn.box_offsets[2])
    flags[first] = GROUP_OF
    marked = replace(drawn, box_flags=flags)
    batch = batches(marked, batch_size=10, flip=False, quarter_turns=False).batch(0)
    place = batch.image_ids.index(str(drawn.image_ids[2]))
    assert batch.group_of is not None
    assert [len(g) for g in batch.group_of] == [int(k == place) for k in range(10)]
    assert (batch.group_of[place].numpy() == drawn.boxes_xyxy[first]).all()
    assert len(batch.boxes_xyxy[place]) == len(drawn.boxes_of(2).labels) - 1
    half = batch.parts(2)[place // 5]
    assert half.group_of is not None and len(half.group_of[place % 5]) == 1
    assert half.seeds is not None and len(half.seeds) == 5 and half.valid_ranges is None
    assert batches(drawn).batch(0).group_of is None


def test_boxes_move_with_their_pixels(drawn):
    """After mirroring and turning, each box is still the extent of its class in the mask."""
    checked = 0
    for t in range(20):
        batch = batches(drawn, batch_size=2).batch(t)
        assert batch.masks is not None
        for mask, boxes, labels in zip(batch.masks.numpy(), batch.boxes_xyxy, batch.box_labels, strict=True):
            for label in labels.unique():
                own = boxes[labels == label].numpy()
                ys, xs = np.nonzero(mask == int(label) + 1)  # background is mask class 0
                extent = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                union = [*own[:, :2].min(0), *own[:, 2:].max(0)]
                assert extent == pytest.approx(union)
                checked += 1
    assert checked > 40


def test_mirroring_alone_is_an_involution(drawn):
    plain = batches(drawn, flip=False, quarter_turns=False).batch(0)
    flipped = None
    for t in range(30):  # find a batch position whose image was mirrored
        batch = batches(drawn, quarter_turns=False).batch(t)
        for k, name in enumerate(batch.image_ids):
            if name in plain.image_ids and not (batch.images[k] == plain.images[plain.image_ids.index(name)]).all():
                flipped = (batch.images[k], plain.images[plain.image_ids.index(name)])
    assert flipped is not None
    assert (flipped[0].flip(-1) == flipped[1]).all()


def orientation(seen: np.ndarray, original: np.ndarray) -> tuple[int, bool]:
    """Quarter turns and whether it was mirrored before, of an image (3, H, W) beside the prepared one (H, W, 3)."""
    pixels = original.transpose(2, 0, 1)
    for mirrored in (False, True):
        for turns in range(4):
            if np.array_equal(np.rot90(pixels[..., ::-1] if mirrored else pixels, turns, axes=(1, 2)), seen):
                return turns, mirrored
    raise AssertionError("neither mirrored nor turned")


@pytest.mark.parametrize(("flip", "quarter_turns"), [(False, False), (True, False), (False, True), (True, True)])
def test_images_are_mirrored_and_turned_as_often_as_they_should(drawn, flip, quarter_turns):
    """400 images: shares of a half and of quarters within five standard deviations."""
    number = {str(name): i for i, name in enumerate(drawn.image_ids)}
    seen = [
        orientation(pixels.numpy(), drawn.images[number[name]])
        for batch in map(batches(drawn, batch_size=10, flip=flip, quarter_turns=quarter_turns).batch, range(40))
        for pixels, name in zip(batch.images, batch.image_ids, strict=True)
    ]
    turns = np.bincount([k for k, _ in seen], minlength=4) / 400
    assert turns == pytest.approx([1 / 4] * 4 if quarter_turns else [1, 0, 0, 0], abs=0.11 if quarter_turns else 0)
    assert np.mean([mirrored for _, mirrored in seen]) == pytest.approx(0.5 if flip else 0, abs=0.125 if flip else 0)


def test_images_that_are_not_square_are_not_turned(drawn):
    wide = replace(drawn, images=np.asarray(drawn.images)[:, :32], masks=None)
    assert batches(wide).batch(0).images.shape == (4, 3, 32, 64)
    assert not batches(wide).quarter_turns and batches(drawn).quarter_turns


def test_a_batch_on_another_device_has_all_of_its_tensors_there(drawn):
    batch = replace(
        batches(drawn).batch(0),
        ignored=[torch.zeros(1, 4)] * 4,
        group_of=[torch.zeros(2, 4)] * 4,
        valid_ranges=torch.zeros(4, 2),
        label_table=torch.zeros(4, 3),
    )
    moved = batch.to(torch.device("meta"))
    assert moved.image_ids == batch.image_ids and len(moved) == 4
    for field in fields(batch):
        before, after = getattr(batch, field.name), getattr(moved, field.name)
        if field.name != "image_ids":
            pairs = zip(before, after, strict=True) if isinstance(before, list) else [(before, after)]
            assert all(b.device.type == "meta" and a.shape == b.shape for a, b in pairs), field.name
    assert batch.to(torch.device("cpu")) is batch


def test_in_order_covers_a_set_once(drawn):
    parts = in_order(drawn, 4)
    assert [list(range(p.start, p.stop)) for p in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
