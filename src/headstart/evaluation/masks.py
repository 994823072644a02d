"""Masks of true objects and of detections, brought together for protocols that compare masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from headstart.data import rle
from headstart.data.annotations import Annotations
from headstart.data.detections import DetectionSet
from headstart.data.masks import outline_runs as true_runs
from headstart.data.results.records import outline_runs
from headstart.errors import DataError
from headstart.metrics.boxes import Detections, Truth
from headstart.metrics.masks import Masks

NAMED = 3
Sizes = dict[int, tuple[int, int]]
"""Image, by its place among the scored ones -> height and width of its masks."""


def detection_masks(side: DetectionSet, annotations: Annotations, rows: NDArray[np.int64], sizes: Sizes) -> Detections:
    """The detections with their masks. sizes: those of their images are added, as the data set says, else as the first
    run lengths there say. Raises DataError for detections without an outline, damaged ones, and ones of another size.
    """
    outlines = side.outlines
    lacking = [] if outlines is None else [i for i, text in enumerate(outlines) if not text]
    if outlines is None or lacking:
        count = len(side.detections.labels)
        where = f": {', '.join(side.where(i) for i in lacking[:NAMED])}" if lacking else ""
        raise DataError(
            f"{len(lacking) or count} of {count} detections ({side.format}) have no mask{where}. Masks are compared: "
            "write COCO results with segmentation (run lengths or polygons), or ask for --protocol coco."
        )
    runs = []
    for i, (image, text) in enumerate(zip(side.detections.image_index.tolist(), outlines, strict=True)):
        known = sizes.get(image) or _known(annotations.size_hw(int(rows[image])))
        try:
            counts, size = outline_runs(text, known)
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"{side.where(i)} has a segmentation that cannot be read: {error}. Write it again."
            ) from error
        if size != (known or size):
            assert known is not None
            raise DataError(
                f"{side.where(i)} has a mask of {size[1]} x {size[0]}, its image is {known[1]} x {known[0]}. Write "
                "masks at the size of their images."
            )
        sizes[image] = size
        runs.append(counts)
    return replace(side.detections, masks=Masks.of(runs))


def truth_masks(
    truth: Truth, annotations: Annotations, rows: NDArray[np.int64], sizes: Sizes, *, say: Callable[[str], None]
) -> Truth:
    """The truth with masks. Objects on images without any detection, whose size need not be known, get an empty one.

    Raises DataError for objects without an outline, for damaged ones, and for masks of another size.
    """
    say(f"drawing the outlines of {len(truth.labels):,} objects")
    runs = []
    for k, row in enumerate(rows.tolist()):
        size = sizes.get(k)
        for box in range(int(annotations.box_offsets[row]), int(annotations.box_offsets[row + 1])):
            if size is None:
                runs.append(np.zeros(1, np.int64))
                continue
            try:
                parts = true_runs(annotations, row, box, size)
            except DataError as error:
                raise DataError(f"{error} Masks are compared: ask for --protocol coco to compare boxes.") from error
            runs.append(rle.merge(parts, size))
    return replace(truth, masks=Masks.of(runs))


def _known(size_hw: tuple[int, int]) -> tuple[int, int] | None:
    return size_hw if all(size_hw) else None
