"""Chips of whole images worked by hand, pasted boxes, and the epochs that stay on the disk."""

from __future__ import annotations

import fcntl
import logging
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.batches.chips import epochs as chip_epochs
from headstart.batches.chips.epochs import ChipEpochs, ChipLayout, TrainingBoxes, whole_images
from headstart.batches.chips.negatives import negative_chips
from headstart.batches.chips.scales import (
    ChipTable,
    Scale,
    choose_negatives,
    join,
    positive_chips,
)
from headstart.batches.chips.small_objects import Pastes
from support.by_hand.chip_tables import equal, of_types

# Whole images


def training(boxes: list[list[list[float]]], sizes: list[list[int]]) -> TrainingBoxes:
    flat = np.array([box for own in boxes for box in own], float).reshape(-1, 4)
    return TrainingBoxes(flat, np.cumsum([0, *map(len, boxes)]), np.arange(len(flat)), np.array(sizes))


def test_whole_images_by_hand() -> None:
    """Three images at two scales; the boxes' square roots of areas are 10, 20 and none; none; 30 and 20."""
    boxes = training(
        [[[0, 0, 10, 10], [5, 5, 25, 25], [7, 7, 7, 9]], [], [[0, 0, 30, 30], [1, 2, 21, 22]]],
        [[40, 60], [3, 200], [50, 31]],
    )
    table = whole_images(boxes, (Scale("factor", 1.5, 0, 20), Scale("longest", 30, 20, 30)))
    assert table.images.tolist() == [0, 0, 1, 1, 2, 2] and table.scales.tolist() == [0, 1] * 3
    assert table.factors.tolist() == [1.5, 0.5, 1.5, 0.15, 1.5, 0.6]
    assert table.sizes_hw.tolist() == [[60, 90], [20, 30], [4, 300], [1, 30], [75, 46], [30, 18]]
    assert [table.rows_of(c).tolist() for c in range(6)] == [[0], [1], [], [], [], [4]]
    assert not table.origins_xy.any() and table.origins_xy.shape == (6, 2) and not table.negative.any()
    assert of_types(table)


def test_boxes_turned_inside_out_are_no_targets_of_whole_images() -> None:
    """Not even where both sides are negative, so that their product is not."""
    boxes = training([[[9, 9, 4, 4], [0, 0, 3, 3], [0, 5, 4, 3]]], [[20, 20]])
    assert whole_images(boxes, (Scale("factor", 1.0),)).box_rows.tolist() == [1]


def test_targets_of_many_whole_images_are_those_in_range() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 5, 30)
    corner = rng.random((counts.sum(), 2)) * 50
    own = np.split(np.concatenate([corner, corner + rng.random((len(corner), 2)) * 50], 1), np.cumsum(counts)[:-1])
    boxes = training([part.tolist() for part in own], [[100, 100]] * 30)
    scales = (Scale("factor", 2.0, 0, 20), Scale("factor", 1.0, 15, 30), Scale("factor", 0.5, 25))
    table = whole_images(boxes, scales)
    root = np.sqrt((boxes.xyxy[:, 2] - boxes.xyxy[:, 0]) * (boxes.xyxy[:, 3] - boxes.xyxy[:, 1]))
    for c in range(len(table)):
        image, scale = divmod(c, 3)
        rows = range(boxes.offsets[image], boxes.offsets[image + 1])
        assert (table.images[c], table.scales[c]) == (image, scale)
        assert table.rows_of(c).tolist() == [r for r in rows if scales[scale].lo <= root[r] < scales[scale].hi]


def test_pasted_boxes_follow_those_of_their_image() -> None:
    boxes = training([[[0, 0, 1, 1], [0, 0, 2, 2]], [], [[0, 0, 3, 3]]], [[9, 9]] * 3)
    pasted = np.array([[5.0, 5, 6, 6], [5, 5, 7, 7], [5, 5, 8, 8]])
    pastes = Pastes(np.array([0, 1, 2, 3]), np.arange(3), np.array([10, 11, 12]), np.zeros((3, 6)), pasted)
    both = boxes.with_pastes(pastes)
    assert both.labels.tolist() == [0, 1, 10, 11, 2, 12] and both.offsets.tolist() == [0, 3, 4, 6]
    assert both.xyxy[:, 2].tolist() == [1, 2, 6, 7, 3, 8] and both.sizes_hw is boxes.sizes_hw
    assert both.xyxy.dtype == np.float64 and boxes.with_pastes(None) is boxes


# Epochs


SIZES = np.tile([[100, 100]], (4, 1))
MANY = training([[[10, 10, 30, 30], [60, 60, 90, 90]]] * 4, SIZES.tolist())
SCALES = (Scale("factor", 2.0, 0, 25), Scale("factor", 1.0, 20))


def proposals() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    corner = np.random.default_rng(0).random((3200, 2)) * 92
    return np.concatenate([corner, corner + 8], 1), np.arange(5) * 800


@pytest.mark.parametrize(("layout", "count"), [("whole", 1), ("pyramid", 2)])
def test_whole_images_are_the_same_in_every_epoch(layout: str, count: int) -> None:
    epochs = ChipEpochs(MANY, ChipLayout(layout, SCALES), 0)  # type: ignore[arg-type]
    assert equal(epochs.of(0), whole_images(MANY, SCALES[:count])) and epochs.of(7) is epochs.of(0)
    assert epochs.boxes_of(3) is MANY and epochs.pastes_of(3) is None


def test_chips_of_an_epoch_are_laid_once() -> None:
    epochs = ChipEpochs(MANY, ChipLayout("chips", SCALES, chip=64), 2)
    assert epochs.of(4) is epochs.of(4) and epochs.of(4) is not epochs.of(5)
    wanted = positive_chips(MANY.xyxy, MANY.offsets, SIZES, SCALES, seed=2, epoch=4, chip=64)
    assert equal(epochs.of(4), wanted) and equal(epochs.laid(4)[0], wanted) and epochs.laid(4)[1] is None
    assert list(epochs._held) == [4], "one epoch is held at a time"


def test_negative_chips_are_mined_with_the_layout_s_own_size_of_chips() -> None:
    layout = ChipLayout("chips", SCALES, chip=64, negatives=2)
    epochs = ChipEpochs(MANY, layout, 2, proposals=proposals())
    positives = positive_chips(MANY.xyxy, MANY.offsets, SIZES, SCALES, seed=2, epoch=1, chip=64)
    pool = negative_chips(*proposals(), SIZES, SCALES, positives=positives, seed=2, epoch=1, chip=64)
    assert len(pool) > 8 and equal(epochs.of(1), join(positives, choose_negatives(pool, 2, 2, 1)))
    assert not ChipEpochs(MANY, layout, 2).of(1).negative.any()
    assert ChipLayout("chips", SCALES).negatives == 0 and ChipLayout("chips", SCALES).chip == 512


# Epochs on the disk

CHIPS = ChipLayout("chips", SCALES, chip=64)


def test_chips_are_kept_as_mapped_files(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "chips"
    kept, alone = ChipEpochs(MANY, CHIPS, 3, folder), ChipEpochs(MANY, CHIPS, 3)
    for epoch in range(4):
        found = kept.of(epoch)
        assert equal(found, alone.of(epoch)) and kept.boxes_of(epoch) is MANY and kept.pastes_of(epoch) is None
        for field in fields(ChipTable):
            column = getattr(found, field.name)
            assert isinstance(column, np.memmap) or len(column) == 0, field.name
            assert not column.flags.writeable, field.name
    names = {p.relative_to(folder).as_posix() for p in (folder / "epoch-3").rglob("*.*")}
    assert names == {"epoch-3/digests.json"} | {f"epoch-3/chips/{f.name}.npy" for f in fields(ChipTable)}
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "epoch-0", "epoch-2", "epoch-3"]


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ([0], [0]),
        ([0, 1], [0, 1]),
        ([0, 1, 2], [0, 1, 2]),
        ([0, 1, 2, 3], [0, 2, 3]),
        ([5], [5]),
        ([4, 5], [4, 5]),
        ([3, 5], [5]),
        ([7, 3], [3]),
        ([0, 9, 10, 11], [0, 10, 11]),
    ],
)
def test_the_first_and_the_last_epochs_stay_on_the_disk(tmp_path: Path, asked: list[int], left: list[int]) -> None:
    kept = ChipEpochs(MANY, CHIPS, 3, tmp_path)
    for epoch in asked:
        kept.of(epoch)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([".lock", *(f"epoch-{k}" for k in left)])


def test_damaged_epochs_are_told_of_and_laid_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ChipEpochs(MANY, CHIPS, 3, tmp_path).of(1)
    file = tmp_path / "epoch-1" / "chips" / "factors.npy"
    size = file.stat().st_size
    file.write_bytes(b"")
    with caplog.at_level(logging.WARNING, chip_epochs.log.name):
        again = ChipEpochs(MANY, CHIPS, 3, tmp_path).of(1)
    assert equal(again, ChipEpochs(MANY, CHIPS, 3).of(1))
    [record] = caplog.records
    assert record.getMessage() == (
        f"{tmp_path}/epoch-1 is damaged (chips/factors.npy has 0 bytes, not {size}): its chips are laid again"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "epoch-1"], "the damaged one is swept"


def test_what_is_on_the_disk_is_not_laid_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ChipEpochs(MANY, CHIPS, 3, tmp_path).of(1)
    kept = ChipEpochs(MANY, CHIPS, 3, tmp_path)
    monkeypatch.setattr(kept, "laid", lambda epoch: pytest.fail("laid again"))
    assert equal(kept.of(1), wanted)


def test_processes_take_turns_by_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ChipEpochs(MANY, CHIPS, 3, tmp_path)
    laid = kept.laid

    def while_locked(epoch: int) -> object:
        with (tmp_path / ".lock").open("w") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return laid(epoch)

    monkeypatch.setattr(kept, "laid", while_locked)
    kept.of(0)
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
