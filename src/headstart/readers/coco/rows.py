"""Annotations of parsed COCO files: those that can be, ordered by image, as the columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.data.boxes import leaving, to_edges
from headstart.data.columns import BoxColumns, arrow
from headstart.data.faults import Fault, Faults
from headstart.data.rle import FARTHEST
from headstart.readers.boxes import offsets_of
from headstart.readers.coco.annotation_rows import OTHER_FLAGS, About
from headstart.readers.coco.json_files import CocoFile
from headstart.readers.coco.lists import Classes, ImageRows
from headstart.readers.coco.words import short


@dataclass(frozen=True)
class Part:
    """The m annotations of one file that can be, ordered by image."""

    images: NDArray[np.int64]
    """(m,) place in `ImageRows.entries`."""
    source: NDArray[np.float64]
    labels: NDArray[np.int32]
    flags: NDArray[np.uint8]
    ids: NDArray[np.int64] | None
    areas: NDArray[np.float64] | None
    polygons: pa.Array | None
    rles: list[bytes | None] | None


class _Sieve:
    """Which rows of a file are good, and the reports of the others: one each, the first that is found."""

    def __init__(self, file: CocoFile, faults: Faults) -> None:
        self.rows, self.path, self.faults = file.rows, str(file.path), faults
        self.good = np.ones(len(file.rows), bool)
        self.outlined = np.ones(len(file.rows), bool)

    def record(self, row: int) -> str:
        number = self.rows.ids[row]
        return f"annotation number {row}" if number is None else f"annotation {short(number)}"

    def leave_out(self, row: int, rule: str, why: str, fix: str, *, about: About = "record") -> None:
        """The annotation; or, where the fault is about a part of it, that part alone: the box stays."""
        if not self.good[row]:
            return
        advice = fix if about == "box" else f"{fix}."
        fault = Fault(rule, self.path, self.record(row), why, advice, of_record=about != "part")
        (self.faults.box if about == "box" else self.faults.record)(fault)
        self.good[row] = about == "part"

    def without_outline(self, row: int, rule: str, why: str, fix: str) -> None:
        """Leaves the outline out."""
        self.leave_out(row, rule, why, fix, about="part")
        self.outlined[row] = False


def part_of(file: CocoFile, images: ImageRows, classes: Classes, faults: Faults, *, notes: list[str]) -> Part:
    """Reports every annotation that cannot be to `faults`, and tells in `notes` what is merely odd.

    Ids of panoptic segments are unique within their image, others within their file.
    """
    rows, sieve = file.rows, _Sieve(file, faults)
    for position, entry in file.strays:
        faults.record(
            Fault(
                "annotation-without-image",
                sieve.path,
                f"annotation number {position}",
                f"names neither image nor category ({short(entry)})",
                "Write its image_id and category_id.",
            )
        )
    image = _places(rows.image_ids, images.index)
    label = _places(rows.category_ids, classes.index)
    _sieve_references(sieve, image, label, images, notes=notes)
    for row, rule, why, fix, about in rows.odd:
        sieve.leave_out(row, rule, why, fix, about=about)
    _sieve_outlines(sieve, image, images)
    ids = _ids(sieve, image if file.panoptic else np.zeros(len(rows), np.int64), notes)
    boxes = np.frombuffer(rows.boxes, np.float64).reshape(-1, 4)
    chosen = np.flatnonzero(sieve.good)
    keep = faults.settle_boxes(
        boxes[chosen], "coco", images.sizes_hw[image[chosen]], lambda k: (sieve.path, sieve.record(int(chosen[k])))
    )
    chosen = chosen[keep]
    beyond = np.flatnonzero(leaving(to_edges(boxes[chosen], "coco", np.zeros(2, int)), images.sizes_hw[image[chosen]]))
    if len(beyond):
        notes.append(
            f"{sieve.path}: {len(beyond)} boxes leave their images and are clipped where they are trained on; "
            f"first: {sieve.record(int(chosen[beyond[0]]))}"
        )
    if rows.unread:
        notes.append(
            f"{sieve.path}: {rows.unread} values of {', '.join(OTHER_FLAGS)} are neither 0 nor 1 and were not read"
        )
    chosen = chosen[np.argsort(image[chosen], kind="stable")]
    return Part(
        images=image[chosen],
        source=boxes[chosen],
        labels=label[chosen].astype(np.int32),
        flags=np.frombuffer(rows.flags, np.uint8)[chosen],
        ids=None if ids is None else ids[chosen],
        areas=_areas(sieve, chosen, boxes, notes),
        polygons=_polygons(sieve, chosen, notes),
        rles=_rles(sieve, chosen) if rows.rles else None,
    )


def columns_of(parts: Sequence[Part], known: Sequence[Sequence[bool]], classes: Classes) -> BoxColumns:
    """The parts end to end. known: of every image of each file, whether its boxes are listed, be it none."""
    firsts = np.cumsum([0, *map(len, known)])
    of_image = np.concatenate([part.images + first for part, first in zip(parts, firsts, strict=False)])
    return BoxColumns(
        offsets=offsets_of(of_image, int(firsts[-1])),
        source=np.concatenate([part.source for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        flags=np.concatenate([part.flags for part in parts]),
        known=np.concatenate([np.asarray(of_file, bool) for of_file in known]),
        classes=classes.names,
        class_ids=classes.ids,
        convention="coco",
        ids=_joined([(part.ids, len(part.labels)) for part in parts], -1),
        areas=_joined([(part.areas, len(part.labels)) for part in parts], np.nan),
        polygons=_joined_polygons(parts),
        rles=_joined_rles(parts),
    )


def _places(ids: list[Any], index: dict[Any, int]) -> NDArray[np.int64]:
    """(k,) where in the list each id stands; -1 for those that do not."""
    if set(map(type, ids)) <= {int, str, float}:
        return np.fromiter((index.get(i, -1) for i in ids), np.int64, len(ids))
    return np.array([index.get(i, -1) if type(i) in (int, str, float) else -1 for i in ids], np.int64)


def _sieve_references(
    sieve: _Sieve, image: NDArray[np.int64], label: NDArray[np.int64], images: ImageRows, *, notes: list[str]
) -> None:
    """Leaves out annotations of images and categories that are not there."""
    gone = 0
    for row in np.flatnonzero(image < 0).tolist():
        number = sieve.rows.image_ids[row]
        if type(number) in (int, str) and number in images.left_out:
            sieve.good[row] = False
            gone += 1
        else:
            sieve.leave_out(
                row,
                "annotation-without-image",
                f"is of image {short(number)}, which the file does not list",
                "List the image, or take the annotation out",
            )
    if gone:
        notes.append(f"{sieve.path}: {gone} annotations were left out with their images")
    for row in np.flatnonzero(sieve.good & (label < 0)).tolist():
        number = sieve.rows.category_ids[row]
        rule = "label-missing" if number is None else "label-unknown"
        sieve.leave_out(
            row,
            rule,
            f"has category_id {short(number)}, which is no category of the file",
            "Correct it, or list the category",
        )


def _sieve_outlines(sieve: _Sieve, image: NDArray[np.int64], images: ImageRows) -> None:
    for row, (_, height, width) in sieve.rows.rles.items():
        size = images.sizes_hw[image[row]].tolist() if sieve.good[row] else [0, 0]
        if any(size) and size != [height, width]:
            why = f"has run lengths of {width} x {height}, its image is {size[1]} x {size[0]}"
            sieve.without_outline(row, "mask-size-differs", why, "Export the mask at the size of its image")
    corners, lengths, rings = sieve.rows.polygon_columns()
    # Without a copy of what may be half a gigabyte; NaN compares false.
    if not len(corners) or (corners.max() <= FARTHEST and corners.min() >= -FARTHEST):
        return
    far = np.flatnonzero(~(np.abs(corners) <= FARTHEST))
    of_ring = np.searchsorted(np.cumsum(lengths), far, side="right")
    for row in np.unique(np.searchsorted(np.cumsum(np.maximum(rings, 0)), of_ring, side="right")).tolist():
        sieve.without_outline(
            row,
            "outline-unreadable",
            f"has a polygon with corners that are not finite or more than {FARTHEST:.0f} pixels away",
            "Correct the polygon, or take segmentation out",
        )


def _ids(sieve: _Sieve, scope: NDArray[np.int64], notes: list[str]) -> NDArray[np.int64] | None:
    """(k,) the file's ids, unique within a scope; None where it has none, or texts."""
    types = set(map(type, sieve.rows.ids))
    if types <= {type(None)}:
        return None
    if types == {str}:
        notes.append(f"{sieve.path}: ids of annotations are texts; they are known by their places instead")
        return None
    ids = np.zeros(len(sieve.rows), np.int64)
    if types == {int} and max(map(abs, sieve.rows.ids)) < 2**63:
        ids[:] = sieve.rows.ids
    else:
        for row, number in enumerate(sieve.rows.ids):
            if type(number) is int and abs(number) < 2**63:
                ids[row] = number
            else:
                sieve.leave_out(row, "id-missing", f"has id {short(number)}", "Give it a whole number of its own")
    order = np.lexsort((np.arange(len(ids)), ids, scope))
    again = (np.diff(ids[order]) == 0) & (np.diff(scope[order]) == 0)
    for row in np.sort(order[1:][again]).tolist():
        sieve.leave_out(
            row,
            "id-not-unique",
            f"is number {row} of the file and has the id of an earlier one",
            "Give every annotation an id of its own",
        )
    return ids


def _areas(
    sieve: _Sieve, chosen: NDArray[np.int64], boxes: NDArray[np.float64], notes: list[str]
) -> NDArray[np.float64] | None:
    """The file's own areas; those of boxes for the few that lack one, None where all do."""
    areas = np.frombuffer(sieve.rows.areas, np.float64)[chosen]
    lacking = np.flatnonzero(np.isnan(areas))
    if len(lacking) == len(areas):
        return None
    if len(lacking):
        notes.append(
            f"{sieve.path}: {len(lacking)} annotations have no area, which is that of their boxes now; first: "
            f"{sieve.record(int(chosen[lacking[0]]))}"
        )
        areas[lacking] = boxes[chosen[lacking], 2] * boxes[chosen[lacking], 3]
    return areas


def _rles(sieve: _Sieve, chosen: NDArray[np.int64]) -> list[bytes | None]:
    return [sieve.rows.rles.get(row, (None,))[0] if sieve.outlined[row] else None for row in chosen.tolist()]


def _polygons(sieve: _Sieve, chosen: NDArray[np.int64], notes: list[str]) -> pa.Array | None:
    corners, lengths, rings = sieve.rows.polygon_columns()
    if not (rings >= 0).any():
        return None
    lines = int((lengths < 6).sum())
    if lines:
        why = f"{lines} polygons of outlines have fewer than three corners and cover nothing"
        sieve.faults.lost(Fault("outline-unreadable", sieve.path, "", why, "Export the outlines again."))
    inner = _lists(lengths, arrow(corners))
    outer = _lists(np.maximum(rings, 0), inner, (rings < 0) | ~sieve.outlined)
    if np.array_equal(chosen, np.arange(len(rings))):
        return outer
    return outer.take(arrow(chosen))


def _lists(
    lengths: NDArray[np.int64], values: pa.Array, missing: NDArray[np.bool_] | None = None
) -> pa.ListArray | pa.LargeListArray:
    kind, width = (pa.ListArray, np.int32) if len(values) < 2**31 else (pa.LargeListArray, np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(width)
    mask = arrow(missing) if missing is not None and missing.any() else None
    return kind.from_arrays(arrow(offsets), values, mask=mask)


def _joined(columns: list[tuple[NDArray[Any] | None, int]], missing: float) -> NDArray[Any] | None:
    present = [column for column, _ in columns if column is not None]
    if not present:
        return None
    return np.concatenate([np.full(n, missing, present[0].dtype) if c is None else c for c, n in columns])


def _joined_polygons(parts: Sequence[Part]) -> pa.Array | None:
    kinds = [part.polygons.type for part in parts if part.polygons is not None]
    if len(parts) == 1 or not kinds:
        return parts[0].polygons if parts else None
    kind = max(kinds, key=pa.types.is_large_list)
    return pa.concat_arrays(
        [pa.nulls(len(part.labels), kind) if part.polygons is None else part.polygons.cast(kind) for part in parts]
    )


def _joined_rles(parts: Sequence[Part]) -> pa.Array | None:
    if all(part.rles is None for part in parts):
        return None
    texts = [text for part in parts for text in (part.rles or [None] * len(part.labels))]
    return pa.array(texts, pa.binary())
