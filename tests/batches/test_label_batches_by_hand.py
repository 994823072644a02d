"""Batches of labelled images against what is worked by hand: numbers drawn, parts of images, labels, types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.batches.batch import draw_seeds
from headstart.batches.label_batches import (
    ASPECTS,
    LEAST_AREA,
    TRIES,
    LabelBatches,
    LabelImages,
    random_part,
    to_square,
)
from headstart.batches.label_source import label_source
from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.errors import DataError
from headstart.places.images import read_rgb, resize_rgb
from headstart.places.paths import DataPath, Folder

CLASSES = ("ant", "bee", "cow", "dog")


def lists(*of: list[int]) -> tuple[Any, Any]:
    return np.cumsum([0, *map(len, of)]).astype(np.int64), np.array([c for own in of for c in own], np.int32)


# Batches


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataPath:
    """Six images of noise, 20 x 30 pixels (w x h)."""
    out = tmp_path_factory.mktemp("noise")
    for k in range(6):
        pixels = np.random.default_rng(k).integers(0, 256, (30, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(out / f"{k}.png")
    return DataPath(Folder(str(out)))


def noise(folder: DataPath, **more: Any) -> Annotations:
    names = [f"{k}.png" for k in range(6)]
    given: dict = {"image_labels": [0, 1, 2, 0, 1, 2], "image_classes": CLASSES[:3]} | more
    return annotate(
        folder, "made", [f"n{k}" for k in range(6)], names, sizes_hw=[(30, 20)] * 6, splits=["train"] * 6, **given
    )


def batches(of: Annotations, rows: Any = range(6), **changes: Any) -> LabelBatches:
    return LabelBatches(of, rows, **{"size": 8, "batch_size": 4, "seed": 3, "flip": True} | changes)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("least_area", [None, 0.5, 1.0])
def test_parts_and_mirroring_are_drawn_for_each_place_of_a_batch(
    folder: DataPath, flip: bool, least_area: float | None
) -> None:
    of = noise(folder)
    rows = [5, 0, 3, 1, 2]
    source = batches(of, rows, flip=flip, **({} if least_area is None else {"least_area": least_area}))
    for t in range(3):
        batch = source.batch(t)
        order = np.concatenate([np.random.Generator(np.random.PCG64([3, 0, e])).permutation(5) for e in range(3)])
        own = [rows[k] for k in order[4 * t : 4 * t + 4]]
        draws = np.random.Generator(np.random.PCG64([3, 1, t])).random((4, 41))
        for k, row in enumerate(own):
            whole = read_rgb(of.image_path(row))
            part = random_part((30, 20), draws[k, 1:].reshape(10, 4), LEAST_AREA if least_area is None else least_area)
            want = to_square(whole[part[1] : part[3], part[0] : part[2]], 8)
            assert torch.equal(batch.images[k], want.flip(2) if flip and draws[k, 0] < 0.5 else want)
        assert batch.image_ids == [f"n{row}" for row in own] and batch.image_labels.tolist() == [r % 3 for r in own]
        assert batch.seeds is not None and batch.seeds.tolist() == draw_seeds(3, t, 4).tolist()
        part_of = source.batch(t, slice(1, 3))
        assert torch.equal(part_of.images, batch.images[1:3]) and part_of.image_ids == batch.image_ids[1:3]
        assert part_of.seeds is not None and part_of.seeds.tolist() == batch.seeds[1:3].tolist()
        assert len(part_of.boxes_xyxy) == len(part_of.box_labels) == 2


def test_types_of_a_batch(folder: DataPath) -> None:
    batch = batches(noise(folder)).batch(0)
    assert batch.images.dtype == torch.uint8 and batch.images.shape == (4, 3, 8, 8)
    assert batch.image_labels.dtype == torch.int64 and batch.label_table is None and batch.masks is None
    assert [b.shape for b in batch.boxes_xyxy] == [(0, 4)] * 4 and batch.boxes_xyxy[0].dtype == torch.float32
    assert [k.shape for k in batch.box_labels] == [(0,)] * 4 and batch.box_labels[0].dtype == torch.int64
    several = noise(folder, image_labels=None, present=lists([0, 1], [2], [1], [], [0], [2, 0]))
    with pytest.raises(DataError, match="nothing is known of what image 'n3' shows"):
        batches(several)
    source = batches(several, [0, 1, 2, 4, 5])
    table = source.batch(0)
    wanted = {"n0": [1, 1, 0], "n1": [0, 0, 1], "n2": [0, 1, 0], "n4": [1, 0, 0], "n5": [1, 0, 1]}
    assert table.label_table is not None and table.label_table.dtype == torch.int8
    assert table.label_table.tolist() == [wanted[name] for name in table.image_ids]
    assert table.image_labels.tolist() == [-1] * 4


def test_what_is_asked_is_kept(folder: DataPath) -> None:
    of = noise(folder)
    source = batches(of, [4, 2, 0])
    assert source.rows.tolist() == [4, 2, 0] and source.rows.dtype == np.int64 and source.count == 3
    assert (source.size, source.flip, source.least_area, source.batch_size, source.seed) == (8, True, 0.08, 4, 3)
    assert source.annotations is of and source.source.classes == CLASSES[:3]
    assert LEAST_AREA == 0.08 and TRIES == 10 and ASPECTS == (3 / 4, 4 / 3)


def test_classes_without_examples_in_batches(folder: DataPath) -> None:
    of = noise(folder)
    with pytest.raises(DataError, match=r"1 of 3 classes have no example among the 2 training images: 'cow'\. "):
        batches(of, [0, 1])
    assert batches(of, [0, 1], without_examples="leave_out").source.classes == ("ant", "bee")


@pytest.mark.parametrize("least_area", [0, -0.1, 1.001, 2, float("nan")])
def test_a_least_area_that_is_no_share_is_refused(folder: DataPath, least_area: float) -> None:
    with pytest.raises(ValueError) as fault:
        batches(noise(folder), least_area=least_area)
    assert str(fault.value) == (f"least_area is {least_area}; it is a share of the image, above 0 and at most 1")
    batches(noise(folder), least_area=0.001)
    batches(noise(folder), least_area=1)


# Evaluation


@pytest.mark.parametrize("resize", [None, "crop", "stretch"])
def test_images_to_evaluate_on(folder: DataPath, resize: Any) -> None:
    of = noise(folder, image_labels=[0, 1, -1, 0, 1, 2])
    source = label_source(of)
    images = LabelImages(source, [5, 2, 0, 1], 8, *([resize] if resize else []))
    assert images.rows.tolist() == [5, 0, 1] and len(images) == 3 and images.left_out == 1
    assert images.image_labels.tolist() == [2, 0, 1] and images.image_labels.dtype == np.int64
    assert images.label_table is None and images.source is source and images.size == 8
    pixels = images.pixels(slice(1, 3))
    assert pixels.shape == (2, 3, 8, 8) and pixels.dtype == torch.uint8 and pixels.is_contiguous()
    for k, row in enumerate((0, 1)):
        want = resize_rgb(read_rgb(of.image_path(row)), (8, 8), resize or "crop")
        assert np.array_equal(pixels[k].permute(1, 2, 0).numpy(), want)


def test_tables_to_evaluate_on(folder: DataPath) -> None:
    source = label_source(noise(folder, image_labels=None, present=lists([0, 1], [2], [1], [], [0], [2, 0])))
    images = LabelImages(source, range(1, 6), 8)
    assert images.rows.tolist() == [1, 2, 4, 5] and images.left_out == 1 and images.image_labels.tolist() == [-1] * 4
    assert images.label_table is not None
    assert images.label_table.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 1]]


# Parts


def test_squares_are_bilinear_and_antialiased() -> None:
    """To half its size: weights 1/8, 3/8, 3/8, 1/8 around each pixel, those outside left out and the rest made to 1."""
    line = np.array([0, 80, 160, 240, 0, 40], np.uint8)
    image = np.repeat(np.repeat(line[None, :, None], 6, axis=0), 3, axis=2)
    found = to_square(image, 3)
    weights = np.array([[3, 3, 1, 0, 0, 0], [0, 1, 3, 3, 1, 0], [0, 0, 0, 1, 3, 3]], float)
    wanted = (weights / weights.sum(1, keepdims=True)) @ line
    assert found.shape == (3, 3, 3) and found.dtype == torch.uint8
    assert (np.abs(found.numpy() - wanted) <= 1).all()
    assert torch.equal(to_square(image, 6), torch.from_numpy(image.transpose(2, 0, 1).copy()))
    turned = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert torch.equal(to_square(turned[::-1, ::2], 4), to_square(turned[::-1, ::2].copy(), 4))


def one(area: float, aspect: float, down: float, across: float, least: float) -> list[float]:
    """Draws for a part of this share of the image and this aspect."""
    low, high = np.log(ASPECTS)
    return [(area - least) / (1 - least), (np.log(aspect) - low) / (high - low), down, across]


@pytest.mark.parametrize(
    ("size", "draws", "least", "part"),
    [
        # 600 of 2400 pixels at aspect 1.2: 26.83 x 22.36, at the first and the last place
        ((40, 60), (0.25, 1.2, 0.0, 0.0), 0.08, (0, 0, 27, 22)),
        ((40, 60), (0.25, 1.2, 0.999, 0.999), 0.08, (33, 18, 60, 40)),
        # half of the way: 19 places down, 34 across
        ((40, 60), (0.25, 1.2, 0.5, 0.5), 0.08, (17, 9, 44, 31)),
        # tall: 21.2 x 28.3
        ((40, 60), (0.25, 0.75, 0.25, 0.75), 0.2, (30, 3, 51, 31)),
        # exactly as wide, and as high, as the image
        ((40, 30), (0.75, 1.0, 0.9, 0.9), 0.1, (0, 9, 30, 39)),
        ((30, 40), (0.75, 1.0, 0.9, 0.9), 0.1, (9, 0, 39, 30)),
    ],
)
def test_parts_by_hand(size: Any, draws: Any, least: float, part: Any) -> None:
    given = np.full((TRIES, 4), 0.999)
    given[0] = one(*draws, least)
    assert random_part(size, given, least) == part
    assert all(type(v) is int for v in random_part(size, given, least))


def test_the_first_part_that_fits_is_taken() -> None:
    """Almost all of 40 x 30 pixels at aspect 3/4 is too high; the last of ten draws is 30 x 30."""
    draws = np.array([*[one(0.999, 0.75, 0, 0, 0.1)] * 9, one(0.75, 1.0, 0.9, 0.9, 0.1)])
    assert random_part((30, 40), draws, 0.1) == (9, 0, 39, 30)
    draws[4] = one(0.25, 0.75, 0.5, 0.5, 0.1)  # 15 x 20
    assert random_part((30, 40), draws, 0.1) == (13, 5, 28, 25)


def test_the_default_least_area_of_a_part() -> None:
    draws = np.random.default_rng(0).random((50, TRIES, 4))
    for draw in draws:
        assert random_part((40, 60), draw) == random_part((40, 60), draw, 0.08)
    assert any(random_part((40, 60), draw) != random_part((40, 60), draw, 0.1) for draw in draws)


@pytest.mark.parametrize(
    ("size", "part"),
    [
        ((12, 9), (0, 0, 9, 12)),  # 3/4 itself: all of it
        ((9, 12), (0, 0, 12, 9)),
        ((12, 8), (0, 0, 8, 11)),  # 8 / 0.75 = 10.67
        ((14, 8), (0, 1, 8, 12)),
        ((15, 8), (0, 2, 8, 13)),
        ((8, 12), (0, 0, 11, 8)),  # 8 * 4/3 = 10.67
        ((8, 15), (2, 0, 13, 8)),
        ((1, 1), (0, 0, 1, 1)),
        ((1, 5), (2, 0, 3, 1)),
        ((5, 1), (0, 2, 1, 3)),
    ],
)
def test_the_center_where_nothing_fits(size: Any, part: Any) -> None:
    """All ten are twice as large as the image."""
    assert random_part(size, np.full((TRIES, 4), [4.0, 0.5, 0.5, 0.5]), 0.5) == part


def test_all_of_the_image() -> None:
    draws = np.zeros((TRIES, 4))
    assert random_part((7, 9), draws, 1.0) == (0, 0, 9, 7) and random_part((7, 9), draws, 1) == (0, 0, 9, 7)
    assert random_part((100, 100), draws + 0.5, 0.5) == (7, 7, 94, 94)


def test_parts_of_no_pixels_are_not_taken(tmp_path: Path) -> None:
    """A share of one in ten thousand of 20 x 20 pixels is nothing; the next draw is one of 10 x 10."""
    draws = np.tile([0.0, 0.5, 0.0, 0.0], (TRIES, 1))
    draws[1] = one(0.25, 1.0, 0.0, 0.0, 0.0001)
    assert random_part((20, 20), draws, 0.0001) == (0, 0, 10, 10)
