"""What each kind of job is told: one frozen dataclass a kind, made by the planner and read by the runner.

Those of a pre-training are in `headstart.pretraining.settings`. Everything in a `...Settings` is part of the job's key:
two jobs with equal settings and inputs have one result. Where things lie on this machine (`...Place`) is not: a data
set or a run may be moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from headstart.config.inference import MaskInference
from headstart.config.probes import FurtherProbes
from headstart.places.fitting import Resize
from headstart.readers.place import DataPlace
from headstart.recipes.schema import Recipe
from headstart.weights.starts import CopySettings, StartPlace, StartSettings

Target = Literal["detect", "segment", "classify"]
LATER = {"later": True}
"""Metadata of settings that came later: in no key while they have their default, so that finished jobs stay."""


@dataclass(frozen=True)
class DrawSettings:
    """`draw`: images `first`.. of a drawn world, `size` pixels a side."""

    world: Literal["base", "novel", "base-gray", "novel-gray"]
    count: int
    first: int
    size: int


@dataclass(frozen=True)
class SplitSettings:
    """`split`: the roles of the images of a data set."""

    data: str
    """Fingerprint of the table."""
    task: Target
    folds: int
    on_bad_image: Literal["error", "skip"]
    seed: int = 0
    """That folds are dealt by; 0 where the data have test images of their own."""


@dataclass(frozen=True)
class DrawnSplitSettings(SplitSettings):
    """`split` of data without an official one: so many images a class train, of the splits `among`, others test."""

    per_class: int = 1
    test_per_class: int | None = None
    among: tuple[str, ...] = ()


@dataclass(frozen=True)
class PrepareSettings:
    """`prepare`: the images of one role, or of all folds and roles, brought to one size; fields as in
    `headstart.config.sets.FolderSet`."""

    data: str
    """Fingerprint of the table."""
    task: Target
    role: Literal["train", "val", "trainval", "test", "all"]
    fold: int | None
    folds: int
    size_hw: tuple[int, int]
    on_bad_image: Literal["error", "skip"]
    resize: Resize


@dataclass(frozen=True)
class ViewSettings:
    """`view`: the images of one role in one fold, of a prepared set that has all."""

    role: Literal["train", "val", "trainval", "test"]
    fold: int


@dataclass(frozen=True)
class TransferSettings:
    """`transfer`: one task model."""

    weights: StartSettings
    copied: CopySettings
    task: str
    recipe: Recipe
    """With the rate that is used as its `lr`, and no `rates`: a longer search keeps its first results."""
    seed: int
    limit: float | None
    """Images that the seed trains on (`headstart.batches.training_part`)."""
    protocol: str
    """How held-out images are scored."""
    resize: str
    threads: int
    device: str


@dataclass(frozen=True)
class EvaluateSettings:
    """`evaluate`: the test metrics of one trial, over all its folds."""

    task: str
    protocol: str
    bootstrap: int
    threads: int
    device: str
    inference: MaskInference | None = field(default=None, metadata=LATER)


@dataclass(frozen=True)
class DecideSettings:
    """`decide`: which arms of a task are dropped after so many seeds, and whether more of them are worth running."""

    metric: str
    arms: int
    seeds: int
    """That all arms have by now."""
    most: int
    """Seeds of the study."""


@dataclass(frozen=True)
class WholeTestSettings:
    """`test_whole`: the test metrics of a detector on images at their own sizes."""

    data: str
    """Fingerprint of the table."""
    splits: tuple[str, ...]
    protocol: str
    bootstrap: int
    threads: int
    device: str


@dataclass(frozen=True)
class FeaturesSettings:
    """`features`: pooled outputs of every stage for the images of a set."""

    weights: StartSettings
    threads: int
    device: str


@dataclass(frozen=True)
class ProbeSettings:
    """`probe`: probes of features."""

    seed: int
    limit: float | None
    bootstrap: int
    threads: int
    further: FurtherProbes | None = None


@dataclass(frozen=True)
class NeighborsSettings:
    """`neighbors`: F3."""

    bootstrap: int
    threads: int


@dataclass(frozen=True)
class CompositionSettings:
    """`composition`: F4b and F4c. seed, limit: of the probes, as in `ProbeSettings`."""

    seed: int
    limit: float | None
    bootstrap: int
    threads: int


@dataclass(frozen=True)
class ActivationsSettings:
    """`activations`: F4a for the weights of each role."""

    weights: Mapping[str, StartSettings]
    bootstrap: int
    threads: int
    device: str


@dataclass(frozen=True)
class LookSettings:
    """`look`: what one candidate's features are on the first `most` images of a set, and where they fire."""

    weights: StartSettings
    most: int
    bootstrap: int
    threads: int
    device: str


@dataclass(frozen=True)
class ScreenSettings:
    """`screen`: frozen features of one candidate against what is known of some training images. data: fingerprint of
    the table."""

    weights: StartSettings
    data: str
    task: str
    most: int
    size_hw: tuple[int, int]
    resize: Resize
    on_bad_image: Literal["error", "skip"]
    seed: int
    threads: int
    device: str


@dataclass(frozen=True)
class ScreenPlace:
    """The start, and where the data set lies."""

    start: StartPlace
    data: DataPlace


@dataclass(frozen=True)
class PairSettings:
    """`pair`: two looks at the same images compared."""

    bootstrap: int
    threads: int


@dataclass(frozen=True)
class ContentsSettings:
    """`contents`: which of the first `most` images the models of two candidates get right, by what is in them."""

    task: str
    protocol: str
    seeds: tuple[int, ...]
    folds: int
    most: int
    threads: int


@dataclass(frozen=True)
class TimeSettings:
    """`time`: how long a network takes for an image."""

    backbone: str
    """Without the folder of a user's file."""
    backbone_digest: str
    size_hw: tuple[int, int]
    threads: int
    device: str


@dataclass(frozen=True)
class TimePlace:
    """How the network is built on this machine: its name, and the folder that a user's file is relative to."""

    backbone: str
    base: str


@dataclass(frozen=True)
class TransferPlace:
    """The start, and the data set of the held-out images where original masks are read from it."""

    start: StartPlace
    data: DataPlace | None = None
