"""Batches of prepared images against what is worked by hand: numbers drawn, mirrored and turned boxes, types, parts."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from headstart.batches.batch import Batch, draw_seeds
from headstart.batches.image_batches import Batches, in_order, pixels_of
from headstart.batches.image_sets import ImageSet
from headstart.data.flags import CROWD, DIFFICULT, GROUP_OF, OCCLUDED, TRUNCATED
from support.by_hand.sets import image_set

# Batches of any kind


def numbered(size: int) -> Batch:
    """A batch whose every field says which image it is of."""
    each = [torch.full((k + 1, 4), float(k)) for k in range(size)]
    count = torch.arange(size)
    return Batch(
        images=count.to(torch.uint8)[:, None, None, None].expand(size, 3, 2, 2),
        boxes_xyxy=each,
        box_labels=[torch.full((k + 1,), k) for k in range(size)],
        image_labels=count,
        masks=count[:, None, None].expand(size, 2, 2),
        image_ids=[str(k) for k in range(size)],
        ignored=[box + 1 for box in each],
        group_of=[box + 2 for box in each],
        valid_ranges=count[:, None].expand(size, 2).float(),
        label_table=count[:, None].expand(size, 3).to(torch.int8),
        seeds=count * 10,
    )


def test_parts_of_a_batch_are_its_images_in_order() -> None:
    whole = numbered(6)
    assert whole.parts(1) == [whole] and whole.parts(1)[0] is whole and len(whole) == 6
    for count, each in ((2, 3), (3, 2), (6, 1)):
        parts = whole.parts(count)
        assert [p.image_ids for p in parts] == [[str(k * each + j) for j in range(each)] for k in range(count)]
        for field in fields(Batch):
            values = [getattr(p, field.name) for p in parts]
            wanted = getattr(whole, field.name)
            if isinstance(wanted, torch.Tensor):
                assert torch.equal(torch.cat(values), wanted), field.name
            elif field.name != "image_ids":
                flat = [v for value in values for v in value]
                assert all(torch.equal(a, b) for a, b in zip(flat, wanted, strict=True)), field.name


def test_parts_of_a_batch_lack_what_the_batch_lacks() -> None:
    plain = replace(numbered(4), masks=None, ignored=None, group_of=None, valid_ranges=None, label_table=None)
    first = plain.parts(2)[0]
    assert (first.masks, first.ignored, first.group_of, first.valid_ranges, first.label_table) == (None,) * 5
    assert first.seeds is not None and first.seeds.tolist() == [0, 10]
    moved = plain.to(torch.device("meta"))
    assert moved.masks is None and moved.ignored is None and moved.seeds is not None


def test_seeds_are_a_stream_of_their_own() -> None:
    """So that a state that was saved goes on as it would have."""
    drawn = draw_seeds(3, 7, 5)
    assert np.array_equal(drawn, np.random.Generator(np.random.PCG64([3, 5, 7])).integers(0, 2**62, 5))
    assert drawn.dtype == np.int64 and drawn.shape == (5,)
    many = draw_seeds(0, 0, 4000)
    assert many.min() < 2**52 and 2**62 > many.max() > 2**62 - 2**52


# Order


def small_set(n: int = 5, size: int = 4, **changes: object) -> ImageSet:
    return image_set(n, size, size, **changes)


def batches(images: ImageSet, **changes: object) -> Batches:
    given: dict = {"batch_size": 4, "seed": 3, "flip": True, "quarter_turns": True} | changes
    return Batches(images, **given)


def test_the_order_is_one_permutation_after_the_other() -> None:
    source = batches(small_set(5))
    drawn = [np.random.Generator(np.random.PCG64([3, 0, epoch])).permutation(5) for epoch in range(4)]
    order = np.concatenate(drawn).tolist()
    assert [source.indices(t).tolist() for t in range(5)] == [order[4 * t : 4 * t + 4] for t in range(5)]
    assert source.count == 5 and source.batch_size == 4 and source.seed == 3
    assert source.indices(0).dtype == np.int64


def test_at_most_two_permutations_are_held() -> None:
    source = batches(small_set(5), batch_size=1)
    for t in range(25):
        source.indices(t)
        assert set(source._order) == {max(0, t // 5 - 1), t // 5}


def test_a_batch_may_be_larger_than_the_set() -> None:
    assert np.bincount(batches(small_set(3), batch_size=7).indices(0)).sum() == 7
    assert np.bincount(batches(small_set(3), batch_size=6).indices(1)).tolist() == [2, 2, 2]


@pytest.mark.parametrize(("rows", "seen"), [(None, [0, 1, 2, 3, 4]), ([3], [3]), ([1, 4], [1, 4])])
def test_batches_may_be_of_some_rows(rows: list[int] | None, seen: list[int]) -> None:
    source = batches(small_set(5), rows=None if rows is None else np.array(rows))
    assert source.count == len(seen)
    assert np.unique(np.concatenate([source.indices(t) for t in range(9)])).tolist() == seen


def test_groups_of_steps_are_single_steps() -> None:
    source = batches(small_set(5))
    assert list(source.together(2, 5)) == [range(2, 3), range(3, 4), range(4, 5)] and list(source.together(2, 2)) == []
    made = source.made(range(2, 4), slice(1, 3))
    assert [m.image_ids for m in made] == [source.batch(t).image_ids[1:3] for t in (2, 3)]
    assert torch.equal(made[1].images, source.batch(3, slice(1, 3)).images)


# Pixels, boxes and labels

TRANSFORMS = [(mirror, turns) for mirror in (False, True) for turns in range(4)]


@pytest.mark.parametrize(("mirror", "turns"), TRANSFORMS)
def test_a_pixel_stays_in_its_box(mirror: bool, turns: int) -> None:
    """Box and mask of one pixel, at every place of an image of 3 x 3; each pixel has a color of its own."""
    pixels = np.arange(27, dtype=np.uint8).reshape(1, 3, 3, 3)
    for y in range(3):
        for x in range(3):
            masks = np.zeros((1, 3, 3), np.uint8)
            masks[0, y, x] = 7
            source = batches(
                image_set(1, 3, 3, images=pixels, masks=masks, boxes=[[(x, y, x + 1, y + 1)]], labels=[[5]])
            )
            seen, boxes, labels, mask, several = source._sample(0, mirror, turns)
            (x1, y1, x2, y2) = boxes[0].astype(int).tolist()
            assert (x2 - x1, y2 - y1) == (1, 1) and seen[y1, x1].tolist() == pixels[0, y, x].tolist()
            assert mask is not None and mask[y1, x1] == 7 and np.asarray(mask).sum() == 7
            assert labels.tolist() == [5] and labels.dtype == np.int64 and boxes.dtype == np.float32
            assert several.shape == (0, 4)


def test_mirroring_of_a_wide_image_by_hand() -> None:
    images = image_set(1, 2, 6, boxes=[[(1, 0, 3, 2), (0, 1, 6, 2)]], labels=[[0, 1]])
    seen, boxes, _, mask, _ = batches(images)._sample(0, True, 0)
    assert boxes.tolist() == [[3, 0, 5, 2], [0, 1, 6, 2]] and mask is None
    assert np.array_equal(seen, np.asarray(images.images[0])[:, ::-1])


def test_a_quarter_turn_by_hand() -> None:
    """Counter-clockwise: what was at the right is at the top."""
    images = image_set(1, 4, 4, boxes=[[(3, 0, 4, 2)]], labels=[[0]])
    assert batches(images)._sample(0, False, 1)[1].tolist() == [[0, 0, 2, 1]]
    assert batches(images)._sample(0, False, 2)[1].tolist() == [[0, 2, 1, 4]]
    assert batches(images)._sample(0, False, 3)[1].tolist() == [[2, 3, 4, 4]]
    assert batches(images)._sample(0, True, 1)[1].tolist() == [[0, 3, 2, 4]]


@pytest.mark.parametrize(("flip", "quarter_turns"), [(False, False), (True, False), (False, True), (True, True)])
def test_what_is_mirrored_and_turned_is_drawn_for_each_place_of_a_batch(flip: bool, quarter_turns: bool) -> None:
    images = small_set(5, masks=np.arange(80, dtype=np.uint8).reshape(5, 4, 4))
    source = batches(images, flip=flip, quarter_turns=quarter_turns)
    for t in (0, 3):
        batch, rows = source.batch(t), source.indices(t)
        draws = np.random.Generator(np.random.PCG64([3, 1, t])).random((4, 2))
        for k, row in enumerate(rows):
            want, mask = np.asarray(images.images[row]), np.asarray(images.masks[row])  # type: ignore[index]
            if flip and draws[k, 0] < 0.5:
                want, mask = want[:, ::-1], mask[:, ::-1]
            turns = int(draws[k, 1] * 4) if quarter_turns else 0
            want, mask = np.rot90(want, turns), np.rot90(mask, turns)
            assert np.array_equal(batch.images[k].numpy(), want.transpose(2, 0, 1))
            assert batch.masks is not None and np.array_equal(batch.masks[k].numpy(), mask)


def test_types_and_order_of_a_batch() -> None:
    images = small_set(5, image_labels=[4, -1, 2, 1, 0], boxes=[[(0, 0, k, k)] * k for k in range(5)])
    images = replace(images, masks=np.full((5, 4, 4), 255, np.uint8))
    source = batches(images, flip=False, quarter_turns=False)
    batch, rows = source.batch(1), source.indices(1)
    assert batch.images.dtype == torch.uint8 and batch.images.shape == (4, 3, 4, 4) and batch.images.is_contiguous()
    assert batch.masks is not None and batch.masks.dtype == torch.int64 and (batch.masks == 255).all()
    assert batch.image_labels.dtype == torch.int64 and batch.image_labels.tolist() == images.image_labels[rows].tolist()
    assert batch.image_ids == [f"i{k}" for k in rows] and all(type(name) is str for name in batch.image_ids)
    assert [b.shape for b in batch.boxes_xyxy] == [(k, 4) for k in rows]
    assert all(b.dtype == torch.float32 for b in batch.boxes_xyxy)
    assert all(k.dtype == torch.int64 for k in batch.box_labels)
    assert batch.seeds is not None and batch.seeds.tolist() == draw_seeds(3, 1, 4).tolist()
    assert batch.group_of is None and batch.ignored is None and batch.label_table is None
    part = source.batch(1, slice(1, 3))
    assert part.image_ids == batch.image_ids[1:3] and torch.equal(part.masks, batch.masks[1:3])  # type: ignore[arg-type]
    assert part.seeds is not None and part.seeds.tolist() == batch.seeds[1:3].tolist() and len(part) == 2
    assert torch.equal(part.image_labels, batch.image_labels[1:3])


def test_several_labels_an_image_come_along() -> None:
    labels = np.arange(25, dtype=np.int8).reshape(5, 5) % 3 - 1
    source = batches(replace(small_set(5), label_table=labels))
    batch = source.batch(2)
    assert batch.label_table is not None and batch.label_table.dtype == torch.int8
    assert batch.label_table.tolist() == labels[source.indices(2)].tolist()
    part = source.batch(2, slice(1, 3)).label_table
    assert part is not None and torch.equal(part, batch.label_table[1:3])


def test_a_part_of_a_batch_is_mirrored_as_the_whole_is() -> None:
    source = batches(small_set(5))
    for t in range(4):
        assert torch.equal(
            torch.cat([source.batch(t, slice(k, k + 1)).images for k in range(4)]), source.batch(t).images
        )


def test_which_boxes_are_targets_and_which_are_of_several() -> None:
    """Of one image: an object, a difficult one, a crowd, a group, an occluded and truncated one, a difficult crowd."""
    flags = [0, DIFFICULT, CROWD, GROUP_OF, OCCLUDED | TRUNCATED, DIFFICULT | CROWD]
    boxes = [(k, 0, k + 1, 2) for k in range(6)]
    images = image_set(2, 8, 8, boxes=[boxes, [(0, 0, 1, 1)]], labels=[list(range(6)), [9]], flags=[flags, [0]])
    batch = batches(images, batch_size=2, flip=False, quarter_turns=False).batch(0)
    place = batch.image_ids.index("i0")
    assert batch.box_labels[place].tolist() == [0, 4] and batch.box_labels[1 - place].tolist() == [9]
    assert batch.boxes_xyxy[place].tolist() == [[0, 0, 1, 2], [4, 0, 5, 2]]
    assert batch.group_of is not None and batch.group_of[place][:, 0].tolist() == [2, 3, 5]
    assert batch.group_of[1 - place].shape == (0, 4)


def test_only_square_images_are_turned() -> None:
    assert batches(image_set(2, 4, 4)).quarter_turns
    assert not batches(image_set(2, 4, 4), quarter_turns=False).quarter_turns
    assert not batches(image_set(2, 4, 3)).quarter_turns and not batches(image_set(2, 3, 4)).quarter_turns
    assert batches(image_set(3, 4, 3)).batch(0).images.shape == (4, 3, 4, 3)


# Evaluation


@pytest.mark.parametrize(("size", "stops"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (4, [4, 5]), (5, [5]), (6, [5])])
def test_slices_cover_a_set_once(size: int, stops: list[int]) -> None:
    parts = in_order(small_set(5), size)
    assert [p.stop for p in parts] == stops and [p.start for p in parts] == [0, *stops[:-1]]


def test_pixels_of_a_slice() -> None:
    images = image_set(3, 2, 4)
    seen = pixels_of(images, slice(1, 3))
    assert seen.shape == (2, 3, 2, 4) and seen.dtype == torch.uint8 and seen.device.type == "cpu"
    assert np.array_equal(seen.numpy(), np.asarray(images.images[1:3]).transpose(0, 3, 1, 2)) and seen.is_contiguous()
    assert pixels_of(images, slice(0, 1), torch.device("meta")).device.type == "meta"
