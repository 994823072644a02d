"""Where a job starts from: settings that are part of its key, the place on this machine, the lineage that follows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headstart.weights.cards import WeightsSpec

SUPERVISIONS = re.compile(r"\b(boxes|labels|masks|points|keypoints|captions)\b")


@dataclass(frozen=True)
class StartSettings:
    """The weights that a job starts from: those of `identity`; where that is None, what the input `weights` made."""

    identity: Mapping[str, Any] | None = None
    """`WeightsSpec.identity()`."""
    part: Literal["backbone", "early"] = "backbone"
    """Of a pre-training: its last backbone, or the one that it kept early on."""
    seed: int | None = None
    """Of random values; None for all others."""


@dataclass(frozen=True)
class StartPlace:
    """How a start is found on this machine."""

    base: str
    """Folder that paths of a user's backbone are relative to."""
    spec: WeightsSpec | None = None
    """None where a pre-training of the study makes the weights."""
    offline: bool = False


def lineage_entry(data: str, supervision: str, size: int, images_seen: int, *, noise: float = 0.0) -> str:
    """One step of a lineage, such as "coco labels (224 px, 3,200 images seen)"; noise: share of wrong supervision."""
    said = f", noise {noise:g}" if noise else ""
    return f"{data} {supervision} ({size} px, {images_seen:,} images seen{said})"


def supervisions(lineage: Sequence[str]) -> str:
    """What a lineage learned from, in order: such as "labels, then boxes"; "" where it does not say."""
    words = [found[0] for entry in lineage if (found := SUPERVISIONS.search(entry))]
    return ", then ".join(word for k, word in enumerate(words) if k == 0 or word != words[k - 1])
