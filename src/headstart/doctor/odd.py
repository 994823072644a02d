"""What a table holds that can be trained on, and is hardly meant: the rules of `odd_rules`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotations import Annotations
from headstart.data.boxes import RELATIVE, to_edges
from headstart.data.faults import Fault
from headstart.data.flags import CROWD, DIFFICULT, GROUP_OF
from headstart.doctor.box_names import box_name, images_of_boxes

NEVER_SCORED = {"crowds": CROWD, "groups": GROUP_OF, "difficult objects": DIFFICULT}
LARGER, SMALLER = 1.05, 16
"""An area of more than so many times the box, and an area below 1 of a box of so many pixels, do not fit."""


def fractions(table: Annotations) -> NDArray[np.bool_]:
    """(m,) the boxes of splits whose boxes all lie within the first pixel, where the source counts in pixels."""
    out = np.zeros(len(table.box_labels), bool)
    if table.source_convention in RELATIVE or not len(out):
        return out
    within = np.asarray(((table.boxes_source >= 0) & (table.boxes_source <= 1)).all(1))
    splits = table.splits[images_of_boxes(table)]
    for split in np.unique(splits):
        out[splits == split] = within[splits == split].all()
    return out


def odd_boxes(table: Annotations) -> Iterator[Fault]:
    """Boxes that are never scored, in fractions, tiny, or of another area."""
    if not len(table.box_labels):
        return
    image = images_of_boxes(table)
    splits = table.splits[image]
    of_fractions = fractions(table)
    for split in np.unique(splits).tolist():
        rows = np.flatnonzero(splits == split)
        where = f"split {split}" if split else "the images of no list"
        for what, flag in NEVER_SCORED.items():
            if (table.box_flags[rows] & flag > 0).all():
                why = f"has {len(rows):,} boxes, and all are {what}"
                fix = "Take the flag from the boxes of single objects."
                yield Fault("boxes-never-scored", str(table.root), where, why, fix)
        if of_fractions[rows[0]]:
            numbers = ", ".join(f"{v:.6g}" for v in table.boxes_source[rows[0]])
            why = f"has {len(rows):,} boxes, all within 0 to 1, such as ({numbers}), where pixels are expected"
            fix = "Multiply them by the image's width and height."
            yield Fault("boxes-fractions", str(table.image_path(int(image[rows[0]]))), where, why, fix)
    yield from _tiny(table, image, ~of_fractions)
    yield from _areas(table, image)


def _tiny(table: Annotations, image: NDArray[np.int64], among: NDArray[np.bool_]) -> Iterator[Fault]:
    if table.source_convention in RELATIVE and not table.sizes_hw[image].any(1).all():
        return
    xyxy = to_edges(table.boxes_source, table.source_convention, table.sizes_hw[image])
    sides = xyxy[:, 2:] - xyxy[:, :2]
    for row in np.flatnonzero(among & (sides < 1 - 1e-6).any(1)).tolist():
        why = f"is {sides[row, 0]:.3g} x {sides[row, 1]:.3g} pixels"
        path = str(table.image_path(int(image[row])))
        yield Fault("box-below-pixel", path, box_name(table, row), why, "Redraw or remove it.")


def _areas(table: Annotations, image: NDArray[np.int64]) -> Iterator[Fault]:
    areas = table.box_areas
    if areas is None or table.source_convention in RELATIVE:
        return
    xyxy = to_edges(table.boxes_source, table.source_convention, np.zeros(2, np.int32))
    width, height = xyxy[:, 2] - xyxy[:, 0], xyxy[:, 3] - xyxy[:, 1]
    boxes = width * height
    # Programs that count both ends as part of the box have (w + 1) (h + 1).
    odd = (areas > LARGER * boxes + width + height + 2) | ((areas < 1) & (boxes >= SMALLER))
    for row in np.flatnonzero(odd).tolist():
        why = f"has the area {areas[row]:.6g}, its box of {width[row]:.6g} x {height[row]:.6g} has {boxes[row]:.6g}"
        path = str(table.image_path(int(image[row])))
        yield Fault("area-differs", path, box_name(table, row), why, "Compute the area again, or take it out.")


def odd_classes(table: Annotations) -> Iterator[Fault]:
    """Classes that are named alike, and classes that are said to be in an image and not in it."""
    for classes in dict.fromkeys((table.box_classes, table.image_classes, table.mask_classes)):
        alike: dict[str, list[str]] = {}
        for name in classes:
            alike.setdefault(_plain(name), []).append(name)
        for names in alike.values():
            if len(names) > 1:
                record, why = f"classes {', '.join(map(repr, names))}", "differ by case, blanks or signs alone"
                fix = "Give both one name, or names that differ."
                yield Fault("classes-alike", str(table.root), record, why, fix)
    yield from _contradictions(table)


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", unicodedata.normalize("NFKC", name).casefold()) or name


def _contradictions(table: Annotations) -> Iterator[Fault]:
    if not table.multi_label:
        return
    keys = [
        np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)) * len(table.image_classes) + labels
        for offsets, labels in (table.verified_lists("present"), table.verified_lists("absent"))
    ]
    for key in np.intersect1d(keys[0], keys[1]).tolist():
        row, label = divmod(key, len(table.image_classes))
        record = f"class {table.image_classes[label]!r}"
        why = "is listed as absent from the image, and is in it"
        yield Fault("label-contradicts", str(table.image_path(row)), record, why, "Correct one of the two.")
