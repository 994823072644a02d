"""Rows of a list, one after the other: to images, their splits, groups, sizes and classes, and to boxes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headstart.data.faults import Fault, Faults
from headstart.places.images import IMAGE_SUFFIXES
from headstart.places.paths import DataPath
from headstart.readers.fields import number, whole
from headstart.readers.file_names import NamedFiles
from headstart.readers.folders import split_of
from headstart.readers.lists.boxes import ListRows
from headstart.readers.lists.columns import ImageList

NO_OBJECT = frozenset({"", "0", "none", "background", "negative", "normal", "no finding"})
"""Classes of rows without a box that say that the image shows no object."""
LARGEST = 10**6
"""Pixels a side; a larger size is a slip."""


def list_split(path: DataPath) -> str:
    """`train` of train.csv, raccoon_train.csv, train_labels.csv; '' of others."""
    words = re.split(r"[^A-Za-z0-9]+", path.stem)
    return next((split for word in words if (split := split_of(word))), "")


def read_rows(
    one: ImageList, folders: Sequence[DataPath], files: NamedFiles, into: ListRows, *, faults: Faults
) -> None:
    where, split = str(one.path), list_split(one.path)
    for line, fields in one.rows:
        record = f"line {line}"
        image = image_of(one.field(fields, "path"), folders, files)
        if image is None:
            looked = f"{len(folders)} folders, {folders[0]} first" if len(folders) > 1 else str(folders[0])
            faults.record(
                Fault(
                    "image-missing",
                    where,
                    record,
                    f"names {one.field(fields, 'path')[:200]!r}, which is not there (looked in {looked})",
                    "Put the image there, take the line out, or say where the images are: --read images=FOLDER.",
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
    if not any(texts) and label.lower() in NO_OBJECT:
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


def image_of(name: str, folders: Sequence[DataPath], files: NamedFiles) -> DataPath | None:
    image = files.find(folders, name) if name else None
    if image is None and name and not name.lower().endswith(tuple(IMAGE_SUFFIXES)):
        guesses = (files.find(folders, name + suffix) for suffix in (".jpg", ".jpeg", ".png", ".JPEG", ".JPG"))
        image = next((guess for guess in guesses if guess), None)
    return image
