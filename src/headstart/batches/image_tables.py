"""The table of an image set: drawn or prepared images, read as a data set's own are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.batches.image_sets import ImageSet
from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.places.paths import DataPath
from headstart.places.pixels import SUFFIX, Pixels


def table_of(folder: Path, split: str = "train") -> Annotations:
    """The images of the set in `folder`, at their prepared size, as a table whose images are all of one split.

    Chips, crops and pyramids can then be taken of them as of files. Raises StoreError as `ImageSet.open` does.
    """
    images = ImageSet.open(folder)
    count, (height, width) = len(images), images.images.shape[1:3]
    boxes = BoxColumns(
        offsets=images.box_offsets.astype(np.int64),
        source=images.boxes_xyxy.astype(np.float64),
        labels=images.box_labels,
        flags=images.box_flags,
        known=np.ones(count, bool),
        classes=tuple(map(str, images.box_classes)),
        convention="edges",
    )
    return annotate(
        DataPath(Pixels(str(folder))),
        "image set",
        list(map(str, images.image_ids)),
        [f"{row}{SUFFIX}" for row in range(count)],
        sizes_hw=np.tile([height, width], (count, 1)),
        splits=[split] * count,
        image_labels=images.image_labels,
        image_classes=tuple(map(str, images.image_classes)),
        boxes=boxes,
        unique_ids=True,
    )
