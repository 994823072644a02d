"""One pre-training: images in, a native checkpoint out. The only one there is, for studies and `headstart pretrain`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import nn

from headstart.models.detection.proposing import ProposalDetector
from headstart.pretraining import results
from headstart.pretraining.checkpoints import EARLY, Checkpoints, seal_pieces
from headstart.pretraining.images import inference_scales, updates_of
from headstart.pretraining.processes import together
from headstart.pretraining.proposals import MOST, write_proposals
from headstart.pretraining.settings import PretrainPlace, PretrainSettings, ProposalsSettings
from headstart.pretraining.sources import Source, source_of
from headstart.progress import Progress, part
from headstart.recipes.sampling import ChipSampling
from headstart.store.sealing import unseal_pieces
from headstart.tasks.starts import start_of
from headstart.tasks.table import trained_task
from headstart.tasks.transfer import Start, assembled
from headstart.tasks.whole_images import detect_images
from headstart.train.devices import seat
from headstart.train.loop import reestimate_batch_norm, refuse_frozen_random, train
from headstart.train.saving import Keeping
from headstart.train.sentinel import Known, look_at_start

RARE_SECONDS = 300.0
"""Between two states of a large model, which take a while to write."""
LARGE = 20e6
"""Parameters."""


def pretrain(
    settings: PretrainSettings, place: PretrainPlace, inputs: dict[str, Path], out: Path, progress: Progress
) -> dict[str, float]:
    """Train, evaluate at every checkpoint, and write into `out`; returns the metrics.

    backbone.safetensors (a native checkpoint: weights for everything), model/ (with its head, for `headstart
    predict`), best/ (the same of the checkpoint that validated best), early.safetensors where it was asked for,
    curve.npz, checkpoints.json. The state lies in resume/ while it runs: killed or stopped, the same call goes on.
    """
    with together(pretrain, (settings, place, inputs, out), place, progress) as world:
        recipe, tell = settings.recipe, part(progress, 0.05, 1.0)
        start, spec, _ = start_of(settings.weights, place.start, inputs.get("weights"), settings.seed)
        source = source_of(settings, place, inputs, out / "resume" / "chips", progress=part(progress, 0.0, 0.05))
        training = recipe.recipe(source.updates)
        refuse_frozen_random(training, start.is_random)
        world.slice_of(training.batch_size)
        model = _model(start, source, settings.seed).to(world.device)
        result = results.Result(settings, place, start, spec, source=source, training=training)
        checkpoints = Checkpoints(
            out,
            world.leads,
            training.updates,
            lambda: source.evaluate(model, start.preprocessing, world),
            save=partial(result.save_model, model),
            progress=tell,
        )
        steps = {k: [partial(checkpoints.take, k)] for k in checkpoint_steps(source, training.updates)}
        if settings.early and world.leads:
            early = max(1, round(settings.early * training.updates))
            steps.setdefault(early, []).append(partial(_keep_early, result, model, out))
        look_at_start(start.backbone, source.batches, start.preprocessing, training)
        if training.reestimate_batch_norm:
            reestimate_batch_norm(start.backbone, source.batches, start.preprocessing, training.freeze)
        curve = train(
            model,
            trained_task(source.kind).losses,
            source.batches,
            start.preprocessing,
            recipe=training,
            state_dir=out / "resume",
            progress=tell,
            at_step={k: partial(_each, todo) for k, todo in steps.items()},
            world=world,
            workers=loaders_of(place),
            keeping=keeping(model, source, recipe.keep),
            key=out.name,
            known=Known(trained_task(source.kind).trains_on),
        )
        metrics = result.metrics(curve) | checkpoints.metrics()
        if world.leads:
            result.write(out, model, curve)
        world.wait()
        return metrics


def propose(
    settings: ProposalsSettings, place: PretrainPlace, inputs: dict[str, Path], out: Path, progress: Progress
) -> dict[str, float]:
    """Train a proposal network on the positive chips, and write what it finds on the training images into
    `out`/proposals.parquet. Raises as `pretrain` does."""
    with together(propose, (settings, place, inputs, out), place, progress) as world:
        sampling = settings.recipe.sampling
        assert isinstance(sampling, ChipSampling)
        start, _, _ = start_of(settings.weights, place.start, inputs.get("weights"), settings.seed)
        source = source_of(settings, place, inputs, out / "resume" / "chips", progress=part(progress, 0.0, 0.05))
        assert source.images
        updates = updates_of(source.batches, sampling.proposal_epochs)
        training = settings.recipe.recipe(updates).model_copy(update={"name": f"{settings.recipe.name}-proposals"})
        refuse_frozen_random(training, start.is_random)
        detector = ProposalDetector(_model(start, source, settings.seed)).to(world.device)  # type: ignore[arg-type]
        look_at_start(start.backbone, source.batches, start.preprocessing, training)
        train(
            detector,
            trained_task("detect").losses,
            source.batches,
            start.preprocessing,
            recipe=training,
            state_dir=out / "resume",
            progress=part(progress, 0.05, 0.6),
            at_step=None,
            world=world,
            workers=loaders_of(place),
            key=out.name,
            known=Known(trained_task(source.kind).trains_on),
        )
        images, scales = source.images.train, inference_scales(settings.recipe)
        show = part(progress, 0.6, 1.0)
        proposals = detect_images(detector, start.preprocessing, images, scales, world=world, most=MOST, progress=show)
        if world.leads:
            write_proposals(out / "proposals.parquet", images, proposals)
        world.wait()
        return {"updates": float(updates), "proposals": float(len(proposals["scores"])), "images": float(len(images))}


def _model(start: Start, source: Source, seed: int) -> nn.Module:
    more = {"several": True} if source.several else {}
    return assembled(
        start, source.kind, source.recipe.recipe(1), len(source.classes), size_hw=source.size_hw, seed=seed, **more
    )


def checkpoint_steps(source: Source, updates: int) -> list[int]:
    """Numbers of updates after which a checkpoint is taken; the last of all always."""
    every = max(1, round(updates_of(source.batches, source.recipe.checkpoint_epochs)))
    return [*range(every, updates, every), updates]


def keeping(model: nn.Module, source: Source, last: int) -> Keeping:
    """States at every checkpoint, and by time in between: less often where they are large."""
    large = sum(p.numel() for p in model.parameters()) > LARGE
    every = max(1, round(updates_of(source.batches, source.recipe.checkpoint_epochs)))
    return Keeping(RARE_SECONDS if large else None, every, last)


def loaders_of(place: PretrainPlace) -> int:
    """Processes that make batches, for this one."""
    return seat().loaders if place.loaders is None else place.loaders


def _keep_early(result: results.Result, model: nn.Module, out: Path) -> None:
    unseal_pieces(out)
    result.save_backbone(model, out / EARLY)
    seal_pieces(out)


def _each(todo: list[partial]) -> None:
    for call in todo:
        call()
