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

import numpy as np

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.images import IMAGE_SUFFIXES
from headstart.places.opening import open_place
from headstart.places.paths import DataPath, as_place
from headstart.readers.fields import number, whole
from headstart.readers.file_names import NamedFiles
from headstart.readers.folders import files_in, read_lines, relative, split_of, subfolders
from headstart.readers.imagenet import classification as imagenet
from headstart.readers.lists.boxes import ListRows, class_order, list_boxes
from headstart.readers.lists.columns import ImageList, header_of, read_list
from headstart.readers.options import ReadOptions

TABLES = frozenset({".csv", ".tsv"})
PLAIN_NAMES = frozenset({"labels", "train", "val", "test", "trainval"})
"""Stems of `.txt` files that may be lists."""
IMAGE_FOLDERS = ("images", "imgs", "image", "img", "JPEGImages", "data")
LARGEST = 10**6
"""Pixels a side; a larger size is a slip."""


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    if imagenet.looks_like(root):  # Its val.txt is such a list, too.
        return None
    lists = [root] if root.is_file() and _may_be(root) and header_of(root) else _lists_in(root)
    return f"file list: {', '.join(path.name for path in lists)}" if lists else None


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Labels of images, or boxes; ids are paths. Classes sorted, by number where all are numbers.

    Raises DataError for lists that cannot be read, images that are not there, rows that contradict each other, and
    boxes that cannot be.
    """
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    notes: list[str] = []
    lists = [read_list(path, faults) for path in _chosen(root, notes)]
    top = root.parent if root.is_file() else root
    image_root = DataPath(as_place(open_place(options.images))) if options.images else None
    files = NamedFiles()
    rows = ListRows()
    for one in lists:
        folders = [image_root] if image_root else _folders(one.path.parent, top)
        _read_rows(one, folders, files, rows, faults=faults)
    images = list(rows.splits)
    if not images:
        raise DataError(
            f"{lists[0].path}: none of the images it lists is there. Put them beside the list, or say "
            "where they are (images)."
        )
    notes += _not_listed(images)
    named = _class_names(top)
    has_boxes = any(one.box for one in lists)
    boxes, sizes = (
        list_boxes(rows, images, lists, options, faults=faults, notes=notes, named=named) if has_boxes else (None, None)
    )
    classes, ids = ((), ()) if has_boxes else class_order(rows.labels.values(), named, lists[0].path)
    number_of = {class_id: k for k, class_id in enumerate(map(str, ids))}
    return annotate(
        root,
        "file-list",
        [relative(image, image_root or top) for image in images],
        [image.relative for image in images],
        sizes_hw=np.zeros((len(images), 2), np.int32) if sizes is None else sizes,
        splits=list(rows.splits.values()),
        groups=[rows.groups.get(i, "") for i in images] if any("group" in one.columns for one in lists) else None,
        image_labels=None if has_boxes else [number_of.get(rows.labels.get(i, ""), -1) for i in images],
        image_classes=classes,
        image_class_ids=ids if tuple(map(str, ids)) != classes or any(isinstance(i, int) for i in ids) else (),
        boxes=boxes,
        notes=notes,
        left_out=faults.found,
    )


def _may_be(path: DataPath) -> bool:
    suffix = path.suffix.lower()
    return suffix in TABLES or (suffix == ".txt" and path.stem.lower() in PLAIN_NAMES)


def _lists_in(folder: DataPath) -> list[DataPath]:
    candidates = [entry for entry, is_folder in folder.iterdir() if not is_folder and _may_be(entry)]
    return [path for path in candidates if header_of(path)]


def _list_split(path: DataPath) -> str:
    """`train` of train.csv, raccoon_train.csv, train_labels.csv; '' of others."""
    words = re.split(r"[^A-Za-z0-9]+", path.stem)
    return next((split for word in words if (split := split_of(word))), "")


def _chosen(root: DataPath, notes: list[str]) -> list[DataPath]:
    if root.is_file():
        return [root]
    folders = [root, *subfolders(root).values()]
    folder = next((folder for folder in folders if _lists_in(folder)), None)
    lists = _lists_in(folder) if folder else []
    if not lists or folder is None:
        raise DataError(
            f"{root}: there is no list of images in it: a CSV file with columns such as path and label, "
            "or labels.txt. Name the list instead of the folder."
        )
    others = [path for path in files_in(folder, TABLES) if path not in lists]
    if any(map(_list_split, lists)):  # Beside train.csv, a test.csv has to be a list, too: reading it will say why not.
        lists = sorted([*lists, *filter(_list_split, others)])
        others = [path for path in others if path not in lists]
    if others:
        notes.append(f"{folder}: {', '.join(p.name for p in others)} is no list of images and was left aside")
    split = [path for path in lists if _list_split(path)]
    if split and len(split) < len(lists):
        rest = ", ".join(path.name for path in lists if path not in split)
        notes.append(f"{root}: the lists {', '.join(p.name for p in split)} make the splits; {rest} was left aside")
    if not split and len(lists) > 1:
        raise DataError(
            f"{root}: {' and '.join(p.name for p in lists)} are lists of images. Name the one to read "
            f"instead of the folder, such as {lists[0]}."
        )
    return split or lists


def _folders(beside: DataPath, top: DataPath) -> list[DataPath]:
    folders = [beside, top, *(folder / name for folder in (beside, top) for name in IMAGE_FOLDERS)]
    return list(dict.fromkeys(folders))


def _read_rows(
    one: ImageList, folders: Sequence[DataPath], files: NamedFiles, into: ListRows, *, faults: Faults
) -> None:
    where, split = str(one.path), _list_split(one.path)
    for line, fields in one.rows:
        record = f"line {line}"
        image = _image(one.field(fields, "path"), folders, files)
        if image is None:
            looked = f"{len(folders)} folders, {folders[0]} first" if len(folders) > 1 else str(folders[0])
            faults.record(
                Fault(
                    "image-missing",
                    where,
                    record,
                    f"names {one.field(fields, 'path')[:200]!r}, which is not there (looked in {looked})",
                    "Put the image there, take the line out, or say where the images are (images).",
                )
            )
            continue
        told = one.field(fields, "split")
        split_of_row = (split_of(told) or None) if told else split
        if split_of_row is None:
            faults.record(
                Fault(
                    "split-unknown",
                    where,
                    record,
                    f"has the split {told[:80]!r}",
                    "Write train, val, test or trainval.",
                )
            )
            continue
        if into.splits.setdefault(image, split_of_row) != split_of_row:
            faults.record(
                Fault(
                    "image-in-two-splits",
                    where,
                    record,
                    f"has {image.name} as a {split_of_row or 'split-less'} "
                    f"image, {' '.join(into.first[image])} as a {into.splits[image]} image",
                    "Leave the image in one split.",
                )
            )
            continue
        into.first.setdefault(image, (where, record))
        _read_row(one, fields, image, record, into=into, faults=faults)


def _read_row(
    one: ImageList, fields: tuple[str, ...], image: DataPath, record: str, *, into: ListRows, faults: Faults
) -> None:
    where, label, group = str(one.path), one.field(fields, "label"), one.field(fields, "group")

    def contradicts(why: str, fix: str = "Correct one of them.") -> None:
        faults.record(Fault("line-contradicts", where, record, why, fix))

    if group and into.groups.setdefault(image, group) != group:
        contradicts(f"has {image.name} in the group {group!r}, {into.first[image][1]} in {into.groups[image]!r}")
    size = _size(one, fields, record, faults)
    if size and into.sizes.setdefault(image, size) != size:
        contradicts(f"says that {image.name} is {size[1]} x {size[0]}, an earlier line says another size")
    if not one.box:
        if label and into.labels.setdefault(image, label) != label:
            contradicts(
                f"has {image.name} as {label!r}, {into.first[image][1]} as {into.labels[image]!r}",
                "An image has one class in a list without boxes: correct one of the lines.",
            )
        return
    texts = [fields[k].strip() for k in one.box]
    if not any(texts) and not label:
        return
    values = [number(text) for text in texts]
    numbers = [v for v in values if v is not None]
    if len(numbers) < 4:
        named = ", ".join(f"{name} {text[:40]!r}" for name, text in zip(one.box_names, texts, strict=True))
        faults.record(
            Fault(
                "line-malformed",
                where,
                record,
                f"has {named}; four numbers are expected",
                "Correct the line, or empty all fields of the box and its class if there is none.",
            )
        )
        return
    if "label" in one.columns and not label:
        faults.record(
            Fault(
                "label-missing",
                where,
                record,
                "has a box without a class",
                "Give the box its class, or take the line out.",
            )
        )
        return
    into.box_image.append(image)
    into.box_where.append((where, record))
    into.box_label.append(label or "object")
    into.box_values.append((numbers[0], numbers[1], numbers[2], numbers[3]))


def _image(name: str, folders: Sequence[DataPath], files: NamedFiles) -> DataPath | None:
    image = files.find(folders, name) if name else None
    if image is None and name and not name.lower().endswith(tuple(IMAGE_SUFFIXES)):
        guesses = (files.find(folders, name + suffix) for suffix in (".jpg", ".jpeg", ".png", ".JPEG", ".JPG"))
        image = next((guess for guess in guesses if guess), None)
    return image


def _size(one: ImageList, fields: tuple[str, ...], record: str, faults: Faults) -> tuple[int, int] | None:
    """(height, width) that the row says; None where it says none."""
    texts = [one.field(fields, side) for side in ("height", "width")]
    if not all(texts):
        return None
    height, width = map(whole, texts)
    if height is None or width is None or not (0 < height <= LARGEST and 0 < width <= LARGEST):
        faults.record(
            Fault(
                "line-malformed",
                str(one.path),
                record,
                f"has the height {texts[0][:40]!r} and the width {texts[1][:40]!r}",
                "Write pixels, or empty both fields.",
            )
        )
        return None
    return height, width


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
