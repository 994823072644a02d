"""Boxes and classes of file lists: rows to columns, and what the four numbers of a box are taken for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headstart.data.boxes import CONVENTIONS, Convention, leaving, to_edges
from headstart.data.columns import BoxColumns
from headstart.data.faults import Fault, Faults, nothing_left
from headstart.data.sizes import headers_of
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.boxes import note_leaving, offsets_of
from headstart.readers.fields import whole
from headstart.readers.lists.columns import ImageList
from headstart.readers.options import ReadOptions


@dataclass
class ListRows:
    """What the lists say: images in the order of their first rows, boxes end to end."""

    splits: dict[DataPath, str] = field(default_factory=dict)
    first: dict[DataPath, tuple[str, str]] = field(default_factory=dict)
    groups: dict[DataPath, str] = field(default_factory=dict)
    labels: dict[DataPath, str] = field(default_factory=dict)
    sizes: dict[DataPath, tuple[int, int]] = field(default_factory=dict)
    box_image: list[DataPath] = field(default_factory=list)
    box_where: list[tuple[str, str]] = field(default_factory=list)
    box_label: list[str] = field(default_factory=list)
    box_values: list[tuple[float, float, float, float]] = field(default_factory=list)


def class_order(
    labels: Iterable[str], named: list[str], path: DataPath
) -> tuple[tuple[str, ...], tuple[int | str, ...]]:
    """Class names in order, and their own ids: numbers with the names of classes.txt, or the names themselves."""
    used = sorted(set(labels) - {""})
    numbers = [whole(label) for label in used]
    if not used or any(v is None or str(v) != text for v, text in zip(numbers, used, strict=True)):
        return tuple(used), tuple(used)
    ids = sorted(v for v in numbers if v is not None)
    if not named:
        return tuple(map(str, ids)), tuple(ids)
    if ids[0] < 0 or ids[-1] >= len(named) or len(set(named)) < len(named):
        raise DataError(
            f"{path}: has classes {ids[0]} to {ids[-1]}, and classes.txt {len(named)} lines that must "
            "differ, for classes from 0. Give every class its line, or remove classes.txt."
        )
    return tuple(named), tuple(range(len(named)))


def list_boxes(
    rows: ListRows,
    images: Sequence[DataPath],
    lists: Sequence[ImageList],
    options: ReadOptions,
    *,
    faults: Faults,
    notes: list[str],
    named: list[str],
) -> tuple[BoxColumns, NDArray[np.int32]]:
    place_of = {image: k for k, image in enumerate(images)}
    # Rows of an image need not follow each other; boxes are kept in the order of images, then of rows.
    of_image = np.array([place_of[image] for image in rows.box_image], np.int64)
    order = np.argsort(of_image, kind="stable")
    of_image = of_image[order]
    values = np.array(rows.box_values, np.float64).reshape(-1, 4)[order]
    where = [rows.box_where[k] for k in order]
    labels = [rows.box_label[k] for k in order]
    sizes = _sizes(rows, images, faults)
    convention = _convention(lists, values, options, notes)
    keep = faults.settle_boxes(values, convention, sizes[of_image], lambda k: where[k])
    with np.errstate(invalid="ignore", over="ignore"):
        beyond = np.flatnonzero(keep & leaving(to_edges(values, convention, sizes[of_image]), sizes[of_image]))
    note_leaving(beyond, lambda k: where[k], notes)
    classes, ids = class_order([label for label, good in zip(labels, keep, strict=True) if good], named, lists[0].path)
    if not classes:
        raise nothing_left(
            lists[0].path, faults.found, "none of its rows has a box that can be. Check the box columns."
        )
    if not any("label" in one.columns for one in lists):
        notes.append(f"{lists[0].path}: there is no column for the class; every box is an 'object'")
    number_of = {str(class_id): k for k, class_id in enumerate(ids)}
    kept = np.flatnonzero(keep)
    columns = BoxColumns(
        offsets=offsets_of(of_image[kept], len(images)),
        source=values[kept],
        labels=np.array([number_of[labels[k]] for k in kept], np.int32),
        flags=np.zeros(len(kept), np.uint8),
        known=np.ones(len(images), bool),
        classes=classes,
        convention=convention,
        class_ids=ids if any(isinstance(i, int) for i in ids) else (),
    )
    return columns, sizes


def _convention(
    lists: Sequence[ImageList], values: NDArray[np.float64], options: ReadOptions, notes: list[str]
) -> Convention:
    """What the four numbers are, with a note of what was taken."""
    if options.box_convention:
        return options.box_convention
    one = next(one for one in lists if one.box)
    if len({other.suggested for other in lists}) > 1:
        raise DataError(
            f"{lists[0].path}: the lists name the columns of their boxes differently. Rename them, or "
            "say what they are: --read box_convention=edges, or another."
        )
    convention: Convention = one.suggested  # type: ignore[assignment]
    why = "such lists have them so" if one.headerless or one.packed is not None else "the columns are called so"
    fractions = bool(len(values)) and bool(((values >= 0) & (values <= 1)).all())
    if fractions and convention == "coco":
        raise DataError(
            f"{one.path}: the numbers of {', '.join(one.box_names)} lie between 0 and 1. If they are a "
            "center and a size as fractions, say --read box_convention=yolo; else write pixels."
        )
    if fractions:
        convention, why = "relative", "all lie between 0 and 1"
    elif convention == "voc" and (values[:, :2] == 0).any():
        convention, why = "edges", "some are 0, so they do not count from 1"
    notes.append(
        f"{one.path}: {', '.join(one.box_names)} are read as {CONVENTIONS[convention]}, since {why}; "
        "--read box_convention=edges, or another, says otherwise"
    )
    return convention


def _sizes(rows: ListRows, images: Sequence[DataPath], faults: Faults) -> NDArray[np.int32]:
    """(n, 2) height and width that the boxes were drawn on: the list's, where the image bears it out."""
    sizes = np.zeros((len(images), 2), np.int32)
    for k, (image, header) in enumerate(zip(images, headers_of(images, on_bad_image="skip"), strict=True)):
        told = rows.sizes.get(image)
        if header and told and told not in header:
            path, record = rows.first[image]
            faults.record(
                Fault(
                    "size-differs",
                    path,
                    record,
                    f"says that {image.name} is {told[1]} x {told[0]}, and it "
                    f"is {header[0][1]} x {header[0][0]}: the boxes may be for another resolution",
                    "Put back the image that was annotated; if the boxes do fit, correct the size.",
                )
            )
        # A damaged image is reported, or skipped and listed, when it is decoded.
        sizes[k] = told or (header[0] if header else (0, 0))
    return sizes
