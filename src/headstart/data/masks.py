"""Masks of images as arrays: a class for every pixel, or one mask for every box."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data import rle
from headstart.data.annotations import Annotations
from headstart.data.flags import IGNORED
from headstart.errors import DataError
from headstart.places.images import ImageFile, read_mask, read_segment_ids
from headstart.places.paths import DataPath

CLASS_FOLDER, OBJECT_FOLDER = "SegmentationClass", "SegmentationObject"
"""Pascal VOC: files of one name hold classes in one folder, numbers of objects in the other."""


def class_mask(table: Annotations, i: int) -> NDArray[np.uint8] | None:
    """The class of every pixel of image i, uint8 (h, w): indices into `mask_classes`, or IGNORED. None without a mask.

    Raises DataError for files that cannot be read, and values or segments that the annotation does not name.
    """
    path = table.mask_path(i)
    if path is None:
        return None
    if table.mask_kind == "panoptic":
        rows = slice(int(table.box_offsets[i]), int(table.box_offsets[i + 1]))
        ids = table.box_ids
        assert ids is not None, "panoptic segments have ids"
        return segment_classes(path, ids[rows], table.box_labels[rows])
    raw = read_mask(path, table.mask_colors)
    mask = table.mask_lut[raw]
    unnamed = np.setdiff1d(np.unique(raw[mask == IGNORED]), table.mask_void)
    if len(unnamed):
        raise DataError(
            f"{path}: value {unnamed[0]} is neither a class nor void. "
            "Name it in the list of classes, or correct the mask."
        )
    return mask


def segment_classes(path: ImageFile, ids: NDArray[np.int64], labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The class of every pixel of a panoptic PNG, uint8 (h, w), from ids and classes of its segments (k,).

    Pixels of id 0 belong to no segment and are IGNORED. Raises DataError for a file that cannot be read, and for an id
    that is not among `ids`.
    """
    drawn_ids = read_segment_ids(path)
    drawn, where = np.unique(drawn_ids, return_inverse=True)
    order = np.argsort(ids, kind="stable")
    at = np.minimum(np.searchsorted(ids[order], drawn), max(len(ids) - 1, 0))
    known = (ids[order][at] == drawn) if len(ids) else np.zeros(len(drawn), bool)
    strange = drawn[~known & (drawn != 0)]
    if len(strange):
        raise DataError(
            f"{path}: segment {strange[0]} is drawn and not in the annotation of its image. "
            "Fetch the PNG files and the JSON file of one version."
        )
    values = np.full(len(drawn), IGNORED, np.uint8)
    if len(ids):
        values[known] = labels[order][at[known]]
        values[drawn == 0] = IGNORED
    return values[where].reshape(drawn_ids.shape)


def instance_masks(table: Annotations, i: int, size_hw: tuple[int, int] | None = None) -> NDArray[np.bool_]:
    """Which pixels belong to each of the k boxes of image i, (k, h, w).

    From polygons and run lengths (as COCO's reference code draws them), panoptic segments, or VOC's SegmentationObject.
    size_hw: of the decoded image; by default what the table says. Raises DataError for a box without an outline, for
    masks that cannot be read, and where the size is not known.
    """
    rows = range(int(table.box_offsets[i]), int(table.box_offsets[i + 1]))
    numbered = _numbered(table, i)
    if numbered is not None:
        path, drawn = numbered
        if size_hw is not None and drawn.shape != tuple(size_hw):
            raise DataError(
                f"{path}: the mask is {drawn.shape[1]} x {drawn.shape[0]} pixels, its image {size_hw[1]} x "
                f"{size_hw[0]}. Export the mask at the size of its image."
            )
        ids = table.box_ids
        assert ids is not None, "numbered masks belong to numbered boxes"
        return drawn[None] == ids[rows.start : rows.stop, None, None]
    size = size_hw or table.size_hw(i)
    if not all(size):
        raise DataError(
            f"{table.image_path(i)}: its size is not known. Fill it in with "
            "`headstart.data.sizes.with_sizes`, or pass it here."
        )
    # Pixels lie down the columns, as run lengths count them: nothing is copied into another order.
    flat = np.zeros((len(rows), size[0] * size[1]), np.uint8)
    for k, row in enumerate(rows):
        rle.draw(flat[k], outline_runs(table, i, row, size))
    return flat.view(bool).reshape(len(rows), size[1], size[0]).transpose(0, 2, 1)


def _numbered(table: Annotations, i: int) -> tuple[DataPath, NDArray[np.integer]] | None:
    """An image whose pixels are the ids of boxes, where the data set has one for image i."""
    path = table.mask_path(i)
    if path is None or table.box_ids is None:
        return None
    if table.mask_kind == "panoptic":
        return path, read_segment_ids(path)
    objects = path.parent.parent / OBJECT_FOLDER / path.name
    return (objects, read_mask(objects)) if path.parent.name == CLASS_FOLDER and objects.is_file() else None


def outline_runs(table: Annotations, i: int, row: int, size_hw: tuple[int, int]) -> list[rle.Counts]:
    """Run lengths of the parts of the outline of box `row` in image i. Raises DataError for a box without an outline,
    and for a damaged one."""
    try:
        return _parts(table.outline(row), size_hw)
    except ValueError as error:
        which = row if table.box_ids is None else int(table.box_ids[row])
        raise DataError(
            f"{table.image_path(i)}: box {which} of image {table.image_id(i)!r}: {error}. Correct its "
            "outline, or use a data set that outlines every box."
        ) from error


def _parts(outline: tuple[str, Any] | None, size_hw: tuple[int, int]) -> list[rle.Counts]:
    if outline is None:
        raise ValueError("it has no outline")
    kind, value = outline
    if kind == "rle":
        return [rle.checked(rle.decompress(value), size_hw)]
    return [rle.from_polygon(ring, size_hw) for ring in value]
