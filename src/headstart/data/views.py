"""Other data sets from one: its labels alone, its objects as crops, images chosen by what is in them.

A view is a table of its own over the same files. It keeps what the source said of the images that stay. More views:
`headstart.data.subsets` (a fraction, k of each class) and `headstart.data.classes`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.boxes import RELATIVE
from headstart.data.columns import BoxColumns, Lists, arrow, box_lists, class_lists
from headstart.data.flags import CROWD, GROUP_OF
from headstart.data.hierarchy import unique_lists
from headstart.data.subsets import class_pairs
from headstart.errors import DataError
from headstart.places.paths import DataPath

NO_SINGLE_OBJECT = CROWD | GROUP_OF
"""Boxes with one of these flags are around several objects."""


def as_labels(table: Annotations) -> Annotations:
    """Image labels instead of boxes: of each image the classes that a box of it has, whatever its flags.

    For supervision by image labels on the images, and with the classes, of a detection set. Verified labels of the
    same names are added. Where every image shows one class, it is the image's label; else images have several
    (`verified_lists`). Raises DataError where there are no boxes.
    """
    _require_boxes(table, "labels of images")
    n, classes = len(table), table.box_classes
    images, present, _ = class_pairs(table, "detect")
    lists: dict[str, Lists] = {}
    for name in ("present", "absent", "partial") if table.multi_label else ("present",):
        verified_images, verified = _verified(table, name) if table.multi_label else (images[:0], present[:0])
        boxed = (images, present) if name == "present" else (images[:0], present[:0])
        lists[name] = unique_lists(
            np.concatenate([boxed[0], verified_images]), np.concatenate([boxed[1], verified]), n, len(classes)
        )
    single = len(lists) == 1 and bool((np.diff(lists["present"][0]) == 1).all())
    return _remade(table, {} if single else lists, lists["present"][1] if single else None)


def _verified(table: Annotations, name: Literal["present", "absent", "partial"]) -> tuple[NDArray, NDArray]:
    """(image, box class) of the verified labels whose class is one of boxes, too."""
    offsets, values = table.verified_lists(name)
    place = {c: k for k, c in enumerate(table.box_classes)}
    to_box = np.array([place.get(c, -1) for c in table.image_classes], np.int64)
    images, classes = np.repeat(np.arange(len(table)), np.diff(offsets)), to_box[values]
    return images[classes >= 0], classes[classes >= 0]


def _remade(table: Annotations, lists: dict[str, Lists], labels: NDArray[np.int32] | None) -> Annotations:
    """The table with these image labels and without boxes."""
    columns = {name: table.batch.column(name) for name in table.batch.schema.names}
    for name in ("label", "present", "absent", "partial"):
        columns.pop(name, None)
    if table.mask_kind == "panoptic":  # Such masks name boxes.
        columns.pop("mask", None)
    columns |= {name: class_lists(value) for name, value in lists.items()}
    if labels is not None:
        columns["label"] = arrow(labels.astype(np.int32))
    none = BoxColumns(
        np.zeros(len(table) + 1, np.int64),
        np.zeros((0, 4)),
        np.zeros(0, np.int32),
        np.zeros(0, np.uint8),
        np.zeros(len(table), bool),
    )
    columns["boxes_known"], columns["boxes"] = arrow(none.known), box_lists(none)[0]
    facts = replace(
        table.facts,
        source_convention="",
        box_scale=1,
        box_classes=(),
        box_class_ids=(),
        mask_classes=table.mask_classes if "mask" in columns else (),
        image_classes=table.box_classes,
        image_class_ids=table.box_class_ids,
    )
    return Annotations(pa.RecordBatch.from_arrays(list(columns.values()), list(columns)), facts, table.place)


def as_crops(table: Annotations, context: float = 0.0, least: int = 1, without: int = NO_SINGLE_OBJECT) -> Annotations:
    """One image for each box: the crop around it, labelled with its class, for classification.

    A crop covers every pixel that the box touches, and `context` times its width and height more on each side, within
    the image. Its id is `<image id>#<number of the box in the image, from 0>`; crops of one image are a group. Left out
    and counted in a note: boxes with a flag of `without`, and crops with a side of less than `least` pixels.
    Raises DataError without boxes and for images of unknown size.
    """
    _require_boxes(table, "crops")
    counts = np.diff(table.box_offsets)
    unknown = np.flatnonzero((counts > 0) & ~table.sizes_hw.all(1))
    if len(unknown):
        raise DataError(
            f"{table.image_path(int(unknown[0]))}: its size is unknown, so no box can be cut out. "
            "Fill sizes in first (`headstart.data.sizes.with_sizes`)."
        )
    images = np.repeat(np.arange(len(table)), counts)
    sizes = table.sizes_hw[images]
    xyxy = table.boxes_xyxy
    margin = context * np.tile(xyxy[:, 2:] - xyxy[:, :2], 2) * [-1, -1, 1, 1]
    wanted = xyxy + margin
    edges = np.concatenate([np.floor(wanted[:, :2]), np.ceil(wanted[:, 2:])], 1)
    edges = np.clip(edges, 0, np.tile(sizes[:, ::-1], 2)).astype(np.int32)
    extent = edges[:, 2:] - edges[:, :2]
    keep = ((table.box_flags & without) == 0) & (extent >= max(least, 1)).all(1)
    kept = np.flatnonzero(keep)
    of = images[kept]
    number = kept - table.box_offsets[of]
    ids, names = table.batch.column("id").to_pylist(), {i: table.image_name(i) for i in np.unique(of).tolist()}
    left_out = len(keep) - len(kept)
    note = f"{left_out} boxes are no crops: around several objects, or with a side of less than {max(least, 1)} pixels"
    return annotate(
        DataPath(table.place),
        table.format,
        [f"{ids[i]}#{k}" for i, k in zip(of.tolist(), number.tolist(), strict=True)],
        [names[i] for i in of.tolist()],
        sizes_hw=extent[kept, ::-1],
        splits=table.batch.column("split").take(arrow(of)),
        groups=[ids[i] for i in of.tolist()],
        image_labels=table.box_labels[kept],
        image_classes=table.box_classes,
        image_class_ids=table.box_class_ids,
        crops=np.concatenate([edges[kept], sizes[kept]], 1),
        hierarchy=table.hierarchy,
        notes=[*table.notes, *([note] if left_out else [])],
        left_out=table.left_out,
    )


def by_instances(table: Annotations, least: int = 1, most: int | None = None) -> Annotations:
    """Images whose boxes are known and number `least` to `most`, both included; a box around a group counts once."""
    _require_boxes(table, "numbers of objects")
    counts = np.diff(table.box_offsets)
    return table.select(
        np.flatnonzero(table.boxes_known & (counts >= least) & (counts <= (counts if most is None else most)))
    )


def by_area(
    table: Annotations,
    least: float = 0.0,
    most: float = np.inf,
    of: Literal["every", "any"] = "every",
    *,
    share: bool = False,
) -> Annotations:
    """Images of which every box, or any, has an area from `least` (included) to `most` (not included); with all boxes.

    In square pixels of the original image, or as a `share` of it. The area is the box's own, not the mask's. Boxes of
    other sizes stay: an image with objects that are not listed would call finding them wrong. Images without boxes are
    not chosen. Raises DataError for images of unknown size where it is needed.
    """
    _require_boxes(table, "areas of objects")
    counts = np.diff(table.box_offsets)
    images = np.repeat(np.arange(len(table)), counts)
    areas = _shares(table, images) if share else table.boxes_xyxy
    if not share:
        areas = (areas[:, 2] - areas[:, 0]) * (areas[:, 3] - areas[:, 1])
    inside = np.bincount(images, (areas >= least) & (areas < most), minlength=len(table))
    return table.select(np.flatnonzero((counts > 0) & ((inside == counts) if of == "every" else (inside > 0))))


def _shares(table: Annotations, images: NDArray[np.int64]) -> NDArray[np.float64]:
    """(m,) area of each box as a share of its image; from the source's own fractions where it has such."""
    relative = table.source_convention in RELATIVE
    boxes = table.boxes_source if relative else table.boxes_xyxy
    sides = boxes[:, 2:] if table.source_convention == "yolo" else boxes[:, 2:] - boxes[:, :2]
    whole = np.ones(len(images)) if relative else table.sizes_hw.astype(np.float64).prod(1)[images]
    if not whole.all():
        raise DataError(
            f"{table.image_path(int(images[np.argmin(whole)]))}: its size is unknown, and so is the share "
            "of a box. Fill sizes in first (`headstart.data.sizes.with_sizes`)."
        )
    return np.asarray(sides.prod(1) / whole)


def _require_boxes(table: Annotations, what: str) -> None:
    if not table.box_classes:
        raise DataError(
            f"{table.root}: read as {table.format}, it has no boxes to make {what} of. Use a data set of boxes."
        )
