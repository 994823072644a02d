"""Miniatures of public data sets: each is read by the reader of its layout, with what it is known to hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.errors import UsageError
from headstart.readers.formats import open_dataset
from headstart.world.official import pictures, writers

SMALL = {
    "voc": ("voc", ("detect",), {"train": 32, "val": 32, "test": 24}),
    "voc-sbd": ("voc-segmentation", ("detect", "segment"), {"train": 48, "val": 24}),
    "coco": ("coco", ("detect",), {"train": 48, "val": 12}),
    "openimages": ("openimages", ("detect",), {"train": 48}),
    "imagenet": ("class-folders", ("classify",), {"train": 144, "val": 24}),
    "imagenet-boxes": ("imagenet-fall11", ("detect", "classify"), {"": 48}),
    "imagenet-val": ("imagenet-loc", ("detect", "classify"), {"val": 240}),
    "tiny-imagenet": ("tiny-imagenet", ("detect", "classify"), {"train": 120}),
    "tiny-imagenet-novel": ("tiny-imagenet", ("detect", "classify"), {"train": 120}),
    "caltech256": ("caltech256", ("classify",), {"": 120}),
    "sun397": ("sun397", ("classify",), {"train": 50, "test": 50, "": 20}),
    "flowers102": ("flowers102", ("classify",), {"train": 40, "val": 20, "test": 60}),
}
OPTIONS = {"voc-sbd": {"sbd": True}}
NAMED = ("voc", "voc-sbd", "imagenet-boxes", "imagenet-val")
"""Of which the study says the format."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return writers.write_miniatures(writers.WRITERS, tmp_path_factory.mktemp("official"), lambda line: None)


@pytest.mark.parametrize("name", SMALL)
def test_the_reader_of_the_layout_reads_all_of_it(name: str, places: dict[str, Path]) -> None:
    form, tasks, splits = SMALL[name]
    table = open_dataset(places[name], form if name in NAMED else None, **OPTIONS.get(name, {}))
    assert (table.format, set(table.tasks), table.num_left_out) == (form, set(tasks), 0)
    assert {split: int((table.splits == split).sum()) for split in set(table.splits.tolist())} == splits
    assert len(table) == writers.IMAGES[name]


FIRST = {
    "voc": ("novel", 0, "VOC2007/JPEGImages/000001.jpg"),
    "coco": ("base", 0, "000000000001.jpg"),
    "openimages": ("base", 200, f"{0:016x}.jpg"),
    "imagenet-boxes": ("base", 20_000, "_0.JPEG"),
}
"""The world and number of an image, and how its file's name ends."""


@pytest.mark.parametrize("name", FIRST)
def test_boxes_are_where_they_were_drawn(name: str, places: dict[str, Path]) -> None:
    """To the pixel; from layouts that count pixels from 1, from 0, and not at all."""
    world, index, ending = FIRST[name]
    (drawn,) = pictures.pictures(world, index, 1)  # type: ignore[arg-type]
    table = open_dataset(places[name], SMALL[name][0])
    (row,) = [i for i in range(len(table)) if table.image_name(i).endswith(ending)]
    boxes = table.boxes_of(row, (pictures.SIDE, pictures.SIDE))
    assert np.abs(boxes.xyxy - drawn.boxes).max() <= 1e-3


def test_a_year_of_voc_has_masks_as_the_official_one_has(places: dict[str, Path]) -> None:
    """`paper-small` reads them there."""
    table = open_dataset(places["voc"] / "VOC2012", "voc-segmentation")
    assert {split: int((table.splits == split).sum()) for split in ("train", "val")} == {"train": 16, "val": 16}
    assert table.supports("segment").all() and len(table) == 32


def test_what_is_there_is_not_drawn_again_and_unknown_names_are_refused(places: dict[str, Path]) -> None:
    root, heard = places["voc"].parent, []
    assert writers.write_miniatures(["voc", "coco"], root, heard.append) == {n: root / n for n in ("voc", "coco")}
    assert not heard
    with pytest.raises(UsageError, match="no miniature of mnist; there are voc, "):
        writers.write_miniatures(["mnist"], root, heard.append)
