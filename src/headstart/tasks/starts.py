"""The backbone that a job starts from, loaded, with the report of how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from headstart.errors import StoreError
from headstart.tasks.transfer import Start
from headstart.train.distributed import assigned_world
from headstart.weights.cards import WeightsSpec, native_spec
from headstart.weights.checkpoint import load
from headstart.weights.load_report import LoadReport
from headstart.weights.starts import StartPlace, StartSettings

MADE_HERE = "pre-trained by this study"


def start_of(
    weights: StartSettings, place: StartPlace, made: Path | None, seed: int
) -> tuple[Start, WeightsSpec, LoadReport]:
    """The start on the device of this worker, what it is, and how it was loaded.

    made: folder of the finished pre-training where the study makes the weights. seed: of random values, and of the few
    tensors that a file may lack. Raises WeightsError as `headstart.weights.checkpoint.load` does, StoreError where the
    pre-training left no such weights.
    """
    spec = place.spec if made is None else _made_here(made / f"{weights.part}.safetensors", Path(place.base))
    assert spec
    loaded = load(spec, seed, place.offline)
    backbone = loaded.backbone.to(assigned_world().device).to(memory_format=torch.channels_last)
    start = Start(backbone, spec.backbone, Path(place.base), loaded.preprocessing, is_random=spec.kind == "random")
    return start, spec, loaded.report


def _made_here(file: Path, base: Path) -> WeightsSpec:
    if not file.is_file():
        raise StoreError(f"{file}: missing. Delete its folder; the next run makes it again.")
    spec = native_spec(file, str(file), base)
    return replace(spec, uri=MADE_HERE)
