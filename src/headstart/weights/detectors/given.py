"""The parts of a detector that some weights give, beside the backbone, by the names of our own detectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headstart.models.detection.anchors import RATIOS
from headstart.models.detection.retinanet import SIZES
from headstart.models.detection.two_stage import PYRAMID_SIZE
from headstart.weights.detectors.facts import DetectorFacts

STAGES = ("C2", "C3", "C4", "C5")


@dataclass(frozen=True, repr=False)
class Given:
    """facts: of the detector; tensors: by our names, the backbone's left out."""

    facts: DetectorFacts
    tensors: dict[str, Tensor]
    source: str
    """Where they are from, in words, without paths."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Beginnings of our names, and why the weights give nothing for them."""
    notes: tuple[str, ...] = ()
    """How values were changed on the way."""

    def __repr__(self) -> str:
        return f"<{self.facts.head} of {self.source}: {len(self.tensors)} tensors>"


@dataclass(frozen=True)
class Layout:
    """How a library's file names the layers of a detector, and how its numbers are told."""

    library: str
    head: str
    layers: Mapping[str, str]
    """From names of our layers to the file's, both without `.weight` and `.bias`."""
    tower: int | None = None
    by_ratio: bool = False
    """Anchors of a cell are ordered by ratio, then size (RetinaNet); ours by size, then ratio."""
    at_corner: bool = False
    """Anchors and locations lie at the corners of cells; ours at their centers."""
    background_first: bool = False
    absent: Mapping[str, str] = field(default_factory=dict)

    def given(self, state: Mapping[str, Any], path: Path, classes: tuple[str, ...]) -> Given:
        """The parts that the file's tensors give. classes: names of its classes, without a background."""
        tensors: dict[str, Tensor] = {}
        for ours, theirs in self.layers.items():
            for kind in ("weight", "bias"):
                if f"{theirs}.{kind}" in state:
                    tensors[f"{ours}.{kind}"] = torch.as_tensor(state[f"{theirs}.{kind}"]).detach().float().clone()
        laterals = sum(name.startswith("neck.laterals.") and name.endswith("weight") for name in tensors)
        settings: dict[str, Any] = {
            "neck": "fpn",
            "levels": STAGES[-laterals:],
            "channels": int(tensors["neck.laterals.0.weight"].shape[0]),
            "published": True,
        }
        if self.tower is not None:
            settings["tower"] = self.tower
        notes = self._reordered(tensors)
        if self.head == "faster-rcnn":
            settings |= {"roi_pool": "align", "decoupled": False, "reduce": False}
            settings["class_agnostic"] = len(tensors["head.boxes.weight"]) == 4
        rows = _rows(self.head, tensors)
        named = classes if len(classes) == rows else ()
        facts = DetectorFacts(self.head, settings, named)
        return Given(facts, tensors, f"file {path.name}, detector of {self.library}", self.absent, notes)

    def _reordered(self, tensors: dict[str, Tensor]) -> tuple[str, ...]:
        """Bring values into our order and coding, in place; says how."""
        notes = []
        if self.by_ratio:
            order = torch.arange(9).view(len(RATIOS), len(SIZES)).T.flatten()  # ours[a] = theirs[order[a]]
            for name in ("classes", "codes"):
                for kind in ("weight", "bias"):
                    of = tensors[f"{name}.{kind}"]
                    tensors[f"{name}.{kind}"] = of.view(9, -1, *of.shape[1:])[order].reshape(of.shape)
            notes.append("anchors of a cell brought into our order: by size, then ratio")
        if self.background_first:
            for kind in ("weight", "bias"):
                tensors[f"head.classes.classes.{kind}"] = tensors[f"head.classes.classes.{kind}"].roll(-1, 0)
                if len(boxes := tensors[f"head.boxes.{kind}"]) > 4:
                    tensors[f"head.boxes.{kind}"] = boxes[4:]
        if self.at_corner:
            name, shift = _half_a_cell(self.head)
            tensors[f"{name}.bias"] = (tensors[f"{name}.bias"].view(-1, 4) + shift).flatten()
            notes.append("half a cell, by which our grid is shifted, is put into the biases of the boxes")
        return tuple(notes)


def _rows(head: str, tensors: Mapping[str, Tensor]) -> int:
    """Number of classes that the class layer tells apart."""
    if head == "faster-rcnn":
        return len(tensors["head.classes.classes.bias"]) - 1
    return len(tensors["classes.bias"]) // (len(SIZES) * len(RATIOS) if head == "retinanet" else 1)


def _half_a_cell(head: str) -> tuple[str, Tensor]:
    """(layer that tells boxes, what to add to its biases (anchors, 4)), for a grid half a cell to the right and below.

    A box's center is told from the anchor's in sides of the anchor, which are so many strides; sides of a box are told
    in strides.
    """
    if head == "fcos":
        return "sides", torch.tensor([[0.5, 0.5, -0.5, -0.5]])
    sizes = SIZES if head == "retinanet" else (PYRAMID_SIZE,)
    shifts = [[-0.5 * math.sqrt(r) / size, -0.5 / math.sqrt(r) / size, 0.0, 0.0] for size in sizes for r in RATIOS]
    return "codes" if head == "retinanet" else "rpn.codes", torch.tensor(shifts)
