"""What may be asked of every run of a study, whatever it is about: how, where and with what its jobs are run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

ExecutorName = Literal["local", "ray"]
Keep = Literal["needed", "winner", "all"]
"""What stays of a run once it is complete: the best model of each task, and trainings that have not converged, which
`extend` would go on from; without these; everything."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Flat, with the defaults of the commands."""

    workers: int | None = None
    """Processes on the CPU; None: as many as it has."""
    device: str = "auto"
    """Where networks run, one process a GPU: "auto" (every GPU that is there, else the CPU), "cpu", "cuda", or some
    GPUs: "cuda:0,1"."""
    trust_code: bool = False
    """Let Python files run that the study, its cards or checkpoints name as backbones."""
    offline: bool = False
    """Never reach for the network."""
    overwrite: bool = False
    """Delete results of another study in the run's directory."""
    quiet: bool = False
    """No display."""
    store: str | Path | None = None
    """A folder where several runs keep their jobs, each of which is done once."""
    keep: Keep | None = None
    """What stays once the study is complete; None: as before, else "needed"."""
    executor: ExecutorName = "local"
    """"ray": on the cluster at `address` (docs/cluster.md)."""
    address: str | None = None
    """Of the cluster; None: one that is started on this machine."""
    events: str | Path | None = None
    """A file for what happens, a line of JSON each (docs/events.md)."""
    tensorboard: bool = False
    """Write the curves of all trainings into `tensorboard/` of the run, for TensorBoard."""


class RunKeywords(TypedDict, total=False):
    """The fields of `RunOptions` as keyword arguments, for type checkers."""

    workers: int | None
    device: str
    trust_code: bool
    offline: bool
    overwrite: bool
    quiet: bool
    store: str | Path | None
    keep: Keep | None
    executor: ExecutorName
    address: str | None
    events: str | Path | None
    tensorboard: bool
