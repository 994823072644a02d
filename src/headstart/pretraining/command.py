"""`headstart pretrain` from its words to its result: opening, checking, going on, saying what is done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.progress import Progress
from headstart.recipes.pretraining import PretrainingOptions, PretrainingRecipe
from headstart.recipes.sampling import ChipSampling
from headstart.store.files import write_json
from headstart.store.lock import RunLock
from headstart.train.devices import usual_loaders
from headstart.train.distributed import World, joined

if TYPE_CHECKING:
    from headstart.pretraining.training import Prepared


@dataclass(frozen=True)
class Pretrained:
    """Where the results are, the backbone's file, the metrics, and the same in lines; lines only of process 0."""

    out: Path
    weights: Path
    metrics: dict[str, Any]
    lines: list[str]


def run_pretraining(
    data: str, recipe: PretrainingRecipe, options: PretrainingOptions, progress: Progress, stopped: Callable[[], bool]
) -> Pretrained:
    """Pre-train, or go on with it. Raises HeadstartErrors before the first batch wherever possible."""
    import torch

    from headstart.places.network import no_network
    from headstart.pretraining.images import chosen_images
    from headstart.pretraining.training import Request, prepared, pretrain, require_same
    from headstart.readers.formats import open_dataset

    if options.threads:
        torch.set_num_threads(options.threads)
    with no_network(options.offline), joined(options.device) as world:
        progress = progress if world.leads else _silent
        progress(0.0, "reading the data set")
        table = open_dataset(data, options.format, **(options.read or {}))
        images = chosen_images(table, recipe, options.splits, options.validation, options.on_empty_class, progress)
        out = options.out or Path("runs") / f"pretrain-{recipe.name}-{recipe.supervision}-{table.root.name or 'data'}"
        weights = options.weights or recipe.weights or f"random:{recipe.backbone}"
        here = int(os.environ.get("LOCAL_WORLD_SIZE", world.size))
        loaders = usual_loaders(here) if options.loaders is None else options.loaders
        request = Request(recipe, options, weights, out, loaders)
        if options.dry_run:
            lines = _planned(prepared(request, images, Path.cwd(), world), world)
            return Pretrained(out, out, {}, lines if world.leads else [])
        with RunLock(out) if world.leads else _Others():
            if options.overwrite and world.leads:
                _emptied(out)
            world.wait()
            given = prepared(request, images, Path.cwd(), world)
            began = require_same(out, given.settings())
            if (out / "metrics.json").is_file() and began:
                return _finished(out, given, world, "it was finished before")
            world.wait()
            if world.leads:
                write_json(out / "settings.json", given.settings())
            pretrain(given, world, progress, stopped)
            return _finished(out, given, world)


def _silent(fraction: float, message: str) -> None:
    """Only process 0 tells."""


class _Others:
    """Only process 0 holds the lock."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *of: object) -> None:
        return None


OURS = (
    "settings.json",
    "metrics.json",
    "checkpoints.json",
    "curve.npz",
    "proposals.parquet",
    "backbone.safetensors",
    "state",
    "proposal-state",
    "chips",
    "model",
    "best",
)


def _emptied(out: Path) -> None:
    """Delete what a pre-training wrote there, and nothing else."""
    for name in OURS:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _planned(given: Prepared, world: World) -> list[str]:
    from headstart.batches.chips.batches import ChipBatches

    recipe, request = given.request.recipe, given.request
    lines = [
        f"recipe: {recipe.name} version {recipe.version}, by {recipe.supervision}: {recipe.about}",
        f"data: {given.images.train.root}, {len(given.images.train)} images, {len(given.classes)} classes; "
        + (
            f"{len(given.images.validation)} to evaluate on"
            if given.images.validation is not None
            else "none to evaluate on"
        ),
        f"start: {given.spec.name}; backbone {given.backbone_name}",
        f"training: {given.recipe.updates} updates of {given.recipe.batch_size} in {world.size} "
        f"process{'es' if world.size > 1 else ''}, {request.loaders} more make batches; {recipe.epochs:g} epochs",
    ]
    if isinstance(given.batches, ChipBatches):
        lines.append(f"inputs of the first epoch: {given.batches.summary()}")
        if isinstance(recipe.sampling, ChipSampling) and recipe.sampling.negatives:
            lines.append(
                "proposals: "
                + (
                    str(request.options.proposals)
                    if request.options.proposals
                    else f"made first, in {recipe.sampling.proposal_epochs:g} epochs"
                )
            )
    lines += [f"written to: {request.out}", f"numbers from: {recipe.source}"]
    return [*lines, f"expected: {recipe.expected.words()}"]


def _finished(out: Path, given: Prepared, world: World, note: str = "") -> Pretrained:
    import json

    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    file = out / "backbone.safetensors"
    counts = ", ".join(
        f"{value:.1f} {name.removeprefix('number_of_').replace('_', ' ')}"
        for name, value in metrics["per_update"].items()
    )
    lines = [
        *([f"nothing to do: {note}"] if note else []),
        f"loss: {metrics['loss_first']:.3f} at first, {metrics['loss_last']:.3f} at last, over {metrics['updates']} "
        f"updates{', still falling' if metrics['still_falling'] else ''}",
        *([f"an update saw {counts}"] if counts else []),
    ]
    for name, words in (("last", "validation, last"), ("best", "validation, best")):
        if found := metrics[name]:
            scores = ", ".join(f"{key} {value:.3f}" for key, value in found.items() if key != "update")
            lines.append(f"{words} (update {found['update']}): {scores}")
    lines += [
        f"weights: {file} ({given.backbone_name}); use them as file:{out}",
        f"with its head: headstart predict {out / 'model'} IMAGES",
    ]
    return Pretrained(out, file, metrics, lines if world.leads else [])
