"""Batches for supervision by labels: images decoded as they are needed, random parts of them, one label or several.

Letters: B images of a batch, n of a set, K classes, S pixels a side.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from headstart.batches.batch import Batch, draw_seeds
from headstart.batches.image_sets import read_image
from headstart.batches.label_source import LabelSource, label_source, with_examples
from headstart.batches.shuffled import Shuffled
from headstart.data.annotations import Annotations
from headstart.places.images import resize_rgb

LEAST_AREA = 0.08
"""Of the image, in a random part of it (Szegedy et al., arXiv 1409.4842, Sec. 6)."""
ASPECTS = (3 / 4, 4 / 3)
"""Width over height of such a part, drawn evenly in its logarithm."""
TRIES = 10


class LabelBatches(Shuffled):
    """Endless shuffled batches of labelled images, decoded anew each time.

    A random part of each image is brought to S x S pixels, bilinearly and antialiased, and mirrored half of the time
    where `flip` says so. With `least_area=1.0` it is the whole image, stretched, as a detector sees it: the same
    pixels under another supervision. Part and mirroring of image i of batch t depend on (seed, t, i) alone.

    `Batch.image_labels` where images have one label; else those are -1 and `Batch.label_table` says what is known of
    every class. `source` has the rule and the names of the classes. Batches have no boxes.
    """

    def __init__(
        self,
        annotations: Annotations,
        rows: ArrayLike,
        size: int,
        batch_size: int,
        *,
        seed: int,
        flip: bool,
        least_area: float = LEAST_AREA,
        without_examples: Literal["error", "leave_out"] = "error",
    ) -> None:
        """rows: of the table, to train on. Raises DataError as `label_source` and `with_examples` do, ValueError for a
        `least_area` outside (0, 1]."""
        if not 0 < least_area <= 1:
            raise ValueError(f"least_area is {least_area}; it is a share of the image, above 0 and at most 1")
        self.rows = np.asarray(rows, np.int64)
        super().__init__(len(self.rows), batch_size, seed)
        self.annotations, self.size, self.flip, self.least_area = annotations, size, flip, least_area
        self.source = with_examples(label_source(annotations), self.rows, without_examples)

    def batch(self, t: int, part: slice = slice(None)) -> Batch:
        """Batch t; or the images `part` of it. Raises DataError with the path of an image that cannot be decoded."""
        rows = self.rows[self.indices(t)][part]
        generator = np.random.Generator(np.random.PCG64([self.seed, 1, t]))
        draws = generator.random((self.batch_size, 1 + 4 * TRIES))[part]
        images = torch.empty((len(rows), 3, self.size, self.size), dtype=torch.uint8)
        for image, row, draw in zip(images, rows.tolist(), draws, strict=True):
            whole = read_image(self.annotations, row)
            x1, y1, x2, y2 = random_part((whole.shape[0], whole.shape[1]), draw[1:].reshape(TRIES, 4), self.least_area)
            square = to_square(whole[y1:y2, x1:x2], self.size)
            image.copy_(square.flip(2) if self.flip and draw[0] < 0.5 else square)
        several = self.source.several
        return Batch(
            images=images,
            boxes_xyxy=[torch.zeros((0, 4))] * len(rows),
            box_labels=[torch.zeros(0, dtype=torch.int64)] * len(rows),
            image_labels=torch.from_numpy(self.source.labels(rows)),
            masks=None,
            image_ids=[self.annotations.image_id(row) for row in rows.tolist()],
            label_table=torch.from_numpy(self.source.label_table(rows)) if several else None,
            seeds=torch.from_numpy(draw_seeds(self.seed, t, self.batch_size)[part]),
        )


class LabelImages:
    """Labelled images to evaluate on, in their order: nothing random, nothing twice.

    source: of the training (`LabelBatches.source`), so that the classes are the same. rows: of its table; those of
    which nothing is known are no part of it, `left_out` says how many. resize: `crop` takes the center as
    `headstart.places.images.resize_rgb` does, `stretch` the whole image.
    """

    def __init__(
        self, source: LabelSource, rows: ArrayLike, size: int, resize: Literal["crop", "stretch"] = "crop"
    ) -> None:
        asked = np.asarray(rows, np.int64)
        self.source, self.size, self.resize = source, size, resize
        self.rows = asked[source.known[asked]]
        self.left_out = len(asked) - len(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def image_labels(self) -> NDArray[np.int64]:
        """(n,) where images have one label; else -1."""
        return self.source.labels(self.rows)

    @cached_property
    def label_table(self) -> NDArray[np.int8] | None:
        """(n, K) where images may have several labels: 1 present, 0 absent, -1 not known."""
        return self.source.label_table(self.rows) if self.source.several else None

    def pixels(self, part: slice) -> Tensor:
        """(B, 3, S, S) uint8 of the images `part`. Raises DataError with the path of one that cannot be decoded."""
        size_hw = (self.size, self.size)
        images = [
            resize_rgb(read_image(self.source.table, row), size_hw, self.resize) for row in self.rows[part].tolist()
        ]
        return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())


def to_square(part: NDArray[np.uint8], size: int) -> Tensor:
    """(h, w, 3) to (3, size, size) uint8: bilinear, antialiased. A fifth of Pillow's time; values differ by up to 1."""
    pixels = torch.from_numpy(np.array(part, order="C")).permute(2, 0, 1)[None]  # channels-last, the fastest
    return F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)[0]


def random_part(
    size_hw: tuple[int, int], draws: NDArray[np.float64], least_area: float = LEAST_AREA
) -> tuple[int, int, int, int]:
    """A random part of an image of h x w pixels: x1, y1, x2, y2, the last two not in it; all of it where `least_area`
    is 1.

    Area and aspect are drawn until a part of them fits, then its place; after ten times it is the largest part in the
    center whose aspect is allowed. As torchvision's RandomResizedCrop. draws (10, 4): in [0, 1).
    """
    height, width = size_hw
    if least_area >= 1:
        return 0, 0, width, height
    area = height * width * (least_area + (1 - least_area) * draws[:, 0])
    low, high = np.log(ASPECTS)
    aspect = np.exp(low + (high - low) * draws[:, 1])
    widths, heights = np.round(np.sqrt(area * aspect)), np.round(np.sqrt(area / aspect))
    fits = np.flatnonzero((widths > 0) & (widths <= width) & (heights > 0) & (heights <= height))
    if len(fits):
        w, h = int(widths[fits[0]]), int(heights[fits[0]])
        y, x = (int(draws[fits[0], 2] * (height - h + 1)), int(draws[fits[0], 3] * (width - w + 1)))
        return x, y, x + w, y + h
    w, h = width, height
    if width / height < ASPECTS[0]:
        h = min(height, round(width / ASPECTS[0]))
    elif width / height > ASPECTS[1]:
        w = min(width, round(height * ASPECTS[1]))
    x, y = (width - w) // 2, (height - h) // 2
    return x, y, x + w, y + h
