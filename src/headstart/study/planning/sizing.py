"""The size that a comparison brings images to, and how they are brought there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.annotations import Annotations
from headstart.data.sizes import headers_of
from headstart.errors import UsageError
from headstart.places.fitting import Resize
from headstart.tasks.protocol import TrainedTask
from headstart.weights.cards import WeightsSpec

STEP = 32
"""Sides are multiples of it: the stride of the last stage."""
LOOKED_AT = 64
"""Headers that are read where the data do not say how large images are."""
ENLARGED = 2
"""Times the shorter side at most: more would add arithmetic and no detail."""


@dataclass(frozen=True)
class Sizing:
    """What the user wants; None: as the task, the images and the weights have it."""

    size_hw: tuple[int, int] | None = None
    resize: Resize | None = None

    def of(
        self, task: TrainedTask, annotations: Annotations, specs: Sequence[WeightsSpec], pixels: int
    ) -> tuple[tuple[int, int], Resize]:
        """Of a task's images. pixels: area of those that are seen whole. Raises UsageError for what would cut boxes."""
        resize = self.resize or task.resize
        if resize == "crop" and task.target != "classify":
            raise UsageError(
                f"--resize crop: {task.words} needs whole images, since a crop would cut boxes and masks. "
                "Choose stretch or letterbox."
            )
        if self.size_hw:
            return self.size_hw, resize
        if task.size_hw:
            return label_size(annotations, specs, task.size_hw[0]), resize
        return input_size(annotations.sizes_hw, pixels), resize


AS_USUAL = Sizing()


def input_size(sizes_hw: np.ndarray, pixels: int) -> tuple[int, int]:
    """Height and width of about `pixels` in all, of the images' median aspect, in multiples of 32."""
    known = sizes_hw[(sizes_hw > 0).all(1)]
    aspect = float(np.median(known[:, 0] / known[:, 1])) if len(known) else 1.0
    height = (pixels * aspect) ** 0.5
    return max(64, round(height / STEP) * STEP), max(64, round(height / aspect / STEP) * STEP)


def label_size(annotations: Annotations, specs: Sequence[WeightsSpec], usual: int) -> tuple[int, int]:
    """A square: the largest that one of the weights was trained at, `usual` where none says; but at most twice the
    images' median shorter side, and at least 64."""
    sides = [trained_side(spec) for spec in specs if spec.kind != "random"]
    side = float(max(sides) if sides and all(sides) else usual)
    shorter = np.array([min(size) for size in _some_sizes(annotations)])
    if len(shorter):
        side = min(side, ENLARGED * float(np.median(shorter)))
    whole = max(64, -(-round(side) // STEP) * STEP)
    return whole, whole


def trained_side(spec: WeightsSpec) -> int:
    """Pixels of a side of the images in the last step of its lineage that says so, "shapes boxes (96 px)"; or 0."""
    sides = [int(found[1]) for step in spec.lineage if (found := re.search(r"\((\d+) px[,)]", step))]
    return sides[-1] if sides else 0


def _some_sizes(annotations: Annotations) -> list[tuple[int, int]]:
    """Of the images as far as they are known; else of a few spread over the data. What cannot be read is left out."""
    known = annotations.sizes_hw[(annotations.sizes_hw > 0).all(1)]
    if len(known):
        return [(int(h), int(w)) for h, w in known]
    rows = sorted({round(row) for row in np.linspace(0, len(annotations) - 1, LOOKED_AT).tolist()})
    headers = headers_of([annotations.image_path(row) for row in rows], on_bad_image="skip")
    return [header[0] for header in headers if header]
