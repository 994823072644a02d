"""Prepared sets in memory, of a few pixels each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.batches.image_sets import ImageSet

Box = tuple[float, float, float, float]


def image_set(
    count: int,
    height: int,
    width: int,
    *,
    images: NDArray[np.uint8] | None = None,
    masks: NDArray[np.uint8] | None = None,
    boxes: Sequence[Sequence[Box]] | None = None,
    labels: Sequence[Sequence[int]] | None = None,
    flags: Sequence[Sequence[int]] | None = None,
    image_labels: ArrayLike | None = None,
) -> ImageSet:
    """Images `i0`, `i1`, .. of noise; ten classes of boxes. The originals were twice as wide and high."""
    if images is None:
        images = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    lists = boxes or [()] * count
    xyxy = np.array([box for own in lists for box in own], np.float32).reshape(-1, 4)
    zeros = [[0] * len(own) for own in lists]
    return ImageSet(
        images=images,
        image_ids=np.array([f"i{k}" for k in range(count)], np.str_),
        sizes_hw=np.tile(np.array([[2 * height, 2 * width]], np.int32), (count, 1)),
        boxes_xyxy=xyxy,
        boxes_source_xyxy=xyxy.astype(np.float64) * 2,
        box_offsets=np.cumsum([0, *map(len, lists)]).astype(np.int64),
        box_labels=np.array([k for own in labels or zeros for k in own], np.int32),
        box_flags=np.array([k for own in flags or zeros for k in own], np.uint8),
        box_classes=np.array([f"c{k}" for k in range(10)], np.str_),
        image_labels=np.full(count, -1, np.int32) if image_labels is None else np.asarray(image_labels, np.int32),
        image_classes=np.array(["v", "w", "x", "y", "z"], np.str_),
        clusters=np.arange(count),
        mask_classes=np.array([], np.str_),
        mask_paths=np.full(count, "", np.str_),
        mask_lut=np.full(256, 255, np.uint8),
        masks=masks,
    )
