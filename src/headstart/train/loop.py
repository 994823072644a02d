"""The only training loop: all tasks, pre-training and transfer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from headstart.errors import Interrupted, WeightsError
from headstart.models.backbones.freezing import frozen_parts
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.backbones.stages import fresh_prefixes
from headstart.names import COUNT
from headstart.processes import asked_to_stop
from headstart.progress import Progress
from headstart.recipes.schema import Recipe
from headstart.train.distributed import ALONE, World
from headstart.train.ends import End, save_end
from headstart.train.forward import Forward, Losses, NotFinite
from headstart.train.loaders import BatchSource, fetched
from headstart.train.memory import memory_for_images
from headstart.train.pace import Pace
from headstart.train.saving import USUAL, Keeping, Saver
from headstart.train.schedule import rate_factor
from headstart.train.sentinel import NOTHING, Known, Sentinel
from headstart.train.state import WeightAverage, averaged

STOP_EVERY = 10
"""Updates between two questions whether to stop: with several processes they have to agree."""
REESTIMATION_IMAGES = 512


@dataclass(frozen=True)
class LossCurve:
    """Loss of every update, by name, and counts: values (updates, len(names)) float32."""

    names: tuple[str, ...]
    values: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Sum of the losses of every update, (updates,)."""
        return self.values[:, [not name.startswith(COUNT) for name in self.names]].sum(1)

    def of(self, name: str) -> np.ndarray:
        """One loss or count, (updates,)."""
        return self.values[:, self.names.index(name)]

    def still_falling(self) -> bool:
        """True when the mean loss of the last fifth is more than a tenth below that of the fifth before it: the
        curve has not reached its plateau, and a low rank says little about the weights."""
        fifth = len(self.values) // 5
        if fifth == 0:
            return False
        before, last = self.total[-2 * fifth : -fifth].mean(), self.total[-fifth:].mean()
        return bool(last < 0.9 * before)


def train(
    model: nn.Module,
    losses_of: Losses,
    batches: BatchSource,
    preprocessing: Preprocessing,
    *,
    recipe: Recipe,
    state_dir: Path,
    progress: Progress,
    at_step: dict[int, Callable[[], None]] | None = None,
    world: World = ALONE,
    workers: int = 0,
    stopped: Callable[[], bool] = asked_to_stop,
    keeping: Keeping = USUAL,
    key: str = "",
    before: End | None = None,
    end: Path | None = None,
    known: Known = NOTHING,
) -> LossCurve:
    """Train `model` in place for `recipe.updates` updates and return its losses.

    State is saved under `state_dir` every 20 s, or as `keeping` says; the same call goes on from there, and on CPU with
    the same number of threads ends in the same bits, whatever the number of `workers` (processes that make batches).
    `key` stands for all settings: a state that was saved under another one is not gone on from.
    `before` is the end of a training that this one goes on from, `recipe.updates` in all; `end` a folder to keep the
    end of this one in, for another that goes on from it.
    `at_step` maps a number of finished updates to something to do then, with the averaged weights if there are such.
    With a `world` of several processes each trains on its part of every batch. When `stopped()` turns true the state is
    saved and `Interrupted` raised; it is saved, too, when a batch cannot be made. A loss that is not finite ends the
    training, and `not_finite.json` beside the state then lists the batch's images. The first updates are watched
    (`headstart.train.sentinel`, with what is `known`), and `Alarm` is raised where they are not those of a sound
    training.
    """
    rate = recipe.rate
    forward = Forward(model, losses_of, preprocessing, recipe, world=world)
    optimizer = make_optimizer(model, recipe)
    average = WeightAverage(model, recipe.average) if recipe.average else None
    saver = Saver(state_dir, keeping, world, model, optimizer=optimizer, average=average, key=key, before=before)
    set_mode(model, recipe)
    sentinel = Sentinel(forward, batches, saver, known)
    pace = Pace(recipe.updates, recipe.batch_size, world.device)
    for step, batch in saver.through(fetched(batches, saver.step, recipe.updates, world, workers=workers)):
        factor = rate_factor(recipe, step, before.step if before else 0)
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        optimizer.zero_grad(set_to_none=True)
        sentinel.before(step, batch)
        try:
            losses = forward.backward(batch, step, rate)
        except NotFinite as fault:
            saver.note_images(fault.image_ids)
            raise sentinel.explained(fault) from None
        forward.unscale(optimizer)
        sentinel.after(step, losses, factor)
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        forward.step(optimizer)
        if average:
            average.update(model)
        saver.done(step + 1, tuple(losses), torch.stack(list(losses.values())).cpu())
        if at_step and step + 1 in at_step:
            with averaged(model, average):
                at_step[step + 1]()
            set_mode(model, recipe)
        stop = world.any(stopped()) if world.size == 1 or step % STOP_EVERY == 0 else False
        if stop or saver.due():
            saver.save()
        if stop:
            raise Interrupted(f"stopped after update {step + 1} of {recipe.updates}; the same command goes on there")
        if world.leads and (step % 10 == 0 or step + 1 == recipe.updates):
            loss = LossCurve(tuple(losses), saver.history.losses[-1][None].numpy()).total[0]
            told = pace.told(step + 1, float(loss))
            progress(told.fraction, str(told))
    if end and world.leads:
        save_end(end, recipe.updates, model, optimizer, average=average)
    if average:
        average.copy_to(model)
    model.eval()
    return LossCurve(saver.history.names, torch.stack(saver.history.losses).float().numpy())


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW or SGD in four groups: backbone or head, decayed or not (norms and biases are not). Parameters of the
    backbone that no weights have, such as a pyramid over a plain transformer, count as the head's.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    fresh = fresh_prefixes(model.backbone)  # type: ignore[arg-type]
    for part in frozen_parts(model.backbone, recipe.freeze):  # type: ignore[arg-type]
        part.requires_grad_(False)
    for name, parameter in model.named_parameters():
        in_backbone = name.startswith("backbone.") and not name.removeprefix("backbone.").startswith(fresh)
        if in_backbone and recipe.trainable == "heads":
            parameter.requires_grad_(False)
        if not parameter.requires_grad:
            continue
        groups.setdefault((in_backbone, parameter.ndim > 1), []).append(parameter)
    described = [
        {
            "params": parameters,
            "base_lr": recipe.rate * (recipe.backbone_rate if in_backbone else 1.0),
            "lr": 0.0,
            "weight_decay": recipe.weight_decay if decayed else 0.0,
        }
        for (in_backbone, decayed), parameters in groups.items()
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(described, momentum=0.9)
    return torch.optim.AdamW(described, fused=True if next(model.parameters()).is_cuda else None)


def set_mode(model: nn.Module, recipe: Recipe) -> None:
    """Training mode, but for a backbone whose statistics are frozen or that is not trained at all, and its frozen
    parts."""
    model.train()
    for part in frozen_parts(model.backbone, recipe.freeze):  # type: ignore[arg-type]
        part.eval()
    if recipe.batch_norm == "frozen" or recipe.trainable == "heads":
        for module in model.backbone.modules():  # type: ignore[union-attr]
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


@torch.no_grad()
def reestimate_batch_norm(
    backbone: nn.Module, batches: BatchSource, preprocessing: Preprocessing, frozen: Sequence[str] = ()
) -> int:
    """Replace running statistics by the averages over up to 512 target images (the first batches, as trained on), on
    the backbone's device.

    Statistics estimated on other pictures under another preprocessing would put some weights at a disadvantage that
    has nothing to do with what they learnt. frozen: parts that stay as they are, as in `Recipe.freeze`. Returns the
    number of norms changed.
    """
    kept = frozen_parts(backbone, frozen)
    still = {id(m) for part in kept for m in part.modules()}
    norms = [m for m in backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and id(m) not in still]
    if not norms:
        return 0
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    backbone.train()
    for part in kept:
        part.eval()
    wanted = min(REESTIMATION_IMAGES, batches.count)
    device = next(backbone.parameters()).device
    for t in range(-(-wanted // batches.batch_size)):
        images = batches.batch(t).images
        with memory_for_images(f"batch-norm statistics of {len(images)} images", (images.shape[-2], images.shape[-1])):
            backbone(preprocessing.apply(images.to(device)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return len(norms)


def refuse_frozen_random(recipe: Recipe, is_random: bool) -> None:
    """Frozen batch norm keeps statistics that random weights do not have; frozen parts would stay random."""
    if is_random and recipe.freeze:
        raise WeightsError(
            f"recipe {recipe.name}: it freezes {', '.join(recipe.freeze)}, which would stay random. Start from "
            "weights, or set freeze = []."
        )
    if is_random and recipe.batch_norm == "frozen":
        raise WeightsError(
            f"recipe {recipe.name}: frozen batch norm cannot be used with random weights, whose statistics mean "
            'nothing. Use batch_norm = "train", or leave the random candidate out.'
        )
