"""What a table alone tells: odd boxes, classes without examples, images that nobody annotated."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotations import Annotations
from headstart.data.boxes import RELATIVE, to_edges
from headstart.data.faults import Fault
from headstart.doctor.box_names import box_name, images_of_boxes
from headstart.doctor.odd import fractions, odd_boxes, odd_classes

OFF = 0.5
"""A box beyond its image by up to so many pixels is a rounding."""


def check_table(table: Annotations) -> list[Fault]:
    """Faults of a table whose impossible boxes are left out already; reads no image."""
    return [
        *_boxes_beyond(table),
        *_repeated_boxes(table),
        *odd_boxes(table),
        *odd_classes(table),
        *_classes(table),
        *_without_annotation(table),
    ]


def _boxes_beyond(table: Annotations) -> Iterator[Fault]:
    if not len(table.box_labels):
        return
    image = images_of_boxes(table)
    sizes = table.sizes_hw[image].astype(np.float64)
    source, convention = table.boxes_source, table.source_convention
    if convention in RELATIVE:  # In a unit image a pixel is not known: only what is well outside counts.
        sizes = np.where(sizes.any(1, keepdims=True), sizes, 1.0)
    xyxy = to_edges(source, convention, sizes)
    over = np.maximum(np.maximum(-xyxy[:, 0], -xyxy[:, 1]), (xyxy[:, 2:] - sizes[:, ::-1]).max(1))
    over = np.where(sizes.all(1), over, np.maximum(-xyxy[:, 0], -xyxy[:, 1]))
    limit = OFF if convention not in RELATIVE else OFF * sizes.max(1) / np.maximum(sizes.max(1), 512)
    for row in np.flatnonzero((over > limit) & ~fractions(table)).tolist():
        numbers = ", ".join(f"{v:.6g}" for v in source[row])
        height, width = table.size_hw(int(image[row]))
        where = f"the image of {width} x {height}" if width else "its image"
        one = over[row] <= 1.0 and convention not in RELATIVE
        zero = " (counted from 0?)" if convention == "voc" and (source[row, :2] == 0).any() else ""
        rule, why = (
            ("box-off-by-one", f"reaches one pixel beyond {where} with ({numbers}){zero}")
            if one
            else ("box-leaves-image", f"leaves {where} by {over[row]:.4g} with ({numbers})")
        )
        path = str(table.image_path(int(image[row])))
        yield Fault(rule, path, box_name(table, row), why, "Clip the box, or correct the numbers.")


def _repeated_boxes(table: Annotations) -> Iterator[Fault]:
    if not len(table.box_labels):
        return
    image = images_of_boxes(table)
    place = np.column_stack([image, table.boxes_source])
    _, inverse, counts = np.unique(place, axis=0, return_inverse=True, return_counts=True)
    first: dict[tuple[int, int], int] = {}
    seen: dict[int, int] = {}
    for row in np.flatnonzero(counts[inverse.reshape(-1)] > 1).tolist():
        group, label = int(inverse.reshape(-1)[row]), int(table.box_labels[row])
        path = str(table.image_path(int(image[row])))
        if (group, label) in first:
            why = f"is the same as {box_name(table, first[group, label])}"
            yield Fault("box-duplicated", path, box_name(table, row), why, "Remove one of the two.")
        elif group in seen:
            why = f"lies exactly on {box_name(table, seen[group])}"
            yield Fault("box-two-labels", path, box_name(table, row), why, "Keep the right label.")
        first.setdefault((group, label), row)
        seen.setdefault(group, row)


def _classes(table: Annotations) -> Iterator[Fault]:
    root = str(table.root)
    kinds = {"boxes": (table.box_classes, table.box_labels), "images": (table.image_classes, _labels(table))}
    for what, (classes, labels) in kinds.items():
        counts = np.bincount(labels[labels >= 0], minlength=len(classes))
        for k in np.flatnonzero(counts == 0).tolist():
            yield Fault(
                "class-without-examples",
                root,
                f"class {k} ({classes[k]!r})",
                f"has no {what}",
                "Remove the class from the list, or add examples.",
            )
    if not table.box_classes:
        return
    splits = table.splits[images_of_boxes(table)]
    training = np.bincount(table.box_labels[np.isin(splits, ("train", "trainval"))], minlength=len(table.box_classes))
    tested = np.bincount(table.box_labels[splits == "test"], minlength=len(table.box_classes))
    for k in np.flatnonzero((training == 0) & (tested > 0)).tolist() if training.any() else []:
        yield Fault(
            "class-not-in-training",
            root,
            f"class {k} ({table.box_classes[k]!r})",
            f"has {tested[k]} test boxes and no training box",
            "Add training examples of it.",
        )


def _labels(table: Annotations) -> NDArray[np.integer]:
    return table.verified_lists("present")[1] if table.multi_label else table.image_labels


def _without_annotation(table: Annotations) -> Iterator[Fault]:
    annotated = np.zeros(len(table), bool)
    for task in table.tasks:
        annotated |= table.supports(task)
    if table.multi_label:
        annotated |= np.diff(table.verified_lists("present")[0]) > 0
    for i in np.flatnonzero(~annotated).tolist():
        yield Fault(
            "image-without-annotation",
            str(table.image_path(i)),
            "",
            "the image has no annotation of any kind",
            "Annotate it; or remove it, or list it with no boxes if it shows nothing.",
        )
