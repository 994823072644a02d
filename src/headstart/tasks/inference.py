"""Images in, detections out: of prepared sets, of whole images of any size, of a single picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.batches.chips.scales import Scale
from headstart.batches.image_batches import in_order, pixels_of
from headstart.batches.image_sets import ImageSet
from headstart.data.annotations import Annotations
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.detection.multi_scale import MOST, detect_scales
from headstart.places.images import read_rgb

BATCH_SIZE = 32
COLUMNS = ("image_index", "boxes_xyxy", "labels", "scores")
ImageColumns = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float32]]
"""`COLUMNS` of one image: boxes (d, 4) in pixels of the original image, the others (d,)."""


@dataclass(frozen=True)
class Inputs:
    """Images that pass the network together: pixels (B, 3, h, w) uint8 RGB, and the number of each."""

    pixels: Tensor
    numbers: Sequence[int]
    scales_xy: NDArray[np.float64]
    """(B, 2) width and height of these pixels over those of the original images."""
    shown_hw: NDArray[np.int32] | None = None
    """(B, 2) rows and columns that show the originals, of letterboxes; None: all."""


def prepared_images(images: ImageSet) -> Iterator[Inputs]:
    """A prepared set, in order, as it was resized."""
    for part in in_order(images, BATCH_SIZE):
        numbers = range(part.start, part.stop)
        shown = None if images.shown_hw is None else images.shown_hw[part]
        yield Inputs(pixels_of(images, part), numbers, np.stack([images.scale_xy(i) for i in numbers]), shown)


def whole_images(annotations: Annotations, rows: Iterable[int]) -> Iterator[Inputs]:
    """The images `rows` of a table, decoded one after the other at their own sizes."""
    for row in rows:
        pixels = read_rgb(annotations.image_path(row), annotations.size_hw(row) or None)
        yield picture(pixels, row)


def picture(
    pixels: NDArray[np.uint8],
    number: int = 0,
    scale_xy: tuple[float, float] = (1.0, 1.0),
    shown_hw: tuple[int, int] | None = None,
) -> Inputs:
    """One image (h, w, 3) RGB."""
    shown = None if shown_hw is None else np.array([shown_hw], np.int32)
    return Inputs(torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()), [number], np.array([scale_xy]), shown)


@torch.no_grad()
def detected(
    model: Any,
    preprocessing: Preprocessing,
    inputs: Iterable[Inputs],
    scales: Sequence[Scale] = (),
    *,
    most: int = MOST,
) -> Iterator[list[ImageColumns]]:
    """Detections of every image of each `inputs`, computed on the model's own device and in its precision.

    scales: at which images are looked at, the surest `most` over all of them; none: as they are, by the detector's own
    limits.
    """
    model.eval()
    weight = next(model.parameters())
    for batch in inputs:
        images = preprocessing.apply(batch.pixels.to(weight.device)).to(weight.dtype)
        detections = detect_scales(model, images, scales, most) if scales else model.detect(images)
        found = [
            (
                np.full(len(of_image.labels), number, np.int64),
                of_image.boxes_xyxy.double().cpu().numpy(),
                of_image.labels.cpu().numpy().astype(np.int64),
                of_image.scores.float().cpu().numpy(),
            )
            for of_image, number in zip(detections, batch.numbers, strict=True)
        ]
        if batch.shown_hw is not None:
            found = [_ending_at(columns, shown) for columns, shown in zip(found, batch.shown_hw, strict=True)]
        yield [
            (numbers, boxes / np.tile(scale_xy, 2), labels, scores)
            for (numbers, boxes, labels, scores), scale_xy in zip(found, batch.scales_xy, strict=True)
        ]


def _ending_at(columns: ImageColumns, shown_hw: NDArray[np.int32]) -> ImageColumns:
    """Boxes cut where a letterbox's image ends, as those of a whole picture are at its border; without those beyond."""
    numbers, boxes, labels, scores = columns
    boxes = np.minimum(boxes, np.tile(shown_hw[::-1], 2))
    kept = (boxes[:, :2] < boxes[:, 2:]).all(1)
    return numbers[kept], boxes[kept], labels[kept], scores[kept]


def joined(images: Iterable[ImageColumns]) -> dict[str, NDArray[Any]]:
    """The columns of all images, by name."""
    none: ImageColumns = (np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.float32))
    return dict(zip(COLUMNS, map(np.concatenate, zip(none, *images, strict=True)), strict=True))
