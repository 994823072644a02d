"""One number against its limit, and for each fault what is done about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A number that is at most `limit` in sound trainings; above it, or NaN, the training has the fault."""

    fault: str
    """A key of `ADVICE`."""
    value: float
    limit: float
    said: str
    """What was measured, and what is expected instead."""

    @property
    def bad(self) -> bool:
        """Whether to stop."""
        return not self.value <= self.limit


ADVICE: dict[str, str] = {
    "boxes are x, y, width, height": "Say what the numbers of a box mean when the data are read (docs/data.md).",
    "boxes are fractions of the image": "Multiply them by the image's width and height, or read them as YOLO has them.",
    "boxes are not in their images": "Scale boxes with their images, and give each image its own.",
    "class ids are out of range": "Count classes from 0, boxes without a background; 255 in masks is no class.",
    "only one class": "Look at the column of classes, and at the shuffling; name only classes that there are.",
    "images are constant": "Look at the images and at how they are decoded.",
    "images are in 0..1": "Give images with values 0..255; the preprocessing scales them.",
    "preprocessing is not applied": "Give the network what its preprocessing makes of the images.",
    "no normalization": "Give the preprocessing that the weights were trained with: scale, means, deviations.",
    "BGR for RGB, or RGB for BGR": "Turn `channel_order` of the weights' preprocessing round, or decode images as RGB.",
    "another preprocessing": "Give the preprocessing that the weights were trained with (docs/weights.md).",
    "half-loaded backbone": "Load the weights again and read the report: headstart weights verify.",
    "frozen random norms": 'Train the norms (batch_norm = "train"), or start from weights with statistics.',
    "dead features": "Look at the weights and at the input: nothing of the image reaches the head.",
    "no prior in the head": "Begin the class layer's bias at -log(0.99 / 0.01) (arXiv 1708.02002, Sec. 3.3).",
    "loss unlike an untrained head's": "Look at how the loss is averaged and how the head begins.",
    "nothing to learn from": "Suit the scales and anchors, or the masks, to the objects (docs/pretraining.md).",
    "no gradient in the backbone": "Look for detached features and for parts set not to train.",
    "learning rate too high": "Lower the rate: a tenth, then a hundredth.",
    "numbers beyond the precision": 'Train with precision = "bf16" or "fp32", or scale the input as weights want it.',
}
"""By fault: what to do."""
