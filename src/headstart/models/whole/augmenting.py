"""How whole detectors see images while training: windows that are larger or smaller than the image, several sizes.

As their authors train them, drawn from the number of each image alone. Boxes (M, 4) xyxy; windows are x1, y1, x2, y2 in
pixels of the image and may go beyond it, where there is the value 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Window = tuple[float, float, float, float]
Truth = tuple[Tensor, Tensor]
"""Boxes (M, 4) and labels (M,)."""
OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Least overlap of some box with the window; 1: the whole image (SSD, arXiv 1512.02325)."""
TRIES = 40


@dataclass(frozen=True)
class Changes:
    """zoom_out, overlap_crop, size_crop: probabilities of a larger window (up to 4 times a side), of one that overlaps
    a box by a drawn part, and of one of at least `least_side` of each side. scales: of the input, one a batch."""

    zoom_out: float = 0.0
    overlap_crop: float = 0.0
    size_crop: float = 0.0
    least_side: float = 0.64
    scales: tuple[float, ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether images stay as they are."""
        return not (self.zoom_out or self.overlap_crop or self.size_crop or self.scales)

    def scale(self, seed: int) -> float:
        """Of the batch whose first image has this number."""
        return float(_draws(seed, 1).choice(self.scales)) if self.scales else 1.0


AS_IT_IS = Changes()


def changed(
    images: Tensor, truth: Sequence[Truth], size_hw: tuple[int, int], changes: Changes, *, seeds: Sequence[int]
) -> tuple[Tensor, list[Truth]]:
    """Images (B, 3, H, W) through a window each, at `size_hw`, and their boxes in its pixels."""
    pixels, found = [], []
    for image, (boxes, labels), seed in zip(images, truth, seeds, strict=True):
        window = window_of(image.shape[1:], boxes.detach().cpu().numpy(), changes, seed)
        pixels.append(seen(image, window, size_hw))
        found.append(through(boxes, labels, window, size_hw))
    return torch.stack(pixels), found


def window_of(size_hw: Sequence[int], boxes: NDArray[np.floating], changes: Changes, seed: int) -> Window:
    """Drawn for one image: first perhaps larger, then perhaps smaller than that."""
    draws, (height, width) = _draws(seed, 2), size_hw
    x1, y1, x2, y2 = 0.0, 0.0, float(width), float(height)
    larger, overlapping, smaller = draws.random(3) < (changes.zoom_out, changes.overlap_crop, changes.size_crop)
    if larger:
        times = draws.uniform(1, 4)
        x1, y1 = -draws.random() * (times - 1) * width, -draws.random() * (times - 1) * height
        x2, y2 = x1 + times * width, y1 + times * height
    if overlapping:
        return _overlapping((x1, y1, x2, y2), boxes, draws)
    if smaller:
        part = draws.uniform(changes.least_side, 1, 2)
        return _inside((x1, y1, x2, y2), part, draws)
    return x1, y1, x2, y2


def _inside(window: Window, part: Sequence[float] | NDArray[np.floating], draws: np.random.Generator) -> Window:
    """A part of the sides (x, y) of a window, anywhere in it."""
    x1, y1, x2, y2 = window
    width, height = part[0] * (x2 - x1), part[1] * (y2 - y1)
    left, top = x1 + draws.random() * (x2 - x1 - width), y1 + draws.random() * (y2 - y1 - height)
    return float(left), float(top), float(left + width), float(top + height)


def _overlapping(window: Window, boxes: NDArray[np.floating], draws: np.random.Generator) -> Window:
    """A part of a window that overlaps a box by a drawn part or more, and holds the center of one; the window itself
    where none is found."""
    while len(boxes):
        least = float(draws.choice(OVERLAPS))
        if least >= 1:
            return window
        for _ in range(TRIES):
            part = draws.uniform(0.3, 1, 2)
            if not 0.5 <= part[0] / part[1] <= 2:
                continue
            tried = _inside(window, part, draws)
            held = _holds(tried, boxes)
            if held.any() and _overlaps(tried, boxes[held]).max() >= least:
                return tried
    return window


def _holds(window: Window, boxes: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether the centers of boxes lie in it."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside: NDArray[np.bool_] = (centers > window[:2]) & (centers < window[2:])
    return np.logical_and(inside[:, 0], inside[:, 1])


def _overlaps(window: Window, boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """IoU of a window with each box."""
    sides = np.minimum(boxes[:, 2:], window[2:]) - np.maximum(boxes[:, :2], window[:2])
    inter = sides.clip(min=0).prod(1)
    own = (window[2] - window[0]) * (window[3] - window[1])
    return inter / (own + (boxes[:, 2:] - boxes[:, :2]).prod(1) - inter)


def seen(image: Tensor, window: Window, size_hw: tuple[int, int]) -> Tensor:
    """An image (3, H, W) through a window, at `size_hw`: to whole pixels of the image, and of the result."""
    height, width = image.shape[1:]
    x1, y1, x2, y2 = window
    inner = [max(0, round(x1)), max(0, round(y1)), min(width, round(x2)), min(height, round(y2))]
    inner = [inner[0], inner[1], max(inner[2], inner[0] + 1), max(inner[3], inner[1] + 1)]
    across, down = size_hw[1] / (x2 - x1), size_hw[0] / (y2 - y1)
    left, right = (min(size_hw[1], max(0, round((x - x1) * across))) for x in (inner[0], inner[2]))
    top, bottom = (min(size_hw[0], max(0, round((y - y1) * down))) for y in (inner[1], inner[3]))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    part = image[None, :, inner[1] : inner[3], inner[0] : inner[2]]
    part = F.interpolate(part, (bottom - top, right - left), mode="bilinear", antialias=True, align_corners=False)[0]
    result = image.new_zeros((image.shape[0], *size_hw))
    result[:, top:bottom, left:right] = part
    return result


def through(boxes: Tensor, labels: Tensor, window: Window, size_hw: tuple[int, int]) -> Truth:
    """Boxes whose centers the window holds, in pixels of the result, cut at its edges."""
    x1, y1, x2, y2 = window
    across, down = size_hw[1] / (x2 - x1), size_hw[0] / (y2 - y1)
    kept = torch.from_numpy(_holds(window, boxes.detach().cpu().numpy())).to(boxes.device)
    moved = (boxes[kept] - boxes.new_tensor([x1, y1, x1, y1])) * boxes.new_tensor([across, down, across, down])
    limits = moved.new_tensor([size_hw[1], size_hw[0], size_hw[1], size_hw[0]])
    return torch.minimum(moved.clamp(min=0), limits), labels[kept]


def _draws(seed: int, what: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, 7, what]))
