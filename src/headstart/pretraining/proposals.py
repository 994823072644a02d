"""Proposals of every training image, in a Parquet file, from which negative chips are mined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotations import Annotations
from headstart.data.detection_files import read_parquet_results
from headstart.errors import DataError
from headstart.store.files import replacing

MOST = 300
"""Proposals of an image, over all scales."""
CLASS = "object"


def write_proposals(path: Path, annotations: Annotations, proposals: dict[str, NDArray[Any]]) -> None:
    """Proposals as `headstart evaluate` reads detections: image_id, class_name, x1, y1, x2, y2, score."""
    import pyarrow
    from pyarrow import parquet

    boxes = proposals["boxes_xyxy"]
    columns: dict[str, Any] = {
        "image_id": annotations.image_ids[proposals["image_index"]],
        "class_name": [CLASS] * len(boxes),
        **{name: boxes[:, k] for k, name in enumerate(("x1", "y1", "x2", "y2"))},
        "score": proposals["scores"],
    }
    with replacing(path) as part:
        parquet.write_table(pyarrow.table(columns), part)


def read_proposals(path: Path, annotations: Annotations) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Boxes (p, 4), clipped to their images, and offsets (n + 1,), in the order of the images.

    Raises DataError for a file that cannot be read, or that has no proposals for most of the images.
    """
    columns = read_parquet_results([path])
    place = {str(name): i for i, name in enumerate(annotations.image_ids)}
    image = np.array([place.get(str(name), -1) for name in columns.images], np.int64)
    seen = len(np.unique(image[image >= 0]))
    if 2 * seen < len(annotations):
        raise DataError(
            f"{path}: it has proposals for {seen} of {len(annotations)} training images. Give the file "
            "that was made for this data set, or none: proposals are then made first."
        )
    order = np.argsort(image, kind="stable")
    order = order[image[order] >= 0]
    limits = annotations.sizes_hw[image[order]][:, [1, 0, 1, 0]]
    counts = np.bincount(image[order], minlength=len(annotations))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return np.clip(columns.numbers[order], 0, limits), offsets
