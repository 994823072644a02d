"""Random windows at random scales: worked by hand, and pixels, masks and boxes move together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.batches.chips.cutting import PADDING
from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.batches.windows import WHOLE, Window, Windows
from headstart.progress import silent
from headstart.world.shapes import draw_set

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
MASK = np.arange(24, dtype=np.uint8).reshape(4, 6)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    draw_set("base", 10, 0, 64, out=(out := tmp_path_factory.mktemp("drawn")), progress=silent)
    return ImageSet.open(Path(out))


def batches(images: ImageSet, windows: Windows, **changes: object) -> Batches:
    given: dict = {"batch_size": 4, "seed": 3, "flip": False, "quarter_turns": False} | changes
    return Batches(images, windows=windows, **given)


def test_a_window_inside_is_the_pixels_there() -> None:
    window = Window((4, 6), (1, 2), (2, 3))
    assert np.array_equal(window.pixels(IMAGE), IMAGE[1:3, 2:5])
    assert np.array_equal(window.mask(MASK), MASK[1:3, 2:5])


def test_what_is_beyond_the_image_is_gray_and_ignored() -> None:
    """Four rows of five, six columns of eight."""
    window = Window((4, 6), (0, 0), (5, 8))
    pixels, mask = window.pixels(IMAGE), window.mask(MASK)
    assert window.seen_hw == (4, 6)
    assert np.array_equal(pixels[:4, :6], IMAGE) and np.array_equal(mask[:4, :6], MASK)
    assert (pixels[4] == PADDING).all() and (pixels[:, 6:] == PADDING).all()
    assert (mask[4] == 255).all() and (mask[:, 6:] == 255).all()


def test_twice_as_large_every_pixel_is_four() -> None:
    """Rows 3 to 6 of eight are the second half of row 1, all of row 2, the first half of row 3."""
    window = Window((8, 12), (3, 4), (4, 2))
    assert window.mask(MASK).tolist() == [[8, 8], [14, 14], [14, 14], [20, 20]]
    flat = np.full((4, 6, 3), 77, np.uint8)
    assert (window.pixels(flat) == 77).all()


def test_boxes_by_hand() -> None:
    boxes = np.array([[1, 1, 3, 2], [5, 0, 6, 4]], np.float32)
    # Twice as large [2, 2, 6, 4] and [10, 0, 12, 8]; from (4, 3) on [-2, -1, 2, 1] and [6, -3, 8, 5], in 4 x 2 pixels.
    moved = Window((8, 12), (3, 4), (4, 2)).boxes(boxes, (4, 6))
    assert moved.dtype == np.float32 and moved.tolist() == [[0, 0, 2, 1], [2, 0, 2, 4]]


@pytest.mark.parametrize(
    ("draws", "scaled", "begin"),
    [
        ((0.0, 0.0, 0.0), (32, 48), (0, 0)),
        ((0.999, 0.0, 0.0), (128, 192), (0, 0)),
        ((1 / 3, 0.999, 0.0), (64, 96), (24, 0)),  # a factor of 1: 25 rows where a window of 40 can begin
        ((1 / 3, 0.5, 0.999), (64, 96), (12, 56)),
    ],
)
def test_draws_by_hand(draws: tuple[float, ...], scaled: tuple[int, int], begin: tuple[int, int]) -> None:
    window = Windows(40, (0.5, 2.0)).drawn((64, 96), np.array(draws))
    assert window == Window(scaled, begin, (40, 40))


def test_every_place_is_as_likely() -> None:
    """Five places in each direction, 2,500 draws: within four standard deviations of 500."""
    rng = np.random.default_rng(0)
    begins = np.array([Windows(8).drawn((12, 12), rng.random(3)).begin_yx for _ in range(2500)])
    for side in begins.T:
        assert np.bincount(side, minlength=5) == pytest.approx([500] * 5, abs=80)


def test_whole_images_at_their_size_are_untouched(drawn: ImageSet) -> None:
    plain, large = (batches(drawn, windows).batch(1) for windows in (WHOLE, Windows(64)))
    assert not WHOLE and Windows(64)
    assert (plain.images == large.images).all() and plain.masks is not None and large.masks is not None
    assert (plain.masks == large.masks).all()
    for a, b in zip(plain.boxes_xyxy, large.boxes_xyxy, strict=True):
        assert (a == b).all()


def test_jitter_alone_keeps_the_size_and_a_batch_is_a_function_of_seed_and_number(drawn: ImageSet) -> None:
    jittered = Windows(0, (0.5, 2.0))
    a, b = (batches(drawn, jittered).batch(6) for _ in range(2))
    assert a.images.shape == (4, 3, 64, 64) and (a.images == b.images).all()
    half = batches(drawn, jittered).batch(6, slice(2, 4))
    assert (half.images == a.images[2:]).all()
    assert not (batches(drawn, jittered, seed=4).batch(6).images == a.images).all()


def test_boxes_masks_and_pixels_move_together(drawn: ImageSet) -> None:
    """Mirrored, turned, enlarged and cut, each box is still the extent of its class in the mask, within a pixel and a
    half, and holds it where the window cuts it; padding is where the mask is ignored."""
    checked = padded = 0
    for t in range(20):
        batch = batches(drawn, Windows(48, (0.5, 1.5)), flip=True, quarter_turns=True).batch(t)
        assert batch.masks is not None and batch.images.shape == (4, 3, 48, 48)
        for k, mask in enumerate(batch.masks.numpy()):
            gray = (batch.images[k].numpy() == np.array(PADDING)[:, None, None]).all(0)
            assert (gray[mask == 255]).all()
            padded += int((mask == 255).any())
            for label in batch.box_labels[k].unique():
                own = batch.boxes_xyxy[k][batch.box_labels[k] == label].numpy()
                ys, xs = np.nonzero(mask == int(label) + 1)
                extent = np.array([xs.min(), ys.min(), -xs.max() - 1, -ys.max() - 1]) if len(ys) else np.full(4, 99)
                union = np.array([*own[:, :2].min(0), *-own[:, 2:].max(0)])
                assert (extent > union - 1.5).all()
                if (own[:, :2] > 0).all() and (own[:, 2:] < 48).all() and not (mask == 255).any():
                    assert extent == pytest.approx(union, abs=1.5)
                    checked += 1
    assert checked > 10 and padded > 10
