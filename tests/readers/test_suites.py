"""RF100-VL and ODinW-35 in small: every folder by its name and path, as exported, opens with its classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.errors import DataError
from headstart.readers.formats import open_dataset
from headstart.readers.suites import open_suite

NAMES = json.loads((Path(__file__).parent / "suite_names.json").read_text())
"""As the packages that fetch and score the suites name them."""
RF100_VL: list[str] = NAMES["rf100_vl"]
ODINW_35: list[tuple[str, str, int]] = [tuple(row) for row in NAMES["odinw_35"]]
SPLITS = ("train", "valid", "test")
NEW, OLD, PLAIN = (
    "new_annotations_without_background.json",
    "annotations_without_background.json",
    "_annotations.coco.json",
)


@cache
def picture() -> bytes:
    import io

    stream = io.BytesIO()
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def write(file: Path, names: Sequence[str], images: int = 2, *, root: str = "", first: int = 1) -> None:
    """A file of COCO's form with its images beside it: two boxes of each class. root: name of a root category."""
    file.parent.mkdir(parents=True, exist_ok=True)
    prefix = file.name.partition("_")[0] or file.parent.name
    files = [f"{prefix}_{k}_png.rf.{k:08x}.png" for k in range(images)]
    for name in files:
        (file.parent / name).write_bytes(picture())
    categories = [{"id": 0, "name": root, "supercategory": "none"}] if root else []
    categories += [{"id": first + k, "name": n, "supercategory": root or "none"} for k, n in enumerate(names)]
    boxes = [(k % images, first + c) for k, c in enumerate([*range(len(names)), *range(len(names))])]
    annotations = [
        {"id": k, "image_id": i, "category_id": c, "bbox": [1, 2, 10, 12], "area": 120, "iscrowd": 0}
        for k, (i, c) in enumerate(boxes)
    ]
    listed = [{"id": k, "file_name": name, "height": 24, "width": 32} for k, name in enumerate(files)]
    file.write_text(json.dumps({"images": listed, "annotations": annotations, "categories": categories}))


def classes(count: int) -> list[str]:
    return [f"class {k}" for k in range(count)]


def make_rf100(root: Path) -> None:
    """Exported with the root category; every third cleaned by the client, whose ids begin with 0."""
    for k, name in enumerate(RF100_VL):
        for split in SPLITS:
            cleaned = {"first": 0} if k % 3 == 0 else {"root": name.strip("-")}
            write(root / name / split / PLAIN, classes(2 + k % 5), **cleaned)  # type: ignore[arg-type]


def make_odinw(root: Path) -> None:
    """With and without the root category side by side, corrected files, subsets of few examples."""
    for place, file, count in ODINW_35:
        folder = root / place
        if "/" not in file:
            for split in ("train", "val", "test"):
                write(folder / f"{split}_annotations_without_background.json", classes(count))
            write(folder / PLAIN, classes(count), root="all")
            continue
        for split in SPLITS:
            write(folder / split / PLAIN, classes(count), root="all")
            write(folder / split / OLD, classes(count + 1 if file.endswith(NEW) else count))
            if file.endswith(NEW):
                write(folder / split / NEW, classes(count))
        for shots in (1, 3, 5, 10):
            for seed in (3, 30, 300):
                write(folder / "train" / f"fewshot_train_shot{shots}_seed{seed}.json", classes(count), 1)


def test_every_set_of_rf100_vl_opens(tmp_path: Path) -> None:
    make_rf100(tmp_path)
    opened = open_suite(tmp_path)
    assert [one.name for one in opened] == sorted(RF100_VL) and len(opened) == 100
    for one in opened:
        k = RF100_VL.index(one.name)
        assert one.table is not None and one.fault == "", one
        assert list(one.table.box_classes) == classes(2 + k % 5), one.name
        assert sorted(set(one.table.splits.tolist())) == ["test", "train", "val"] and len(one.table) == 6


def test_every_set_of_odinw_opens(tmp_path: Path) -> None:
    make_odinw(tmp_path)
    opened = {one.name: one for one in open_suite(tmp_path)}
    assert sorted(opened) == sorted(place for place, _, _ in ODINW_35) and len(opened) == 35
    for place, _, count in ODINW_35:
        table = opened[place].table
        assert table is not None, opened[place]
        assert len(table.box_classes) == count and set(table.box_classes) == set(classes(count)), place
        assert sorted(set(table.splits.tolist())) == ["test", "train", "val"] and len(table) == 6, place


def test_few_shot_files_are_a_choice(tmp_path: Path) -> None:
    make_odinw(tmp_path)
    folder = tmp_path / "Aquarium" / "Aquarium Combined.v2-raw-1024.coco"
    table = open_dataset(folder)
    assert any("12 subsets of few examples a class are there and not read" in note for note in table.notes)
    few = open_dataset(folder, shots=10, shot_seed=3)
    assert [(few.splits == split).sum() for split in ("train", "val", "test")] == [1, 2, 2]
    assert not any("subsets" in note for note in few.notes)
    with pytest.raises(DataError, match=r"no fewshot_train_shot2_seed3\.json\. .*: shots=1 shot_seed=3, .*=10 "):
        open_dataset(folder, shots=2)


@pytest.mark.parametrize(
    ("names", "repaired"),
    [
        (["  ", "bishop"], ["class 1", "bishop"]),
        (["o", "o ", "p"], ["o", "o (2)", "p"]),
        ([" cat"], ["cat"]),
    ],
)
def test_names_that_say_nothing_are_repaired_and_told(tmp_path: Path, names: list[str], repaired: list[str]) -> None:
    write(tmp_path / "train" / PLAIN, names)
    table = open_dataset(tmp_path)
    assert list(table.box_classes) == repaired
    told = [fault for fault in table.left_out if fault.rule == "class-renamed"]
    assert len(told) == sum(new != old.strip() for new, old in zip(repaired, names, strict=True))
    assert all(fault.record.startswith("category ") and "It is called" in fault.fix for fault in told)


def test_names_that_are_equal_are_still_refused(tmp_path: Path) -> None:
    write(tmp_path / "train" / PLAIN, ["o", "o"])
    with pytest.raises(DataError, match="are all named 'o'"):
        open_dataset(tmp_path)


def test_a_set_that_is_null_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    for split in SPLITS:
        write(tmp_path / "bees" / split / PLAIN, ["bee"], root="bees")
        (tmp_path / "lost" / split).mkdir(parents=True)
        (tmp_path / "lost" / split / PLAIN).write_text("null")
    bees, lost = open_suite(tmp_path)
    assert bees.table is not None and bees.table.box_classes == ("bee",)
    assert lost.table is None and "says null, and nothing else, as an early client" in lost.fault
    with pytest.raises(DataError, match="no folder in it is a data set"):
        open_suite(tmp_path / "bees" / "train")
