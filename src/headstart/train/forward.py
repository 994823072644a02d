"""One forward and backward pass: precision, parts of a batch, gradients averaged over processes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from headstart.batches.batch import Batch
from headstart.errors import TrainingError
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.names import COUNT
from headstart.recipes.schema import Recipe
from headstart.train.depthwise import keep_depthwise
from headstart.train.devices import precision_on
from headstart.train.distributed import World
from headstart.train.memory import memory_for_update

Losses = Callable[[nn.Module, Batch, Tensor], dict[str, Tensor]]
"""(model, batch, preprocessed images) -> losses to be added, by name."""

_NEW = "forward_sync_buffers" in signature(nn.parallel.DistributedDataParallel).parameters
BUFFERS_STAY: dict[str, Any] = {"forward_sync_buffers" if _NEW else "broadcast_buffers": False}
"""Each process keeps the statistics of its own images; torch has renamed how that is said."""


class Forward:
    """The model and its losses, on the device of this process and in the recipe's precision."""

    def __init__(
        self, model: nn.Module, losses_of: Losses, preprocessing: Preprocessing, recipe: Recipe, *, world: World
    ) -> None:
        self.recipe, self.world, self.preprocessing = recipe, world, preprocessing
        model.to(world.device)
        self.precision = precision_on(world.device.type, recipe.precision)
        if self.precision == "fp64":
            model.double()
        if recipe.compile:
            model.backbone.compile()  # type: ignore[union-attr]
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        if self.dtype is torch.bfloat16 and world.device.type == "cpu" and not recipe.compile:
            keep_depthwise(model)
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=self.precision == "fp16")
        self.model = model
        self.losses: nn.Module = _LossesOf(model, losses_of)
        if world.size > 1:
            device_ids = [world.device] if world.device.type == "cuda" else None
            self.losses = nn.parallel.DistributedDataParallel(self.losses, device_ids, **BUFFERS_STAY)

    def backward(self, batch: Batch, step: int, lr: float) -> dict[str, Tensor]:
        """Gradients of the batch's mean loss; returns the losses, detached, means over parts and processes;
        counts are their sums."""
        parts = batch.parts(self.recipe.accumulate)
        total: dict[str, Tensor] = {}
        for k, part in enumerate(parts):
            synced = k + 1 == len(parts) or self.world.size == 1
            size_hw = (part.images.shape[-2], part.images.shape[-1])
            with (
                memory_for_update(self.model, self.recipe, len(part), size_hw),
                nullcontext() if synced else self.losses.no_sync(),  # type: ignore[operator]
            ):
                losses = self._forward(part.to(self.world.device))
                require_finite(losses, step, part.image_ids, lr)
                trained = [value for name, value in losses.items() if not name.startswith(COUNT)]
                self.scaler.scale(torch.stack(trained).sum() / len(parts)).backward()
            for name, value in losses.items():
                share = self.world.size if name.startswith(COUNT) else 1 / len(parts)
                total[name] = total.get(name, torch.zeros_like(value)) + value.detach() * share
        return self.world.mean(total)

    def _forward(self, batch: Batch) -> dict[str, Tensor]:
        images = self.preprocessing.apply(batch.images)
        if self.precision == "fp64":
            images = images.double()
        with torch.autocast(self.world.device.type, self.dtype, enabled=self.dtype is not None):
            return self.losses(batch, images.contiguous(memory_format=torch.channels_last))

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Gradients in their own units, before they are clipped."""
        self.scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """One update; with fp16, left out where gradients overflowed."""
        self.scaler.step(optimizer)
        self.scaler.update()


class _LossesOf(nn.Module):
    """The model's losses as a forward pass, which is what DistributedDataParallel follows."""

    def __init__(self, model: nn.Module, losses_of: Losses) -> None:
        super().__init__()
        self.model, self.losses_of = model, losses_of

    def forward(self, batch: Batch, images: Tensor) -> dict[str, Tensor]:
        return self.losses_of(self.model, batch, images)


class NotFinite(TrainingError):
    """A loss that is not finite; `image_ids` are all those of the batch."""

    def __init__(self, message: str, image_ids: list[str]) -> None:
        super().__init__(message)
        self.image_ids = image_ids


def require_finite(losses: dict[str, Tensor], step: int, image_ids: list[str], lr: float) -> None:
    """Raise NotFinite naming the loss, the update and the images when a loss is not finite."""
    if torch.stack(list(losses.values())).isfinite().all():  # asks the device once
        return
    bad = [name for name, value in losses.items() if not torch.isfinite(value)]
    raise NotFinite(
        f"update {step}: the loss {', '.join(bad)} is not finite at rate {lr:g}. "
        f"Images of the batch: {', '.join(image_ids[:8])}{' ...' if len(image_ids) > 8 else ''}. "
        "Lower the rate, or look at these images and their boxes.",
        image_ids,
    )
