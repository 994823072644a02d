"""Prepared sets, each column and each refusal: what they say of themselves, their tables."""

from __future__ import annotations

import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.batches.image_sets import MAPPED, ImageSet, read_image
from headstart.batches.image_tables import table_of
from headstart.data.annotate import annotate
from headstart.data.flags import CROWD, IGNORED
from headstart.errors import StoreError
from support.by_hand.sets import image_set

AGAIN = "Delete this folder; the next run makes it again."


def two(**changes: object) -> ImageSet:
    """Two images of 4 x 6 pixels with one and two boxes."""
    boxes = [[(0, 0, 2, 2)], [(1, 1, 3, 4), (2, 0, 6, 3)]]
    made = image_set(2, 4, 6, boxes=boxes, labels=[[3], [1, 2]], flags=[[0], [CROWD, 0]], image_labels=[1, 0])  # type: ignore[arg-type]
    return replace(made, **changes)  # type: ignore[arg-type]


def full() -> ImageSet:
    maps = {name: np.arange(48, dtype=np.uint8).reshape(2, 4, 6) + k for k, name in enumerate(MAPPED[1:])}
    labels = np.array([[1, 0, -1, 0, 0], [-1, 1, 0, 0, 1]], np.int8)
    segments, colors = np.array([5, 6, 7]), np.array([[1, 2, 3]], np.uint8)
    shown = np.array([[4, 3], [2, 6]], np.int32)
    return two(**maps, segment_ids=segments, mask_colors=colors, label_table=labels, shown_hw=shown)


# Faults


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, 2) for name in ("images", "sizes_hw", "image_labels", "clusters", "mask_paths")),
        *((name, 2) for name in ("label_table", "shown_hw", "masks", "instances", "parts")),
        *((name, 3) for name in ("boxes_xyxy", "boxes_source_xyxy", "box_flags", "segment_ids")),
    ],
)
def test_a_column_with_a_row_too_few_or_too_many_is_named(tmp_path: Path, name: str, expected: int) -> None:
    whole = full()
    column = getattr(whole, name)
    for rows in (column[:-1], np.concatenate([column, column[:1]])):
        wrong = replace(whole, **{name: rows})
        with pytest.raises(ValueError) as fault:
            wrong.write(tmp_path / "wrong")
        assert str(fault.value) == f"{name} has {len(rows)} rows, {expected} are expected"
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize("name", ["masks", "instances", "parts"])
@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 3, 6), (2, 5, 6)])
def test_maps_of_another_size_than_the_images_are_named(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError) as fault:
        replace(full(), **{name: np.zeros(shape, np.uint8)}).write(tmp_path / "wrong")
    assert str(fault.value) == f"{name} are of another size than the images"


@pytest.mark.parametrize("offsets", [[0, 3], [0, 1, 3, 3], [1, 1, 3], [0, 1, 2], [0, 1, 4], [0, 4, 3], [-1, 1, 3]])
def test_offsets_that_do_not_divide_the_boxes_are_named(tmp_path: Path, offsets: list[int]) -> None:
    with pytest.raises(ValueError) as fault:
        two(box_offsets=np.array(offsets)).write(tmp_path / "wrong")
    assert str(fault.value) == "box_offsets do not divide 3 boxes among 2 images"
    two(box_offsets=np.array([0, 0, 3])).write(tmp_path / "right")
    two(box_offsets=np.array([0, 3, 3])).write(tmp_path / "right")


def test_a_set_that_does_not_fit_together_is_refused_with_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    two().write(folder)
    np.save(folder / "images.npy", np.zeros((3, 4, 6, 3), np.uint8))
    with pytest.raises(StoreError) as fault:
        ImageSet.open(folder)
    assert str(fault.value) == f"{folder}: images has 3 rows, 2 are expected. {AGAIN}"


def _without_column(folder: Path) -> None:
    with np.load(folder / "records.npz") as records:
        kept = {name: records[name] for name in records.files if name != "clusters"}
    np.savez(folder / "records.npz", **kept)


def _objects_in_records(folder: Path) -> None:
    with np.load(folder / "records.npz") as records:
        kept = {name: records[name] for name in records.files}
    np.savez(folder / "records.npz", **kept | {"clusters": np.array([None, {}], object)})


SPOILED = {
    "no records": lambda folder: (folder / "records.npz").unlink(),
    "no images": lambda folder: (folder / "images.npy").unlink(),
    "no archive": lambda folder: (folder / "records.npz").write_bytes(b"no archive"),
    "empty": lambda folder: (folder / "records.npz").write_bytes(b""),
    "a damaged archive": lambda folder: (folder / "records.npz").write_bytes(
        (folder / "records.npz").read_bytes()[:-9]
    ),
    "empty images": lambda folder: (folder / "images.npy").write_bytes(b""),
    "no column": _without_column,
    "objects in records": _objects_in_records,
    "objects in images": lambda folder: np.save(folder / "images.npy", np.array([None, {}], object)),
    "objects in masks": lambda folder: np.save(folder / "masks.npy", np.array([None, {}], object)),
}


@pytest.mark.parametrize("spoil", list(SPOILED))
def test_damage_is_told_with_the_folder_and_what_to_do(tmp_path: Path, spoil: str) -> None:
    folder = tmp_path / "set"
    two().write(folder)
    SPOILED[spoil](folder)
    with pytest.raises(StoreError) as fault:
        ImageSet.open(folder)
    said = str(fault.value)
    assert said.startswith(f"{folder}: the prepared images cannot be read (") and said.endswith(f"). {AGAIN}")
    assert fault.value.__cause__ is not None and str(fault.value.__cause__) in said


# Written and opened


def test_every_column_is_written_and_opened_again(tmp_path: Path) -> None:
    whole = full()
    for _ in range(2):  # over what is there, too
        whole.write(tmp_path / "a" / "set")
    again = ImageSet.open(tmp_path / "a" / "set")
    for field in fields(ImageSet):
        if field.name != "mask_place":
            before, after = getattr(whole, field.name), getattr(again, field.name)
            assert np.array_equal(before, after) and before.dtype == after.dtype, field.name
            assert isinstance(after, np.memmap) == (field.name in MAPPED), field.name
    assert not again.images.flags.writeable and again.mask_place is None and len(again) == 2
    with zipfile.ZipFile(tmp_path / "a" / "set" / "records.npz") as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
    assert names == {f.name for f in fields(ImageSet)} - {*MAPPED, "mask_place"}


def test_what_a_set_lacks_has_no_file(tmp_path: Path) -> None:
    two().write(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images.npy", "records.npz"]
    again = ImageSet.open(tmp_path)
    assert (again.masks, again.instances, again.parts, again.segment_ids, again.mask_colors) == (None,) * 5
    assert again.label_table is None


def test_boxes_of_an_image_by_hand() -> None:
    boxes = two().boxes_of(1)
    assert boxes.xyxy.tolist() == [[1, 1, 3, 4], [2, 0, 6, 3]] and boxes.labels.tolist() == [1, 2]
    assert boxes.source_xyxy.tolist() == [[2, 2, 6, 8], [4, 0, 12, 6]] and boxes.flags.tolist() == [CROWD, 0]
    assert two().boxes_of(0).xyxy.tolist() == [[0, 0, 2, 2]]


def test_scales_of_stretched_images_by_hand() -> None:
    stretched = two(sizes_hw=np.array([[8, 6], [2, 24]], np.int32))
    assert stretched.scale_xy(0).tolist() == [1.0, 0.5] and stretched.scale_xy(1).tolist() == [0.25, 2.0]


# Masks at their original size


def _mask(path: Path, values: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path.name


def test_original_masks_by_their_kind(tmp_path: Path) -> None:
    lut = np.full(256, IGNORED, np.uint8)
    lut[:3] = (2, 0, 1)
    place = open_place(tmp_path)
    index = np.array([[0, 1, 2, 9], [2, 2, 1, 0]])
    colors = np.array([[9, 8, 7], [0, 0, 1], [250, 0, 3]], np.uint8)
    names = [_mask(tmp_path / "i.png", index), _mask(tmp_path / "c.png", colors[[[0, 1], [2, 2]]])]
    made = two(mask_paths=np.array(names), mask_lut=lut, mask_place=place)
    assert made.true_mask(0).tolist() == [[2, 0, 1, 255], [1, 1, 0, 2]] and made.true_mask(0).dtype == np.uint8
    assert replace(made, mask_colors=colors).true_mask(1).tolist() == [[2, 0], [1, 1]]
    segments = np.zeros((1, 4, 3), np.uint8)
    segments[0, :3] = [[6, 0, 0], [7, 1, 0], [6, 0, 0]]
    names = [_mask(tmp_path / "p.png", segments[:, 3:]), _mask(tmp_path / "q.png", segments)]
    panoptic = replace(made, mask_paths=np.array(names), segment_ids=np.array([6, 6, 263]))
    assert panoptic.true_mask(1).tolist() == [[1, 2, 1, 255]] and panoptic.true_mask(0).tolist() == [[255]]


def open_place(folder: Path) -> object:
    return annotate(folder, "made", [], [], sizes_hw=np.zeros((0, 2)), splits=[]).place


def test_the_mask_of_a_drawn_image_is_the_prepared_one() -> None:
    masks = np.arange(48, dtype=np.uint8).reshape(2, 4, 6)
    assert np.array_equal(two(masks=masks).true_mask(1), masks[1])
    with pytest.raises(AssertionError, match=r"^original masks need `mask_place`$"):
        two(masks=masks, mask_paths=np.array(["", "b.png"])).true_mask(1)


# As a table


def test_a_set_as_a_table(tmp_path: Path) -> None:
    images = two()
    images.write(tmp_path / "set")
    found = table_of(tmp_path / "set")
    assert found.format == "image set" and str(found.root) == str(tmp_path / "set") and len(found) == 2
    assert found.image_ids.tolist() == ["i0", "i1"] and found.paths.tolist() == ["0.ppm", "1.ppm"]
    assert found.sizes_hw.tolist() == [[4, 6]] * 2 and found.splits.tolist() == ["train"] * 2
    assert found.image_labels.tolist() == [1, 0] and found.image_classes == ("v", "w", "x", "y", "z")
    assert found.box_classes == tuple(f"c{k}" for k in range(10)) and found.source_convention == "edges"
    assert all(type(name) is str for name in found.box_classes + found.image_classes)
    assert found.boxes_xyxy.tolist() == images.boxes_xyxy.tolist() and found.box_offsets.tolist() == [0, 1, 3]
    assert found.box_labels.tolist() == [3, 1, 2] and found.box_flags.tolist() == [0, CROWD, 0]
    assert found.boxes_known.tolist() == [True, True] and not found.multi_label and not found.mask_classes
    for k in range(2):
        assert np.array_equal(read_image(found, k), images.images[k])
    assert table_of(tmp_path / "set", "val").splits.tolist() == ["val"] * 2
    assert table_of(tmp_path / "set", split="test").rows_of("test").tolist() == [0, 1]


def test_a_table_of_many_images_is_not_searched_for_ids_that_come_twice(tmp_path: Path) -> None:
    """The set's own are unique: they were when it was made."""
    two(image_ids=np.array(["same", "same"])).write(tmp_path)
    assert table_of(tmp_path).image_ids.tolist() == ["same", "same"]


def test_a_damaged_set_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the prepared images cannot be read"):
        table_of(tmp_path)
