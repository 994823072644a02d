"""The only training loop: all tasks, pre-training and transfer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from headstart.config import Recipe
from headstart.data.batches import Batch, Batches
from headstart.errors import TrainingError, WeightsError
from headstart.models.backbones import Preprocessing
from headstart.models.stages import fresh_prefixes
from headstart.train.schedule import warmup_cosine
from headstart.train.state import History, load_state, save_state

Losses = Callable[[nn.Module, Batch, Tensor], dict[str, Tensor]]
"""(model, batch, preprocessed images) -> losses to be added, by name."""

SAVE_EVERY_SECONDS = float(os.environ.get("HEADSTART_SAVE_SECONDS", "20"))
"""Between two saved states of a training: what a kill costs at most. 0 saves after every update."""
REESTIMATION_IMAGES = 512


@dataclass(frozen=True)
class Curve:
    """Loss of every update, by name: values (updates, len(names)) float32."""

    names: tuple[str, ...]
    values: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Sum of the losses of every update, (updates,)."""
        return self.values.sum(1)

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
    batches: Batches,
    preprocessing: Preprocessing,
    recipe: Recipe,
    lr: float,
    state_dir: Path,
    progress: Callable[[float, str], None],
    at_step: dict[int, Callable[[], None]] | None = None,
) -> Curve:
    """Train `model` in place for `recipe.updates` updates and return its losses.

    State is saved under `state_dir` every 20 s; the same call goes on from there, and on CPU with the same number of
    threads ends in the same bits. `at_step` maps a number of finished updates to something to do then.
    """
    optimizer = make_optimizer(model, recipe, lr)
    first_step, history = load_state(state_dir, model, optimizer)
    saved = time.monotonic()
    set_mode(model, recipe)
    for step in range(first_step, recipe.updates):
        batch = batches.batch(step)
        losses = losses_of(model, batch, preprocessing.apply(batch.images))
        require_finite(losses, step, batch.image_ids, lr)
        factor = warmup_cosine(step, recipe.updates, recipe.warmup)
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        history = History(tuple(losses), history.losses)
        history.losses.append(torch.stack([v.detach() for v in losses.values()]))
        if at_step and step + 1 in at_step:
            at_step[step + 1]()
        if time.monotonic() - saved > SAVE_EVERY_SECONDS:
            save_state(state_dir, step + 1, model, optimizer, history)
            saved = time.monotonic()
        if step % 10 == 0 or step + 1 == recipe.updates:
            progress(
                (step + 1) / recipe.updates, f"update {step + 1}/{recipe.updates}, loss {history.losses[-1].sum():.3f}"
            )
    model.eval()
    return Curve(history.names, torch.stack(history.losses).numpy())


def make_optimizer(model: nn.Module, recipe: Recipe, lr: float) -> torch.optim.AdamW:
    """AdamW in four groups: backbone or head, decayed or not (norms and biases are not). Parameters of the backbone
    that no weights have, such as a pyramid over a plain transformer, count as the head's.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    fresh = fresh_prefixes(model.backbone)  # type: ignore[arg-type]
    for name, parameter in model.named_parameters():
        in_backbone = name.startswith("backbone.") and not name.removeprefix("backbone.").startswith(fresh)
        if in_backbone and recipe.trainable == "heads":
            parameter.requires_grad_(False)
            continue
        groups.setdefault((in_backbone, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "base_lr": lr * (recipe.backbone_rate if in_backbone else 1.0),
                "lr": 0.0,
                "weight_decay": recipe.weight_decay if decayed else 0.0,
            }
            for (in_backbone, decayed), parameters in groups.items()
        ]
    )


def set_mode(model: nn.Module, recipe: Recipe) -> None:
    """Training mode, but for a backbone whose statistics are frozen or that is not trained at all."""
    model.train()
    if recipe.batch_norm == "frozen" or recipe.trainable == "heads":
        for module in model.backbone.modules():  # type: ignore[union-attr]
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def require_finite(losses: dict[str, Tensor], step: int, image_ids: list[str], lr: float) -> None:
    """Raise TrainingError naming the loss, the update and the images when a loss is not finite."""
    bad = [name for name, value in losses.items() if not torch.isfinite(value)]
    if bad:
        raise TrainingError(
            f"update {step}: the loss {', '.join(bad)} is not finite at rate {lr:g}. "
            f"Images of the batch: {', '.join(image_ids[:8])}{' ...' if len(image_ids) > 8 else ''}. "
            "Lower the rate, or look at these images and their boxes."
        )


@torch.no_grad()
def reestimate_batch_norm(backbone: nn.Module, batches: Batches, preprocessing: Preprocessing) -> int:
    """Replace running statistics by the averages over up to 512 target images (the first batches, as trained on).

    Statistics estimated on other pictures under another preprocessing would put some weights at a disadvantage that
    has nothing to do with what they learnt. Returns the number of norms changed.
    """
    norms = [m for m in backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    backbone.train()
    wanted = min(REESTIMATION_IMAGES, batches.count)
    for t in range(-(-wanted // batches.batch_size)):
        backbone(preprocessing.apply(batches.batch(t).images))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return len(norms)


def refuse_frozen_random(recipe: Recipe, is_random: bool) -> None:
    """Frozen batch norm keeps statistics that random weights do not have."""
    if is_random and recipe.batch_norm == "frozen":
        raise WeightsError(
            f"recipe {recipe.name}: frozen batch norm cannot be used with random weights, whose statistics mean "
            'nothing. Use batch_norm = "train", or leave the random candidate out.'
        )
