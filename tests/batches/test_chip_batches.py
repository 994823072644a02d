"""Batches of chips: what is in them, whoever makes them, and each image decoded once a window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from headstart.batches.chips import batches as chip_batches
from headstart.batches.chips.arranging import LANE, arrange
from headstart.batches.chips.batches import ChipBatches
from headstart.batches.chips.cutting import PADDING, cut
from headstart.batches.chips.epochs import ChipEpochs, ChipLayout, whole_images
from headstart.batches.chips.scales import Scale
from headstart.data.annotations import Annotations
from headstart.errors import DataError
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.train.distributed import ALONE, World
from headstart.train.loaders import fetched
from headstart.world.shapes import write_coco

SCALES = (Scale("factor", 2.0, 0, 40), Scale("factor", 1.0, 20, 70), Scale("longest", 96, 50))
CHIPS = ChipLayout("chips", SCALES, chip=96)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Annotations:
    out = tmp_path_factory.mktemp("drawn")
    write_coco("base", 12, 0, 128, out=out, progress=silent)
    return open_dataset(out)


def batches(drawn: Annotations, layout: ChipLayout = CHIPS, **changes: object) -> ChipBatches:
    given: dict = {"batch_size": 4, "seed": 3, "flip": True, "window": 16} | changes
    return ChipBatches(drawn, layout, **given)


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)  # type: ignore[arg-type]
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))  # type: ignore[arg-type]
    return a == b


@pytest.mark.slow
def test_the_same_batches_whatever_was_asked_before_and_whoever_makes_them(drawn: Annotations, tmp_path: Path) -> None:
    made, again = batches(drawn), batches(drawn, folder=tmp_path / "chips")
    stop = 2 * made.per_epoch + 3
    one_by_one = [again.batch(t) for t in reversed(range(stop))][::-1]
    for workers in (0, 2):
        found = list(fetched(made, 1, stop, ALONE, workers=workers))
        assert [step for step, _ in found] == list(range(1, stop))
        for step, batch in found:
            for name, value in vars(batch).items():
                assert same(value, getattr(one_by_one[step], name)), (workers, step, name)
    halves = [dict(fetched(batches(drawn), 1, 5, World(rank, 2), workers=0)) for rank in (0, 1)]
    for step in range(1, 5):
        assert torch.equal(torch.cat([h[step].images for h in halves]), one_by_one[step].images)
        assert halves[0][step].image_ids + halves[1][step].image_ids == one_by_one[step].image_ids
    assert not same(batches(drawn, seed=4).batch(0).images, one_by_one[0].images)


def test_every_chip_comes_once_an_epoch_and_each_image_is_decoded_once_a_window(
    drawn: Annotations, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = batches(drawn, window=10**6)
    order = source._order(0)
    seen, count = np.unique(order.chips, return_counts=True)
    assert len(seen) == source.count and count.sum() == source.per_epoch * 4 and count.max() <= 2
    decoded: list[str] = []
    read = chip_batches.read_rgb
    monkeypatch.setattr(chip_batches, "read_rgb", lambda path, size: decoded.append(str(path)) or read(path, size))
    [steps] = list(source.together(0, source.per_epoch))
    source.made(steps, slice(None))
    assert len(decoded) == len(set(decoded)) == 12
    decoded.clear()
    for t in range(source.per_epoch):
        source.batch(t)
    assert len(decoded) > 24  # one batch at a time, the chips of an image are cut from several decodings


def test_no_group_is_left_where_a_training_is_done(drawn: Annotations) -> None:
    """It goes on from a state of its last update when it was killed right after."""
    source = batches(drawn)
    for stop in range(2 * source.per_epoch + 1):
        assert list(source.together(stop, stop)) == [] == list(fetched(source, stop, stop, World(0, 1), workers=0))


@pytest.mark.parametrize("layout", ["chips", "pyramid"])
def test_chips_by_themselves_are_those_of_batches(drawn: Annotations, layout: str) -> None:
    source = batches(drawn, ChipLayout(layout, SCALES, chip=96), flip=False)  # type: ignore[arg-type]
    for t in range(source.per_epoch):
        batch, alone = source.batch(t), source.alone(source._order(0).chips[t], 0)
        for name, value in vars(batch).items():
            assert name == "seeds" or same(value, getattr(alone, name)), (t, name)
    mirrored = batches(drawn, ChipLayout(layout, SCALES, chip=96), flip=True)  # type: ignore[arg-type]
    assert same(mirrored.alone(source._order(0).chips[0], 0).images, source.batch(0).images)


@pytest.mark.parametrize("layout", ["chips", "pyramid", "whole"])
def test_boxes_lie_where_their_objects_are(drawn: Annotations, layout: str) -> None:
    """A target's pixels are the image's own inside its box: their mean colors agree."""
    source = batches(drawn, ChipLayout(layout, SCALES, chip=96), window=16)  # type: ignore[arg-type]
    whole = {drawn.image_id(i): i for i in range(len(drawn))}
    checked = 0
    for t in range(source.per_epoch):
        batch = source.batch(t)
        for k, boxes in enumerate(batch.boxes_xyxy):
            i = whole[batch.image_ids[k]]
            image, own = chip_batches.read_rgb(drawn.image_path(i)), drawn.boxes_of(i)
            for box, label in zip(boxes.numpy(), batch.box_labels[k].numpy(), strict=True):
                x1, y1, x2, y2 = box.round().astype(int)
                if min(x2 - x1, y2 - y1) < 12:
                    continue
                seen = batch.images[k, :, y1:y2, x1:x2].float().mean((1, 2)).numpy()
                means = []
                for other in own.xyxy[own.labels == label].round().astype(int):
                    means.append(image[other[1] : other[3], other[0] : other[2]].mean((0, 1)))
                assert np.abs(np.array(means) - seen).max(1).min() < 8
                checked += 1
    assert checked > 30


def test_targets_belong_to_the_scale_and_all_else_that_is_seen_is_ignored(drawn: Annotations) -> None:
    source = batches(drawn, flip=False)
    table = source.epochs.of(0)
    ignored_somewhere = 0
    for chip in range(len(table)):
        boxes, labels, ignored, _ = source.targets_of(0, chip, False)
        scale, factor = SCALES[table.scales[chip]], table.factors[chip]
        assert len(boxes) == len(labels) == len(table.rows_of(chip)) > 0
        root = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1)) / factor
        assert (root > scale.lo - 1e-3).all() and (root < scale.hi + 1e-3).all()
        own = drawn.boxes_of(int(table.images[chip])).xyxy * factor - np.tile(table.origins_xy[chip], 2)
        inside = np.clip(own, 0, np.tile(table.sizes_hw[chip][::-1], 2))
        visible = ((inside[:, 2:] - inside[:, :2]) >= 1).all(1).sum()
        assert len(boxes) + len(ignored) == visible
        ignored_somewhere += len(ignored)
    assert ignored_somewhere
    batch = source.batch(0)
    assert batch.valid_ranges is not None and batch.ignored is not None and batch.valid_ranges.shape == (4, 2)


def test_mirrored_chips_are_the_mirror_of_the_others(drawn: Annotations) -> None:
    plain, mirrored = batches(drawn, flip=False).batch(1), batches(drawn, flip=True).batch(1)
    draws = np.random.Generator(np.random.PCG64([3, 1, 1])).random(4) < 0.5
    assert 0 < draws.sum() < 4
    for k, flipped in enumerate(draws):
        a, b = plain.images[k], mirrored.images[k]
        extent = (a != torch.tensor(PADDING, dtype=torch.uint8)[:, None, None]).any(0).any(0).nonzero().max() + 1
        assert torch.equal(b[:, :, :extent], a[:, :, :extent].flip(2) if flipped else a[:, :, :extent])
        boxes = plain.boxes_xyxy[k].clone()
        if flipped:
            boxes[:, [0, 2]] = extent - boxes[:, [2, 0]]
        assert torch.equal(mirrored.boxes_xyxy[k], boxes)


def test_whole_images_of_one_shape_share_a_batch(drawn: Annotations) -> None:
    source = batches(drawn, ChipLayout("pyramid", SCALES), batch_size=3)
    table = source.epochs.of(0)
    for t in range(source.per_epoch):
        scales = table.scales[source._order(0).chips[t]]
        assert len(set(scales.tolist())) == 1
        assert source.batch(t).images.shape[2] == {0: 256, 1: 128, 2: 96}[int(scales[0])]
    one = whole_images(source.boxes, (Scale("resolution", 64),))
    assert len(one) == 12 and (one.sizes_hw == 64).all() and len(one.box_rows) == len(source.boxes.xyxy)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.data())
def test_orders_as_properties(data: st.DataObject) -> None:
    images = np.sort(np.array(data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=200))))
    buckets = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(images), max_size=len(images))))
    size, window = data.draw(st.sampled_from([1, 4, 6, 32])), data.draw(st.integers(1, 300))
    order = arrange(images, buckets, size, window, seed=1, epoch=2)
    assert order.chips.shape[1] == size and order.windows[0] == 0 and order.windows[-1] == len(order)
    assert sorted(set(order.chips.flatten().tolist())) == list(range(len(images)))
    assert (np.diff(order.windows) <= max(1, window // np.gcd(size, LANE))).all()
    assert all(len(set(buckets[row])) == 1 for row in order.chips)
    again = arrange(images, buckets, size, window, seed=1, epoch=2)
    assert np.array_equal(order.chips, again.chips)


@pytest.mark.parametrize("factor", [3.0, 1.667, 1.0, 0.6])
def test_cutting_equals_scaling_the_whole_image(factor: float) -> None:
    """Bilinear as torch computes it in float; fixed-point weights are within 1.5 of 255."""
    draw = np.random.default_rng(0)
    coarse = torch.from_numpy(draw.integers(0, 256, (1, 3, 12, 16)).astype(np.float32))
    image = F.interpolate(coarse, size=(90, 120), mode="bilinear")[0].permute(1, 2, 0).round().byte().numpy()
    size = (int(90 * factor), int(120 * factor))
    given = {"scale_factor": factor} if factor > 1 else {"size": size, "antialias": True}
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    whole = F.interpolate(pixels, mode="bilinear", **given)[0].permute(1, 2, 0)
    x, y = (7, 5)
    out = np.zeros((64, 80, 3), np.uint8)
    height, width = min(60, size[0] - y), min(70, size[1] - x)
    cut(image, factor, np.array([x, y], float), np.array([height, width]), scaled={}, out=out)
    expected = whole[y : y + height, x : x + width].numpy()
    assert np.abs(out[:height, :width] - expected).max() < 1.5
    assert (out[height:] == PADDING).all() and (out[:, width:] == PADDING).all()


def test_epochs_are_laid_once_for_all_processes(drawn: Annotations, tmp_path: Path) -> None:
    boxes = batches(drawn).boxes
    first, second = (ChipEpochs(boxes, CHIPS, 0, tmp_path) for _ in range(2))
    for epoch in (0, 1, 2, 3):
        a = first.of(epoch)
        files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")}
        b = second.of(epoch)
        assert files == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")}
        assert np.array_equal(a.origins_xy, b.origins_xy) and np.array_equal(a.box_rows, first.laid(epoch)[0].box_rows)
    assert sorted(p.name for p in tmp_path.glob("epoch-*")) == ["epoch-0", "epoch-2", "epoch-3"]


def test_what_cannot_be_trained_on_is_said_before_the_first_batch(drawn: Annotations, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of \d+ boxes is in the range of a scale.*Choose a recipe"):
        batches(drawn, ChipLayout("chips", (Scale("factor", 1.0, 4000),), chip=96))
    write_coco("base", 2, 0, 64, out=tmp_path, progress=silent)
    gone = open_dataset(tmp_path)
    source = batches(gone)
    Path(str(gone.image_path(1))).unlink()
    with pytest.raises(DataError, match=str(gone.image_path(1))):
        list(fetched(source, 0, source.per_epoch, ALONE, workers=2))


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(path.read_bytes()[:-1] + b"~"), Path.unlink])
def test_damaged_chips_are_named_and_laid_again(
    drawn: Annotations, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object]
) -> None:
    whole = batches(drawn, folder=tmp_path / "chips").batch(0)
    spoil(tmp_path / "chips" / "epoch-0" / "chips" / "origins_xy.npy")
    again = batches(drawn, folder=tmp_path / "chips").batch(0)
    assert all(same(value, getattr(again, name)) for name, value in vars(whole).items())
    assert "epoch-0 is damaged (chips/origins_xy.npy" in caplog.text and "its chips are laid again" in caplog.text
    assert sorted(p.name for p in (tmp_path / "chips").iterdir()) == [".lock", "epoch-0"]
