"""What the jobs of a pre-training are told: frozen dataclasses shared by the planner and the runners. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headstart.readers.place import DataPlace
from headstart.recipes.pretraining import PretrainingRecipe
from headstart.weights.starts import StartPlace, StartSettings


@dataclass(frozen=True)
class TableSettings:
    """Which images of a data set's table are trained on, and which are evaluated on."""

    data: str
    """Fingerprint of the table."""
    splits: tuple[str, ...] = ()
    """None: `train`, or all where there is no such split."""
    validation: str | None = None
    """Split that checkpoints are evaluated on; None: `val` where there is one; "": none."""
    on_empty_class: Literal["error", "skip"] = "error"


@dataclass(frozen=True)
class ProposalsSettings:
    """`proposals`: a short training of a proposal network, and what it finds on the training images. These are those
    of `table`, or, where that is None, the input `images`."""

    recipe: PretrainingRecipe
    weights: StartSettings
    table: TableSettings | None
    seed: int
    threads: int
    device: str
    """Kind of device that it runs on, such as "cpu" or "cuda"; which of several does not matter."""
    noise: float = 0.0
    """Share of the images that exchange their boxes and labels, see `headstart.pretraining.noise`."""


@dataclass(frozen=True)
class PretrainSettings(ProposalsSettings):
    """`pretrain`: one origin."""

    proposals: str = ""
    """Digest of a file of proposals that was given; "" where the input `proposals` makes them, or none are wanted."""
    early: float | None = None
    """Keep the backbone of this fraction of the updates, too."""


@dataclass(frozen=True)
class ResizeSettings:
    """`resize`: images of a table, brought to one size, for the layout `fixed`."""

    table: TableSettings
    part: Literal["train", "validation"]
    supervision: Literal["boxes", "labels"]
    size: int


@dataclass(frozen=True)
class PretrainPlace:
    """Where a pre-training finds its parts on this machine, and how many processes it takes."""

    name: str
    """What the study calls it."""
    data_name: str
    """What its lineage calls the images."""
    start: StartPlace
    data: DataPlace | None = None
    proposals: Path | None = None
    loaders: int | None = None
    """Processes that make batches, for each that trains; None: by the CPUs."""
    processes: int = 1
    """Processes that train together on this machine. Results agree to rounding, so a training may go on with another
    number."""
    devices: tuple[str, ...] = ()
    """GPUs of these processes, one each; none: they work where the job's worker does, on the CPU."""
