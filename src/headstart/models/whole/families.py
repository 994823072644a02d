"""The families of whole detectors that can be trained, and what each is called. Imports no torch, no transformers.

A whole detector is named as a backbone is: `FOLDER/config.json:FAMILY@INPUT`, its input in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing

CONFIG = "config.json"
STEP = 32
"""Pixels that a side of the input is a multiple of, where its aspect is kept."""


@dataclass(frozen=True)
class InputSize:
    """How large a network sees images: `shortest` a side, or, with `longest`, the shorter side, aspect kept."""

    shortest: int
    longest: int = 0

    def __str__(self) -> str:
        return f"{self.shortest}-{self.longest}" if self.longest else str(self.shortest)

    def of(self, size_hw: tuple[int, int], times: float = 1.0, step: int = STEP) -> tuple[int, int]:
        """Height and width of the input of images of `size_hw`. times: of its usual sides, in multiples of `step`."""
        if not self.longest and times == 1:
            return self.shortest, self.shortest
        if not self.longest:
            size_hw = (self.shortest, self.shortest)
        scale = times * min(self.shortest / min(size_hw), (self.longest or self.shortest) / max(size_hw))
        height, width = (max(step, round(scale * side / step) * step) for side in size_hw)
        return height, width

    @classmethod
    def parse(cls, text: str) -> InputSize:
        """Inverse of `str`. Raises ValueError."""
        shortest, _, longest = text.partition("-")
        return cls(int(shortest), int(longest or 0))

    @property
    def pixels(self) -> float:
        """About its area, for images of 4 x 3."""
        return self.shortest**2 * (4 / 3 if self.longest else 1.0)


@dataclass(frozen=True)
class Family:
    """One architecture of transformers, named by the `model_type` of its configurations."""

    name: str
    words: str
    network: str
    """Class of the whole network."""
    inner: str
    """Place of the backbone in it."""
    classes: tuple[tuple[str, int], ...]
    """Beginnings of the names of layers that have something for each class, and how many rows more they have."""
    preprocessing: Preprocessing
    input: InputSize
    """As its own image processor has it; weights may say otherwise in a `preprocessor_config.json`."""
    softmax: bool = False
    """Classes exclude each other, and one more stands for none; else each has a sigmoid of its own."""
    faint: bool = False
    """transformers begins the convolutions of its backbone at .02, each some twenty times weaker than the one before,
    and behind frozen norms: 1e-12 of an image is left at the end of a published network (1 of others)."""

    @property
    def module(self) -> str:
        """Where transformers has it."""
        return f"transformers.models.{self.name}"


UNIT = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
"""Values in 0..1."""
_REFINING = (
    ("class_embed.", 0),
    ("model.decoder.class_embed.", 0),
    ("model.enc_score_head.", 0),
    ("model.denoising_class_embed.", 1),
)
_GROUPS = (("class_embed.", 0), ("model.enc_out_class_embed.", 0))
_SQUARE, _ASPECT = InputSize(640), InputSize(800, 1333)
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            Family("rt_detr_v2", "RT-DETRv2", "RTDetrV2", "model.backbone.model", _REFINING, UNIT, _SQUARE),
            Family("d_fine", "D-FINE", "DFine", "model.backbone.model", _REFINING, UNIT, _SQUARE, faint=True),
            Family("rf_detr", "RF-DETR", "RfDetr", "model.backbone.backbone", _GROUPS, IMAGENET, InputSize(560)),
            Family("lw_detr", "LW-DETR", "LwDetr", "model.backbone.backbone", _GROUPS, IMAGENET, _SQUARE),
            Family(
                "deformable_detr",
                "Deformable DETR",
                "DeformableDetr",
                "model.backbone.model",
                _REFINING[:2],
                IMAGENET,
                _ASPECT,
            ),
            Family(
                "detr",
                "DETR",
                "Detr",
                "model.backbone.model",
                (("class_labels_classifier.", 1),),
                IMAGENET,
                _ASPECT,
                softmax=True,
            ),
        )
    }
)
PRIOR_LOGIT = -math.log(99)
"""Where the classes of a sigmoid begin: probability .01."""


def families_in_words() -> str:
    """All, by the names that configurations have."""
    return ", ".join(f"{family.words} ({family.name})" for family in FAMILIES.values())


@dataclass(frozen=True)
class WholeName:
    """A whole detector as it is named."""

    config: str
    """Path of its configuration."""
    family: Family
    input: InputSize

    def __str__(self) -> str:
        return f"{self.config}:{self.family.name}@{self.input}"

    def in_folder(self) -> str:
        """The same name relative to the configuration's folder."""
        return str(WholeName(Path(self.config).name, self.family, self.input))


def split_whole(name: str) -> WholeName | None:
    """The parts of a whole detector's name; None for other backbones' names."""
    path, colon, rest = name.rpartition(":")
    family, _, size = rest.partition("@")
    if not colon or not path.endswith(".json") or family not in FAMILIES:
        return None
    return WholeName(path, FAMILIES[family], InputSize.parse(size))
