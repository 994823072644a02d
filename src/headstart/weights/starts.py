"""Where a job starts from: settings that are part of its key, the place on this machine, the lineage that follows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from headstart.errors import UsageError
from headstart.weights.cards import WeightsSpec

StartKind = Literal["random", "backbone", "backbone+neck", "detector"]
STARTS: tuple[StartKind, ...] = get_args(StartKind)
BEYOND: tuple[StartKind, ...] = ("backbone+neck", "detector")
"""Starts that copy more than a backbone: of weights that are a detector's, into a detector."""
Rows = Literal["fresh", "by-name"]
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
class CopySettings:
    """What a transfer copies of the weights that it starts from."""

    start: StartKind = "backbone"
    """`random` is told by weights that are random."""
    class_rows: Rows = "fresh"
    """Whether the rows of classes that the weights know by name are copied, too."""
    head: str = ""
    """Digest of the head's file, where it is another one than the weights'."""


@dataclass(frozen=True)
class CopyProof:
    """How many tensors of a task's model were copied, resized, or are fresh, by part. Counters of batches
    (`num_batches_tracked`) are no weights and are not counted."""

    start: StartKind
    parts: Mapping[str, tuple[int, int, int]]
    """(copied, resized, fresh) of `backbone`, `neck`, `head`, `classes`."""
    keys: int
    """Tensors of the model: the sum of all of these."""
    source: str = ""
    """Where neck and head are from, in words; "" where nothing but a backbone was copied."""
    resized: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    """What beside the class layer is fresh although it was to be copied, and why."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a job's result has it."""
        return asdict(self)

    def text(self) -> str:
        """A small table for people."""
        return proof_text(self.to_json())


def proof_text(proof: Mapping[str, Any]) -> str:
    """A small table of what `CopyProof.to_json` gives."""
    parts: Mapping[str, Sequence[int]] = proof["parts"]
    source = f"; {proof['source']}" if proof["source"] else ""
    lines = [f"start {proof['start']}{source}", "  part      copied  resized  fresh"]
    lines += [f"  {name:8}  {row[0]:6}  {row[1]:7}  {row[2]:5}" for name, row in parts.items()]
    total = [sum(row[k] for row in parts.values()) for k in range(3)]
    lines.append(f"  {'all':8}  {total[0]:6}  {total[1]:7}  {total[2]:5}   of {proof['keys']} tensors")
    lines += [f"  {what}: {words}" for what in ("resized", "fresh") for words in proof[what]]
    return "\n".join([*lines, *(f"  {note}" for note in proof["notes"])])


def split_start(weights: str) -> tuple[str, StartKind | None]:
    """`W#detector` as (W, "detector"); None where no start is named. Raises UsageError for a slip of the pen."""
    plain, mark, word = weights.rpartition("#")
    if mark and difflib.get_close_matches(word, BEYOND, 1, cutoff=0.8) and not Path(weights).exists():
        require_start(word)
    return (plain, word) if mark and word in STARTS else (weights, None)


def require_start(word: str) -> StartKind:
    """The start of this name. Raises UsageError for what is none."""
    if word in STARTS:
        return word
    near = difflib.get_close_matches(word, STARTS, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"there is no start {word!r}, only {', '.join(STARTS)}.{hint}")


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
