"""File lists: CSV files with a header, one row for each image or for each box; or `labels.txt` with `NAME NUMBER`.

Columns (`list_columns` has all their names): the image's path, its class, and, where there are such, split, group, the
four numbers of a box, and the width and height of the image that the box was drawn on. Several lists make the splits
(`train.csv`, `test_labels.csv`). A path is looked for beside the list, in the data set's folder, and in their
`images/`. Rows of an image with empty box fields say that it shows no object.

Where the box columns are called `xmin, ymin, xmax, ymax`, numbers are taken as Pascal VOC's, which count from 1 and
include both ends: so they are in the lists that `xml_to_csv.py` of datitran/raccoon_dataset and its many copies write.
If one of them is 0 they do not count from 1 and are edges, as `x1, y1, x2, y2` are. If all lie between 0 and 1 they are
fractions. What was taken is always noted; `box_convention` says it outright.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.faults import Fault, Faults, nothing_left
from headstart.errors import DataError
from headstart.places.opening import open_place
from headstart.places.paths import DataPath, as_place
from headstart.readers.classification import class_folders
from headstart.readers.file_names import NamedFiles
from headstart.readers.folders import files_in, read_lines, relative, split_of, subfolders
from headstart.readers.imagenet import classification as imagenet
from headstart.readers.lists.boxes import ListRows, class_order, list_boxes
from headstart.readers.lists.columns import ImageList, head_lines, header_of, read_list
from headstart.readers.lists.found import completed, found_list
from headstart.readers.lists.rows import image_of, list_split, read_rows
from headstart.readers.lists.several import several, verified
from headstart.readers.lists.via import is_via, read_via
from headstart.readers.options import ReadOptions

TABLES = frozenset({".csv", ".tsv"})
PLAIN_NAMES = frozenset({"labels", "train", "val", "test", "trainval"})
"""Stems of `.txt` files that may be lists."""
IMAGE_FOLDERS = ("images", "imgs", "image", "img", "JPEGImages", "data")


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    if imagenet.looks_like(root):  # Its val.txt is such a list, too.
        return None
    lists = [root] if root.is_file() and _may_be(root) and header_of(root) else _lists_in(root)
    if lists and all(map(_split_list, lists)) and class_folders.looks_like(root):
        return None  # Official lists beside class folders, whose names say more than the numbers of classes.
    return f"file list: {', '.join(path.name for path in lists)}" if lists else None


def found_in(root: DataPath) -> str | None:
    """The same of tables whose header does not say what they are, and of VIA's files."""
    lists = _found_lists(root.parent, [root]) if root.is_file() else _found_in_folders(root)
    return f"file list: {', '.join(path.name for path in lists)}" if lists else None


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Labels of images, or boxes; ids are paths. Classes sorted, by number where all are numbers.

    Raises DataError for lists that cannot be read, images that are not there, rows that contradict each other, and
    boxes that cannot be.
    """
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    notes: list[str] = []
    top = root.parent if root.is_file() else root
    image_root = DataPath(as_place(open_place(options.images))) if options.images else None
    files = NamedFiles()
    lists = [_read(path, top, image_root, files, faults=faults) for path in _chosen(root, faults, notes)]
    rows = ListRows()
    for one in lists:
        folders = [image_root] if image_root else _folders(one.path, top)
        read_rows(one, folders, files, rows, faults=faults)
    images = list(rows.splits)
    if not images:
        fix = "Put them beside the list, or say where they are: --read images=FOLDER."
        raise nothing_left(lists[0].path, faults.found, f"none of the images it lists is there. {fix}")
    notes += [*_not_listed(images), *files.notes]
    named = _class_names(top)
    has_boxes = any(one.box for one in lists)
    boxes, sizes = (
        list_boxes(rows, images, lists, options, faults=faults, notes=notes, named=named) if has_boxes else (None, None)
    )
    marked = [rows.labels.get(image, "") for image in images]
    if has_boxes:
        of_images = {}
    elif any(one.one_hot for one in lists) and several(marked):
        of_images = verified(marked, lists)
    else:
        of_images = _one_class_each(marked, named, lists[0].path)
    return annotate(
        root,
        "file-list",
        [relative(image, image_root or top) for image in images],
        [image.relative for image in images],
        sizes_hw=np.zeros((len(images), 2), np.int32) if sizes is None else sizes,
        splits=list(rows.splits.values()),
        groups=[rows.groups.get(i, "") for i in images] if any("group" in one.columns for one in lists) else None,
        boxes=boxes,
        notes=notes,
        left_out=faults.found,
        **of_images,
    )


def _one_class_each(labels: Sequence[str], named: list[str], path: DataPath) -> dict[str, Any]:
    """Arguments of `annotate`."""
    classes, ids = class_order(labels, named, path)
    number_of = {class_id: k for k, class_id in enumerate(map(str, ids))}
    return {
        "image_labels": [number_of.get(label, -1) for label in labels],
        "image_classes": classes,
        "image_class_ids": ids if tuple(map(str, ids)) != classes or any(isinstance(i, int) for i in ids) else (),
    }


def _may_be(path: DataPath) -> bool:
    suffix = path.suffix.lower()
    return suffix in TABLES or (suffix == ".txt" and path.stem.lower() in PLAIN_NAMES)


def _lists_in(folder: DataPath) -> list[DataPath]:
    candidates = [entry for entry, is_folder in folder.iterdir() if not is_folder and _may_be(entry)]
    return [path for path in candidates if header_of(path)]


def _split_list(path: DataPath) -> bool:
    return path.suffix.lower() == ".txt" and bool(list_split(path))


def _found_lists(top: DataPath, candidates: Sequence[DataPath]) -> list[DataPath]:
    """Those of the files that are lists by what they hold."""
    files = NamedFiles()
    tables = [path for path in candidates if path.suffix.lower() in (*TABLES, ".json")]
    return [path for path in tables if is_via(path) or (path.suffix != ".json" and _found(path, top, None, files))]


def _found_in_folders(root: DataPath) -> list[DataPath]:
    of_root, *of_folders = (
        _found_lists(root, [entry for entry, is_folder in folder.iterdir() if not is_folder])
        for folder in (root, *subfolders(root).values())
    )
    found = [of_root] if of_root else [lists for lists in of_folders if lists]
    return found[0] if len(found) == 1 else []  # Several: data sets beside each other.


def _found(path: DataPath, top: DataPath, image_root: DataPath | None, files: NamedFiles) -> ImageList | None:
    folders = [image_root] if image_root else _folders(path, top)
    return found_list(path, head_lines(path), lambda name: image_of(name, folders, files) is not None)


def _read(
    path: DataPath, top: DataPath, image_root: DataPath | None, files: NamedFiles, *, faults: Faults
) -> ImageList:
    if is_via(path):
        return read_via(path, faults)
    known = header_of(path) or _found(path, top, image_root, files)
    whole = read_list(path, known, faults)
    return replace(whole, rows=tuple(completed(whole, whole.rows, faults)))


def _chosen(root: DataPath, faults: Faults, notes: list[str]) -> list[DataPath]:
    if root.is_file():
        return [root]
    folders = [root, *subfolders(root).values()]
    folder = next((folder for folder in folders if _lists_in(folder)), None)
    lists = _lists_in(folder) if folder else _found_in_folders(root)
    if not lists:
        raise DataError(
            f"{root}: there is no list of images in it: a CSV file with columns such as path and label, "
            "or labels.txt. Name the list instead of the folder."
        )
    folder = lists[0].parent
    others = [path for path in files_in(folder, TABLES) if path not in lists]
    if any(map(list_split, lists)):  # Beside train.csv, a test.csv has to be a list, too: reading it will say why not.
        lists = sorted([*lists, *filter(list_split, others)])
        others = [path for path in others if path not in lists]
    if others:
        notes.append(f"{folder}: {', '.join(p.name for p in others)} is no list of images and was left aside")
    split = [path for path in lists if list_split(path)]
    if split and len(split) < len(lists):
        rest = ", ".join(path.name for path in lists if path not in split)
        why = f"the lists {', '.join(p.name for p in split)} make the splits; {rest} was left aside"
        faults.lost(Fault("file-left-aside", str(root), "", why, "Name the list instead of the folder to read it."))
    if not split and len(lists) > 1:
        raise DataError(
            f"{root}: {' and '.join(p.name for p in lists)} are lists of images. Name the one to read "
            f"instead of the folder, such as {lists[0]}."
        )
    return split or lists


def _folders(path: DataPath, top: DataPath) -> list[DataPath]:
    """Where the images of a list are looked for: beside it, in the data set's folder, and in folders named for images
    or for the split of the list."""
    beside, split = path.parent, list_split(path)
    folders = [beside, top, *(folder / name for folder in (beside, top) for name in IMAGE_FOLDERS)]
    for name, folder in subfolders(top).items():
        first = re.split(r"[^A-Za-z0-9]+", name)[0]
        folders += [folder] if name == path.stem or (split_of(first) or "-") == (split or "train") else []
    return list(dict.fromkeys(folders))


def _not_listed(images: Sequence[DataPath]) -> list[str]:
    listed = {image.relative for image in images}
    others = [
        p for folder in dict.fromkeys(i.parent for i in images) for p in files_in(folder) if p.relative not in listed
    ]
    return (
        [f"{others[0].parent}: {len(others)} images are in no list and were left aside; first: {others[0].name}"]
        if others
        else []
    )


def _class_names(top: DataPath) -> list[str]:
    path = top / "classes.txt"
    return read_lines(path) if path.is_file() else []
