"""Chips cut by hand, and the order of an epoch's chips written out step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from headstart.batches.chips.arranging import LANE, ChipOrder, arrange, groups
from headstart.batches.chips.cutting import PADDING, cut, rounded_origin, shrunk

NOISE = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)


def cut_out(
    factor: float, origin: tuple[float, float], size: tuple[int, int], canvas: tuple[int, int], **changes: object
) -> NDArray[np.uint8]:
    out = np.full((*canvas, 3), 77, np.uint8)
    given: dict = {"scaled": {}, "out": out} | changes
    cut(NOISE, factor, np.array(origin), np.array(size), **given)
    return out


# Cutting


@pytest.mark.parametrize("mirror", [False, True])
def test_a_chip_at_the_image_s_own_size_is_its_pixels(mirror: bool) -> None:
    """From (3, 2), 5 rows of 7 pixels; what is beyond is of the padding's color, also where the chip is mirrored."""
    out = cut_out(1.0, (3.0, 2.0), (5, 7), (9, 11), mirror=mirror)
    part = NOISE[2:7, 3:10]
    assert np.array_equal(out[:5, :7], part[:, ::-1] if mirror else part)
    assert (out[5:] == PADDING).all() and (out[:5, 7:] == PADDING).all()


def test_chips_are_not_mirrored_unless_said() -> None:
    for factor in (1.0, 0.5, 1.5):
        given = (factor, (1.0, 1.0), (4, 5), (6, 6))
        assert np.array_equal(cut_out(*given), cut_out(*given, mirror=False))
        assert not np.array_equal(cut_out(*given), cut_out(*given, mirror=True))


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.6])
def test_a_full_chip_has_no_padding_and_mirrors_within_itself(factor: float) -> None:
    plain = cut_out(factor, (1.0, 1.0), (4, 5), (4, 5))
    mirrored = cut_out(factor, (1.0, 1.0), (4, 5), (4, 5), mirror=True)
    assert np.array_equal(mirrored, plain[:, ::-1])
    wide = cut_out(factor, (1.0, 1.0), (4, 5), (6, 8), mirror=True)
    assert np.array_equal(wide[:4, :5], mirrored) and (wide[4:] == PADDING).all() and (wide[:, 5:] == PADDING).all()


def test_origins_are_whole_pixels_unless_enlarged() -> None:
    origin = np.array([3.75, 2.5])
    assert rounded_origin(1.0, origin).tolist() == [3, 2] and rounded_origin(0.5, origin).tolist() == [3, 2]
    assert rounded_origin(1.001, origin) is origin
    assert np.array_equal(cut_out(1.0, (3.75, 2.5), (5, 7), (5, 7)), NOISE[2:7, 3:10])
    half = shrunk(NOISE, 0.5)
    assert np.array_equal(cut_out(0.5, (2.9, 1.9), (3, 4), (3, 4)), half[1:4, 2:6])


def test_an_enlarged_chip_is_bilinear_at_exact_places() -> None:
    """Twice as large, from 1/2: pixel k is at (k + 1) / 2 - 1/2 = k / 2, so every second one is the image's own."""
    out = cut_out(2.0, (0.5, 0.5), (9, 11), (9, 11))
    assert np.array_equal(out[::2, ::2], NOISE[:5, :6])
    want = np.empty((9, 11, 3))
    for r in range(9):
        for c in range(11):
            y, x = r / 2, c / 2
            a, b = int(y), int(x)
            rows = NOISE[a : a + 2].astype(float)
            line = rows[0] * (1 - (y - a)) + rows[1] * (y - a)
            want[r, c] = line[b] * (1 - (x - b)) + line[b + 1] * (x - b)
    assert np.array_equal(out, np.floor(want + 0.5).astype(np.uint8))


def test_an_image_is_shrunk_once_for_all_its_chips() -> None:
    kept: dict[float, NDArray[np.uint8]] = {}
    first = cut_out(0.5, (0.0, 0.0), (3, 4), (3, 4), scaled=kept)
    assert list(kept) == [0.5] and np.array_equal(kept[0.5], shrunk(NOISE, 0.5))
    assert np.array_equal(first, kept[0.5][:3, :4])
    kept[0.5] = np.full((6, 8, 3), 9, np.uint8)
    assert (cut_out(0.5, (0.0, 0.0), (3, 4), (3, 4), scaled=kept) == 9).all()
    assert not (cut_out(0.6, (0.0, 0.0), (3, 4), (3, 4), scaled=kept) == 9).all() and sorted(kept) == [0.5, 0.6]
    cut_out(2.0, (0.0, 0.0), (3, 4), (3, 4), scaled=kept)
    assert sorted(kept) == [0.5, 0.6], "enlarged parts are read from the image"
    cut_out(1.0, (0.0, 0.0), (3, 4), (3, 4), scaled=kept)
    assert kept[1.0] is NOISE


@pytest.mark.parametrize(
    ("factor", "size"), [(0.5, (6, 8)), (0.3, (3, 5)), (0.99, (11, 16)), (0.01, (1, 1)), (0.07, (1, 1))]
)
def test_sides_of_shrunk_images_are_rounded_down(factor: float, size: tuple[int, int]) -> None:
    small = shrunk(NOISE, factor)
    assert small.shape == (*size, 3) and small.dtype == np.uint8 and small.flags.c_contiguous
    pixels = torch.from_numpy(NOISE.astype(np.float32)).permute(2, 0, 1)[None]
    exact = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    assert np.abs(small - exact).max() <= 1.01


def test_images_that_may_not_be_written_to_are_shrunk_too() -> None:
    fixed = NOISE.copy()
    fixed.flags.writeable = False
    for image in (fixed, NOISE[::-1][::-1], np.asfortranarray(NOISE)):
        assert np.array_equal(shrunk(image, 0.5), shrunk(NOISE, 0.5)) and shrunk(image, 1.0) is image
    assert np.array_equal(shrunk(NOISE[:, ::-1], 1), NOISE[:, ::-1])


# The order of an epoch


def arranged(
    images: list[int], buckets: list[int], size: int, window: int, seed: int, epoch: int
) -> tuple[list[list[int]], list[int]]:
    """As the module says, with lists: images in random order, lanes of consecutive chips, each shuffled in itself."""
    draw = np.random.Generator(np.random.PCG64([seed, 0, epoch]))
    place = draw.permutation(max(images) + 1).tolist()
    by_image = sorted(range(len(images)), key=lambda chip: place[images[chip]])
    lane = math.gcd(size, LANE)
    together = max(1, window // lane)
    parts = []
    for bucket in sorted(set(buckets)):
        chips = [chip for chip in by_image if buckets[chip] == bucket]
        count = math.ceil(len(chips) / size)
        chips = (chips * size)[: count * size]
        for begin in range(0, count, together):
            own = min(together, count - begin)
            block = np.array(chips[begin * size : (begin + own) * size]).reshape(size // lane, own * lane)
            lanes = draw.permuted(block, axis=1)
            parts.append([[int(c) for row in lanes for c in row[k * lane : (k + 1) * lane]] for k in range(own)])
    order = draw.permutation(len(parts)).tolist()
    starts = [0]
    for k in order:
        starts.append(starts[-1] + len(parts[k]))
    return [batch for k in order for batch in parts[k]], starts


@pytest.mark.parametrize(
    ("size", "window"), [(4, 8), (4, 9), (4, 1), (6, 4), (32, 16), (32, 40), (48, 1000), (1, 1), (1, 3)]
)
def test_the_order_written_out(size: int, window: int) -> None:
    rng = np.random.default_rng(size + window)
    for chips, epoch in ((57, 0), (90, 3), (1, 1)):
        images, buckets = np.sort(rng.integers(0, 20, chips)), rng.integers(0, 3, chips)
        found = arrange(images, buckets, size, window, seed=7, epoch=epoch)
        batches, windows = arranged(images.tolist(), buckets.tolist(), size, window, 7, epoch)
        assert found.chips.tolist() == batches and found.windows.tolist() == windows
        assert found.chips.dtype == np.int32 and found.windows.dtype == np.int64 and len(found) == len(batches)


def test_an_image_s_chips_stay_in_its_window() -> None:
    """40 images of 4 chips; each window of 4 batches of 4 holds 4 whole images."""
    found = arrange(np.repeat(np.arange(40), 4), np.zeros(160, int), 4, 16, seed=0, epoch=0)
    assert found.windows.tolist() == list(range(0, 41, 4))
    for begin in range(0, 40, 4):
        images, counts = np.unique(found.chips[begin : begin + 4] // 4, return_counts=True)
        assert len(images) == 4 and counts.tolist() == [4] * 4
    assert len(ChipOrder(np.zeros((3, 2), np.int32), np.array([0, 3]))) == 3


@pytest.mark.parametrize(
    ("first", "stop", "expected"),
    [
        (0, 9, [(0, 3), (3, 4), (4, 9)]),
        (0, 3, [(0, 3)]),
        (1, 4, [(1, 3), (3, 4)]),
        (3, 4, [(3, 4)]),
        (2, 3, [(2, 3)]),
        (4, 5, [(4, 5)]),
        (5, 99, [(5, 9)]),
        (9, 12, []),
        (3, 3, []),
        (2, 8, [(2, 3), (3, 4), (4, 8)]),
    ],
)
def test_windows_are_cut_to_the_steps_that_are_asked(first: int, stop: int, expected: list[tuple[int, int]]) -> None:
    assert list(groups(np.array([0, 3, 4, 9]), first, stop)) == expected
    assert list(groups(np.array([0, 3, 3, 4, 9]), first, stop)) == expected, "an empty window has no steps"
