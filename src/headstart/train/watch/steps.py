"""What the updates do: gradients, and how far weights move."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from headstart.recipes.schema import Recipe
from headstart.train.watch.measures import Measure

SAMPLE = 1024
"""Values of a parameter that are followed."""
MOVES = 1.0
"""Of their size, that weights move in one update at the full rate: nothing is left of them then."""
MOMENTUM = 0.9
RISEN, MOVED_THEN = 3.0, 0.1
"""Times that the loss is what it was at first, and the part of this limit that weights move then."""
SMALLEST = 1e-8


def of_gradients(model: nn.Module, before: int) -> list[Measure]:
    """After a backward pass: whether the backbone gets its part. A head whose last layer begins at 0 passes none on in
    the first update; before: how many updates in a row had none already."""
    inside: list[torch.Tensor] = []
    outside: list[torch.Tensor] = []
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            (inside if name.startswith("backbone.") else outside).append(parameter.grad.detach().float().norm())
    of_backbone, of_head = (float(torch.stack(norms).norm()) if norms else 0.0 for norms in (inside, outside))
    none = of_backbone == 0 and of_head > 0
    said = f"gradients of the head have a norm of {of_head:.3g}, those of the backbone of 0, in {before + 1} updates"
    return [Measure("no gradient in the backbone", float(before + 1 if none else 0), 1.0, said)]


class Movement:
    """Some values of every weight matrix, from one update to the next."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
        self.first = self.last = self._sample()
        self.factor = 0.0

    def measures(self, losses: Sequence[float], factor: float, recipe: Recipe) -> list[Measure]:
        """Between the backward pass and the update. losses: of all updates so far; factor: of the full rate, in the
        update that follows."""
        before, self.factor = self.factor, factor
        now = self._sample()
        moved = torch.stack([(b - a).norm() for a, b in zip(self.last, now, strict=True)]) if now else torch.zeros(1)
        size = torch.stack([a.norm() for a in self.first]) if now else torch.ones(1)
        self.last = now
        used = size > SMALLEST
        if not before or len(losses) < 2 or not bool(used.any()):
            return []
        each = float((moved[used] / size[used]).median()) / before
        if recipe.optimizer == "sgd":  # its momentum is yet to come
            each /= 1 - MOMENTUM ** (len(losses) - 1)
        recent = sorted(losses[-3:])[len(losses[-3:]) // 2]
        risen = recent / max(losses[0], 1e-12)
        value = max(each / MOVES, min(risen / RISEN, each / (MOVED_THEN * MOVES)))
        said = (
            f"an update at the full rate of {recipe.rate:g} moves the weights by {each:.2g} of their size (less than "
            f"{MOVES:g} is expected), and the loss went from {losses[0]:.3g} to {recent:.3g}"
        )
        return [Measure("learning rate too high", value, 1.0, said)]

    @torch.no_grad()
    def _sample(self) -> list[Tensor]:
        samples = []
        for parameter in self.parameters:
            rows = max(1, SAMPLE * parameter.shape[0] // parameter.numel())
            samples.append(parameter.detach()[:rows].float().flatten().clone())
        return samples
