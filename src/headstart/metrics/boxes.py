"""True boxes and detections as flat arrays, checked once before they are scored.

Letters: n images, m true boxes, d detections, K classes. Boxes are xyxy, absolute pixels, continuous edges:
`width = x2 - x1`. Classes are 0..K-1, there is no background class.

COCO's files give x, y, width, height. x + width - x need not be the width to the last bit, so `from_xywh` keeps width x
height beside the edges; with it IoUs are those of pycocotools bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import DataError
from headstart.metrics.masks import Masks

DIFFICULT, CROWD, GROUP_OF = 1, 2, 4
"""Bits of `Truth.flags` that the metrics read; the other bits of the annotation table do not matter to them."""

NAMED = 3
"""How many faulty records a message names before it only counts them."""


@dataclass(frozen=True, eq=False)
class Verified:
    """Image-level labels that people verified (Open Images, LVIS): which classes are present in an image, which are
    absent, and of which not every instance has a box.

    present_offsets, absent_offsets, partial_offsets (n + 1,): labels of image i are rows offsets[i]:offsets[i + 1] of
    present, absent, partial. No partial ones where they are not given.
    """

    present_offsets: NDArray[np.int64]
    present: NDArray[np.int64]
    absent_offsets: NDArray[np.int64]
    absent: NDArray[np.int64]
    partial_offsets: NDArray[np.int64] = None  # type: ignore[assignment]
    partial: NDArray[np.int64] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.partial is None:
            object.__setattr__(self, "partial_offsets", np.zeros(len(self.present_offsets), np.int64))
            object.__setattr__(self, "partial", np.zeros(0, np.int64))
        for what in ("present", "absent", "partial"):
            offsets = _as_type(f"{what}_offsets", getattr(self, f"{what}_offsets"), np.int64)
            labels = _as_type(what, getattr(self, what), np.int64)
            wrong = offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or offsets[-1] != len(labels)
            if wrong or (np.diff(offsets) < 0).any():
                raise ValueError(f"{what}_offsets must rise from 0 to the number of labels ({len(labels)})")
            object.__setattr__(self, f"{what}_offsets", offsets)
            object.__setattr__(self, what, labels)
        sizes = [len(self.present_offsets), len(self.absent_offsets), len(self.partial_offsets)]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"present_offsets has {sizes[0]} entries, absent_offsets {sizes[1]}, partial_offsets {sizes[2]}; all "
                "must be images + 1"
            )


@dataclass(frozen=True, eq=False)
class Truth:
    """True boxes of a test set of `num_images` images, in any order.

    image_index (m,) int64, 0..n-1; boxes_xyxy (m, 4) float64; labels (m,) int64, 0..K-1; flags (m,) uint8, bits of
    DIFFICULT, CROWD and GROUP_OF. Images without any box belong to the set as well: `num_images` counts them.
    box_areas (m,) float64: width x height, from the boxes where not given. areas (m,) float64: area of the object as
    area ranges see it (COCO: of its mask); box_areas where not given. verified: only the protocols `openimages` and
    `lvis` read it; None means that every class was verified in every image. masks: only `coco-segm` reads them.
    """

    image_index: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]
    flags: NDArray[np.uint8]
    num_images: int
    num_classes: int
    box_areas: NDArray[np.float64] = None  # type: ignore[assignment]
    areas: NDArray[np.float64] = None  # type: ignore[assignment]
    verified: Verified | None = None
    masks: Masks | None = None

    def __post_init__(self) -> None:
        _set_arrays(self, {"image_index": np.int64, "labels": np.int64, "flags": np.uint8})
        _check_masks(self.masks, len(self.labels))
        if self.areas is None:
            object.__setattr__(self, "areas", self.box_areas)
        _set_column(self, "areas", np.float64)
        if self.verified is not None and len(self.verified.present_offsets) != self.num_images + 1:
            raise ValueError(
                f"verified is for {len(self.verified.present_offsets) - 1} images, the test set has {self.num_images}"
            )

    @classmethod
    def from_xywh(
        cls,
        image_index: ArrayLike,
        boxes_xywh: ArrayLike,
        labels: ArrayLike,
        flags: ArrayLike,
        *,
        num_images: int,
        num_classes: int,
        areas: ArrayLike | None = None,
    ) -> Truth:
        """The same from x, y, width, height (m, 4) in float64 as COCO's files give them, and their `area` (m,)."""
        xyxy, box_areas = _edges(boxes_xywh)
        return cls(image_index, xyxy, labels, flags, num_images, num_classes, box_areas, areas)  # type: ignore[arg-type]

    def take(self, rows: NDArray, **changed: Any) -> Truth:
        """The true boxes `rows` (indices or a mask) of the same images; columns may be given anew."""
        names = ("image_index", "boxes_xyxy", "labels", "flags", "box_areas", "areas")
        masks = None if self.masks is None else self.masks.take(rows)
        return replace(self, **{name: getattr(self, name)[rows] for name in names} | {"masks": masks} | changed)


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections on the same images, in any order; the order only decides between equal scores.

    image_index (d,) int64; boxes_xyxy (d, 4) float64; labels (d,) int64; scores (d,) float64, higher is surer, on any
    scale: only their order matters, and they are never rounded. box_areas (d,) float64, masks: as in `Truth`.
    """

    image_index: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    box_areas: NDArray[np.float64] = None  # type: ignore[assignment]
    masks: Masks | None = None

    def __post_init__(self) -> None:
        _set_arrays(self, {"image_index": np.int64, "labels": np.int64, "scores": np.float64})
        _check_masks(self.masks, len(self.labels))

    @classmethod
    def from_xywh(
        cls, image_index: ArrayLike, boxes_xywh: ArrayLike, labels: ArrayLike, scores: ArrayLike
    ) -> Detections:
        """The same from x, y, width, height (d, 4) in float64, as in COCO's results files."""
        xyxy, box_areas = _edges(boxes_xywh)
        return cls(image_index, xyxy, labels, scores, box_areas=box_areas)  # type: ignore[arg-type]

    def take(self, rows: NDArray, **changed: Any) -> Detections:
        """The detections `rows` (indices or a mask); columns may be given anew."""
        names = ("image_index", "boxes_xyxy", "labels", "scores", "box_areas")
        masks = None if self.masks is None else self.masks.take(rows)
        return replace(self, **{name: getattr(self, name)[rows] for name in names} | {"masks": masks} | changed)


def check_boxes(truth: Truth, detections: Detections) -> None:
    """Raise DataError, naming the first few records, unless both tables hold together.

    Faults: boxes that are not finite, x2 < x1 or y2 < y1 (zero width is allowed and overlaps nothing), labels outside
    0..K-1, image indices outside 0..n-1, scores that are not a number.
    """
    for what, table in (("true boxes", truth), ("detections", detections)):
        boxes, images, labels = table.boxes_xyxy, table.image_index, table.labels
        if _sound(boxes, images, truth.num_images, labels, num_classes=truth.num_classes):
            continue
        for bad, fault, values, advice in (
            (
                np.any(~np.isfinite(boxes), axis=1),
                "coordinates that are not finite",
                boxes,
                "Give absolute pixels; leave out boxes that a model could not compute.",
            ),
            (
                np.any(boxes[:, 2:] < boxes[:, :2], axis=1),
                "x2 < x1 or y2 < y1",
                boxes,
                "Boxes are x1, y1, x2, y2; convert x, y, width, height first.",
            ),
            (
                (labels < 0) | (labels >= truth.num_classes),
                f"a label outside 0..{truth.num_classes - 1}",
                labels,
                "Labels start at 0 and there is no background class.",
            ),
            (
                (images < 0) | (images >= truth.num_images),
                f"an image index outside 0..{truth.num_images - 1}",
                images,
                "Leave out boxes on images that are not in the test set.",
            ),
        ):
            _refuse(bad, what, images, fault, values=values, advice=advice)
    no_area = "Give the area of every object, or none to use those of the boxes."
    no_score = "Leave out detections without a score."
    for what, table, kind, values, advice in (
        ("true boxes", truth, "an area", truth.areas, no_area),
        ("detections", detections, "a score", detections.scores, no_score),
    ):
        fault = f"{kind} that is not a number"
        _refuse(np.isnan(values), what, table.image_index, fault, values=values, advice=advice)


def _sound(boxes: NDArray, images: NDArray, num_images: int, labels: NDArray, *, num_classes: int) -> bool:
    """Whether none of the faults is there: whole columns at once, a tenth of the time that naming the records takes."""
    if not len(boxes):
        return True
    return bool(
        np.isfinite(boxes).all()
        and (boxes[:, 0] <= boxes[:, 2]).all()
        and (boxes[:, 1] <= boxes[:, 3]).all()
        and images.min() >= 0
        and images.max() < num_images
        and labels.min() >= 0
        and labels.max() < num_classes
    )


def _refuse(
    bad: NDArray[np.bool_], what: str, images: NDArray[np.int64], fault: str, *, values: NDArray[Any], advice: str
) -> None:
    where = np.flatnonzero(bad)
    if not len(where):
        return
    named = "; ".join(f"record {i} (image {images[i]}): {values[i].tolist()}" for i in where[:NAMED])
    more = f"; and {len(where) - NAMED} more" if len(where) > NAMED else ""
    raise DataError(f"{len(where)} of {len(bad)} {what} have {fault}: {named}{more}. {advice}")


def _edges(boxes_xywh: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """xyxy (m, 4) and width x height (m,)."""
    boxes = np.asarray(boxes_xywh, dtype=np.float64)
    boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes_xywh has shape {boxes.shape}; it must be (number of boxes, 4)")
    edges = boxes.copy()
    edges[:, 2:] += boxes[:, :2]
    return edges, boxes[:, 2] * boxes[:, 3]


def _check_masks(masks: Masks | None, count: int) -> None:
    if masks is not None and len(masks) != count:
        raise ValueError(f"there are {len(masks)} masks and {count} boxes; give every box its mask, or none")


def _set_arrays(table: Truth | Detections, columns: dict[str, type]) -> None:
    """Bring the columns to their types and refuse columns of different lengths."""
    boxes = np.asarray(table.boxes_xyxy, dtype=np.float64)
    boxes = np.ascontiguousarray(boxes.reshape(-1, 4) if boxes.size == 0 else boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes_xyxy has shape {boxes.shape}; it must be (number of boxes, 4)")
    object.__setattr__(table, "boxes_xyxy", boxes)
    if table.box_areas is None:
        with np.errstate(over="ignore"):  # a box of 1e308 pixels has an infinite area, and is too large to be counted
            areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        object.__setattr__(table, "box_areas", areas)
    for name, dtype in {**columns, "box_areas": np.float64}.items():
        _set_column(table, name, dtype)


def _set_column(table: Truth | Detections, name: str, dtype: type) -> None:
    values, boxes = _as_type(name, getattr(table, name), dtype), table.boxes_xyxy
    if values.shape != (len(boxes),):
        raise ValueError(f"{name} has shape {values.shape}, boxes_xyxy {boxes.shape}; they must be equally long")
    object.__setattr__(table, name, values)


def _as_type(name: str, values: ArrayLike, dtype: type) -> NDArray[Any]:
    column = np.asarray(values)
    if np.issubdtype(dtype, np.integer) and column.size and column.dtype.kind not in "iub":
        raise ValueError(f"{name} holds {column.dtype}; it must hold whole numbers")
    return np.ascontiguousarray(column, dtype=dtype)
