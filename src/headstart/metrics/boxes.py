"""True boxes and detections as flat arrays, checked once before they are scored.

Letters: n images, m true boxes, d detections, K classes. Boxes are xyxy, absolute pixels, continuous edges:
`width = x2 - x1`. Classes are 0..K-1, there is no background class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import DataError

DIFFICULT, CROWD, GROUP_OF = 1, 2, 4
"""Bits of `Truth.flags` that the metrics read; the other bits of the annotation table do not matter to them."""

NAMED = 3
"""How many faulty records a message names before it only counts them."""


@dataclass(frozen=True, eq=False)
class Truth:
    """True boxes of a test set of `num_images` images, in any order.

    image_index (m,) int64, 0..n-1; boxes_xyxy (m, 4) float64; labels (m,) int64, 0..K-1; flags (m,) uint8, bits of
    DIFFICULT, CROWD and GROUP_OF. Images without any box belong to the set as well: `num_images` counts them.
    """

    image_index: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]
    flags: NDArray[np.uint8]
    num_images: int
    num_classes: int

    def __post_init__(self) -> None:
        _set_arrays(self, {"image_index": np.int64, "labels": np.int64, "flags": np.uint8})


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections on the same images, in any order; the order only decides between equal scores.

    image_index (d,) int64; boxes_xyxy (d, 4) float64; labels (d,) int64; scores (d,) float64, higher is surer, on any
    scale: only their order matters, and they are never rounded.
    """

    image_index: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        _set_arrays(self, {"image_index": np.int64, "labels": np.int64, "scores": np.float64})


def check_boxes(truth: Truth, detections: Detections) -> None:
    """Raise DataError, naming the first few records, unless both tables hold together.

    Faults: boxes that are not finite, x2 < x1 or y2 < y1 (zero width is allowed and overlaps nothing), labels outside
    0..K-1, image indices outside 0..n-1, scores that are not a number.
    """
    for what, table in (("true boxes", truth), ("detections", detections)):
        boxes, images, labels = table.boxes_xyxy, table.image_index, table.labels
        _refuse(np.any(~np.isfinite(boxes), axis=1), what, images, "coordinates that are not finite", boxes,
                "Give absolute pixels; leave out boxes that a model could not compute.")  # fmt: skip
        _refuse(np.any(boxes[:, 2:] < boxes[:, :2], axis=1), what, images, "x2 < x1 or y2 < y1", boxes,
                "Boxes are x1, y1, x2, y2; convert x, y, width, height first.")  # fmt: skip
        _refuse((labels < 0) | (labels >= truth.num_classes), what, images,
                f"a label outside 0..{truth.num_classes - 1}", labels,
                "Labels start at 0 and there is no background class.")  # fmt: skip
        _refuse((images < 0) | (images >= truth.num_images), what, images,
                f"an image index outside 0..{truth.num_images - 1}", images,
                "Leave out boxes on images that are not in the test set.")  # fmt: skip
    _refuse(np.isnan(detections.scores), "detections", detections.image_index, "a score that is not a number",
            detections.scores, "Leave out detections without a score.")  # fmt: skip


def _refuse(
    bad: NDArray[np.bool_], what: str, images: NDArray[np.int64], fault: str, values: NDArray[Any], advice: str
) -> None:
    where = np.flatnonzero(bad)
    if not len(where):
        return
    named = "; ".join(f"record {i} (image {images[i]}): {values[i].tolist()}" for i in where[:NAMED])
    more = f"; and {len(where) - NAMED} more" if len(where) > NAMED else ""
    raise DataError(f"{len(where)} of {len(bad)} {what} have {fault}: {named}{more}. {advice}")


def _set_arrays(table: Truth | Detections, columns: dict[str, type]) -> None:
    """Bring the columns to their types and refuse columns of different lengths."""
    boxes = np.asarray(table.boxes_xyxy, dtype=np.float64)
    boxes = np.ascontiguousarray(boxes.reshape(-1, 4) if boxes.size == 0 else boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes_xyxy has shape {boxes.shape}; it must be (number of boxes, 4)")
    object.__setattr__(table, "boxes_xyxy", boxes)
    for name, dtype in columns.items():
        values = _as_type(name, getattr(table, name), dtype)
        if values.shape != (len(boxes),):
            raise ValueError(f"{name} has shape {values.shape}, boxes_xyxy {boxes.shape}; they must be equally long")
        object.__setattr__(table, name, values)


def _as_type(name: str, values: ArrayLike, dtype: type) -> NDArray[Any]:
    given = np.asarray(values)
    if np.issubdtype(dtype, np.integer) and given.size and given.dtype.kind not in "iub":
        raise ValueError(f"{name} holds {given.dtype}; it must hold whole numbers")
    return np.ascontiguousarray(given, dtype=dtype)
