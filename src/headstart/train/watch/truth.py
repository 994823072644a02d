"""What can be seen in images and annotation alone, before the first update.

Letters: B images of a batch, n of a set, N boxes, K classes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.batches.batch import NOT_TRAINED_ON, Batch
from headstart.batches.chips.batches import ChipBatches
from headstart.batches.chips.cutting import PADDING
from headstart.batches.image_batches import Batches
from headstart.batches.label_batches import LabelBatches
from headstart.train.loaders import BatchSource
from headstart.train.watch.measures import Measure

Reads = Literal["boxes", "masks", "labels"]
"""The annotation that a training reads."""
OUTSIDE = 0.02
"""Of an image's side, beyond which a box that leaves it counts as outside; what is rounded lies within."""
FEW_IMAGES = 20
"""Below so many images one class of several is no sign of anything."""
FEW_BOXES = 10
"""Below so many, none may suit by chance."""
RARE = 6.0
"""Minus the logarithm (10) of a probability that is no chance any more."""
MASKS = 256
"""Masks of a set that are looked through for a second class."""


def of_batch(batch: Batch, reads: Reads | None, num_classes: int | None) -> list[Measure]:
    """Measures of one batch; reads: the annotation that the model is trained on."""
    measures = of_images(batch.images)
    size_hw = (batch.images.shape[-2], batch.images.shape[-1])
    if reads == "boxes":
        boxes, labels = torch.cat(batch.boxes_xyxy).numpy(), torch.cat(batch.box_labels).numpy()
        measures += of_boxes(boxes, np.full((len(boxes), 2), size_hw), "of the batch")
        measures += in_range(labels, num_classes, "boxes of the batch")
    elif reads == "masks" and batch.masks is not None:
        values = batch.masks[batch.masks != 255]
        measures += in_range(values.numpy(), num_classes, "pixels of the batch")
    elif reads == "labels" and batch.label_table is None:
        measures += in_range(batch.image_labels.numpy(), num_classes, "images of the batch")
    return measures


def of_images(images: Tensor) -> list[Measure]:
    """images (B, 3, H, W) in 0..255. What pads an image does not count. Images of one color each, but of several ones,
    may be drawn to learn from; a decoder that fails gives all the same."""
    padding = images.new_tensor(PADDING).view(1, 3, 1, 1)
    filled = (images == padding).all(1, keepdim=True)
    low = torch.where(filled, 255, images).amin((2, 3))
    high = torch.where(filled, 0, images).amax((2, 3))
    constant = (high <= low).all(1)
    if len(torch.unique(high[constant], dim=0)) > 1:
        constant = torch.zeros_like(constant)
    said = f"{int(constant.sum())} of {len(images)} images have one color throughout, the same"
    measures = [Measure("images are constant", _share(constant), 0.5 if len(images) > 1 else 1.0, said)]
    if not bool(constant.all()):
        small = images.amax((1, 2, 3)) <= 1
        said = f"no value of {int(small.sum())} of {len(images)} images is above 1; 0..255 is expected"
        measures.append(Measure("images are in 0..1", _share(small & ~constant), 0.5, said))
    return measures


def of_boxes(boxes: NDArray[np.floating], sizes_hw: NDArray[np.integer], where: str) -> list[Measure]:
    """boxes (N, 4) xyxy in pixels of images of sizes_hw (N, 2); where: "of the batch"."""
    if not len(boxes):
        return []
    sides = boxes[:, 2:] - boxes[:, :2]
    turned = (sides < 0).any(1)
    small = np.abs(boxes).max(1) <= 1
    limits = np.tile(sizes_hw[:, ::-1], 2).astype(np.float64)
    slack = OUTSIDE * limits + 1
    outside = ((boxes < -slack) | (boxes > limits + slack)).any(1) | (sides == 0).any(1)
    count = f"of {len(boxes)} boxes {where}"
    return [
        Measure(
            "boxes are x, y, width, height",
            float(turned.mean()),
            0.0,
            f"{int(turned.sum())} {count} end left of or above where they begin; corners x1, y1, x2, y2 are expected",
        ),
        Measure(
            "boxes are fractions of the image",
            float(small.mean()),
            0.5,
            f"{int(small.sum())} {count} lie within one pixel of the corner; pixels are expected",
        ),
        Measure(
            "boxes are not in their images",
            float(outside.mean()),
            0.1,
            f"{int(outside.sum())} {count} leave their image, or have nothing left in it",
        ),
    ]


def in_range(labels: NDArray[np.integer], num_classes: int | None, of: str) -> list[Measure]:
    """labels: of boxes, pixels or images; K of them are 0 .. K-1."""
    if num_classes is None or not len(labels):
        return []
    wrong = (labels < 0) | (labels >= num_classes)
    said = f"{int(wrong.sum())} of {len(labels)} {of} have an id outside 0..{num_classes - 1}"
    if wrong.any():
        said += f" (ids {int(labels.min())} to {int(labels.max())})"
    return [Measure("class ids are out of range", float(wrong.mean()), 0.0, said)]


def number_of_targets(batch: Batch, reads: Reads | None) -> float:
    """Boxes of a batch, or pixels that have a class."""
    if reads == "boxes":
        return float(sum(map(len, batch.boxes_xyxy)))
    return float((batch.masks != 255).sum()) if reads == "masks" and batch.masks is not None else 0.0


def of_targets(reads: Reads | None, targets: float, positives: float | None) -> list[Measure]:
    """Of all updates that are watched, whether there was something to learn from; positives: None where the model does
    not count them."""
    if reads == "boxes" and targets >= FEW_BOXES and positives is not None:
        said = f"no place of the network answered for any of {targets:.0f} boxes"
        return [Measure("nothing to learn from", float(positives == 0), 0.0, said)]
    if reads == "masks":
        return [Measure("nothing to learn from", float(targets == 0), 0.0, "no pixel of the masks had a class")]
    return []


def of_source(source: BatchSource, reads: Reads | None, num_classes: int | None) -> list[Measure]:
    """Measures of all images that a training draws from, as far as its source has their annotation at hand."""
    measures, classes = [], _classes(source, reads)
    if isinstance(source, Batches | ChipBatches) and reads == "boxes":
        boxes, sizes_hw, labels = _boxes(source)
        measures += of_boxes(boxes, sizes_hw, "of the training images")
        measures += in_range(labels, num_classes, "boxes of the training images")
    if classes is not None and reads == "labels":
        measures += in_range(classes, num_classes, "training images")
    several = num_classes is not None and num_classes > 1 and source.count >= FEW_IMAGES
    if several and reads == "masks" and isinstance(source, Batches) and source.images.masks is not None:
        one = _one_class_of_masks(source)
        said = f"the pixels of {min(source.count, MASKS)} training masks that have a class all have class {one}"
        measures.append(Measure("only one class", float(one is not None), 0.0, f"{said}; {num_classes} are declared"))
    elif several and classes is not None and len(classes):
        counts = np.bincount(np.clip(classes, 0, None))
        said = f"all {len(classes)} {reads} of the training images are of class {counts.argmax()}"
        alone = float(counts.max() == len(classes))
        measures.append(Measure("only one class", alone, 0.0, f"{said}; {num_classes} are declared"))
    return measures


class Stream:
    """Classes of images in the order of the training, against those of the whole set."""

    def __init__(self, source: BatchSource, reads: Reads | None) -> None:
        classes = _classes(source, reads) if reads == "labels" else None
        self.shares = None if classes is None or not len(classes) else np.bincount(np.clip(classes, 0, None))
        self.seen: list[int] = []

    def measures(self, batch: Batch) -> list[Measure]:
        """Whether the images so far are of one class although the set has others."""
        if self.shares is None or batch.label_table is not None:
            return []
        self.seen += batch.image_labels.tolist()
        if len(set(self.seen)) > 1 or not 0 <= self.seen[0] < len(self.shares):
            return []
        count, total, seen = int(self.shares[self.seen[0]]), int(self.shares.sum()), len(self.seen)
        drawn = np.arange(min(seen, count))  # without putting back, as one permutation does
        value = -float(np.log10((count - drawn) / (total - drawn)).sum())
        said = f"the first {seen} images are of class {self.seen[0]}, that {count} of {total} have"
        return [Measure("only one class", value, RARE, f"{said}; so they are not shuffled")]


def _boxes(source: Batches | ChipBatches) -> tuple[NDArray[np.floating], NDArray[np.integer], NDArray[np.integer]]:
    """(boxes (N, 4), sizes of their images (N, 2), labels (N,)) that are trained on."""
    if isinstance(source, ChipBatches):
        image = np.repeat(np.arange(len(source.boxes.offsets) - 1), np.diff(source.boxes.offsets))
        return source.boxes.xyxy, np.asarray(source.boxes.sizes_hw)[image], source.boxes.labels
    images = source.images
    image = np.repeat(np.arange(len(images)), np.diff(images.box_offsets))
    kept = ((images.box_flags & NOT_TRAINED_ON) == 0) & np.isin(image, source.rows)
    boxes = images.boxes_xyxy[kept]
    return boxes, np.full((len(boxes), 2), images.images.shape[1:3]), images.box_labels[kept]


def _classes(source: BatchSource, reads: Reads | None) -> NDArray[np.integer] | None:
    """Of all boxes, or of all images where they have one; None where the source has them not at hand."""
    if reads == "boxes" and isinstance(source, Batches | ChipBatches):
        return _boxes(source)[2]
    if reads == "labels" and isinstance(source, Batches) and source.images.label_table is None:
        return source.images.image_labels[source.rows]
    if reads == "labels" and isinstance(source, LabelBatches) and source.source.single is not None:
        return source.source.single[source.rows]
    return None


def _one_class_of_masks(source: Batches) -> int | None:
    """The class of all pixels that have one, in up to 256 masks; None where there are several, or none."""
    masks, seen = source.images.masks, set()
    assert masks is not None
    for i in source.rows[:MASKS]:
        seen |= set(np.unique(masks[i]).tolist()) - {255}
        if len(seen) > 1:
            return None
    return int(seen.pop()) if seen else None


def _share(flags: Tensor) -> float:
    return float(flags.float().mean())
