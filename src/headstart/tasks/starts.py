"""The backbone that a job starts from, loaded, with the report of how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from headstart.errors import StoreError
from headstart.models.whole.network import Whole, counted, without_inner
from headstart.recipes.schema import recipe_of
from headstart.tasks.copying import Copying, copy_into
from headstart.tasks.transfer import Start, assembled
from headstart.terminal import tell
from headstart.train.distributed import assigned_world
from headstart.weights.cards import WeightsSpec, native_spec
from headstart.weights.checkpoint import load
from headstart.weights.detectors.facts import DetectorFacts
from headstart.weights.detectors.given import Given
from headstart.weights.detectors.reading import read_detector, read_pretrained
from headstart.weights.detectors.whole import is_whole
from headstart.weights.load_report import LoadReport
from headstart.weights.starts import BEYOND, CopyProof, CopySettings, StartKind, StartPlace, StartSettings

BACKBONE = CopySettings()
SIDE = 224
"""Pixels of the images of a detector that is built for a proof alone."""
MADE_HERE = "pre-trained by this study"


def start_of(
    weights: StartSettings, place: StartPlace, made: Path | None, seed: int, *, copied: CopySettings = BACKBONE
) -> tuple[Start, WeightsSpec, LoadReport]:
    """The start on the device of this worker, what it is, and how it was loaded.

    made: folder of the finished pre-training where the study makes the weights. seed: of random values, and of the few
    tensors that a file may lack. copied: what else of a detector is. Raises WeightsError as
    `headstart.weights.checkpoint.load` and `headstart.weights.detectors.reading.read_detector` do, StoreError where the
    pre-training left no such weights.
    """
    spec = place.spec if made is None else _made_here(made / f"{weights.part}.safetensors", Path(place.base))
    assert spec
    loaded = load(spec, seed, place.offline)
    backbone = loaded.backbone.to(assigned_world().device).to(memory_format=torch.channels_last)
    given = None
    filled = loaded.filled
    if isinstance(backbone, Whole):
        given, filled = given_whole(backbone, spec) if filled else (None, filled)
    elif copied.start in BEYOND:
        given = read_pretrained(made) if made else read_detector(spec, place.offline, tell)
    copying = Copying(filled, given, copied)
    start = Start(backbone, spec.backbone, Path(place.base), loaded.preprocessing, spec.kind == "random", copying)
    return start, spec, loaded.report


def proof_of(spec: WeightsSpec, start: StartKind, base: Path, offline: bool) -> CopyProof:
    """What a transfer that starts so copies into a detector of the weights' own kind, with other classes."""
    place = StartPlace(str(base), spec, offline)
    begin, _, _ = start_of(StartSettings(), place, None, 0, copied=CopySettings(start))
    assert begin.copying.given
    training = {"name": "proof", "updates": 1, "batch_size": 1, "lr": 1e-3}
    whole = is_whole(spec.backbone)
    recipe = recipe_of(training | {"head": "whole"}) if whole else begin.copying.given.facts.recipe(**training)
    model = assembled(begin, "detect", recipe, 1, size_hw=(SIDE, SIDE), seed=0)
    return copy_into(model, begin.copying, ("object",))


def given_whole(whole: Whole, spec: WeightsSpec) -> tuple[Given, frozenset[str]]:
    """What a loaded whole detector gives beside its backbone, and the names of what the backbone has."""
    inner = counted(whole.network.get_submodule(whole.family.inner))
    rest = {f"rest.{name}": value for name, value in without_inner(whole.network, whole.family).items()}
    classes = tuple(map(str, whole.config.id2label.values()))
    facts = DetectorFacts("whole", {}, classes)
    return Given(facts, rest, f"{spec.name}, a {whole.family.words} of {len(classes)} classes"), frozenset(inner)


def _made_here(file: Path, base: Path) -> WeightsSpec:
    if not file.is_file():
        raise StoreError(f"{file}: missing. Delete its folder; the next run makes it again.")
    spec = native_spec(file, str(file), base)
    return replace(spec, uri=MADE_HERE)
