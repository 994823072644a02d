"""Whether a network's batch norms remember what it computes: the test of what names and shapes cannot tell.

In training a norm kept the mean and the variance of what it saw. In the right network, with the right input, images
like those of the training give about the same; where channels are in another order, pooling is blurred or the input is
scaled wrongly, they do not. The images are drawn (`scenes`), which costs the right networks some agreement; the limits
were measured on networks of both kinds (`benchmarks/weights_consistency.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.backbones.stages import evaluating
from headstart.weights.checks.scenes import scenes

IMAGES = 12
SIDE = 128
MOVED = 0.42
"""Median over the norms of |mean - remembered mean| / sigma from which on a network contradicts its norms."""
SPREAD = 0.21
"""The same of |log(sigma / remembered sigma)|."""
DOUBTFUL = 0.9
"""Part of these limits below which they agree."""


@dataclass(frozen=True)
class Consistency:
    """How far activations on drawn scenes are from what the batch norms remember."""

    verdict: Literal["agrees", "doubtful", "contradicts", "untrained", "undecided"]
    why: str
    norms: int = 0
    moved: float | None = None
    """Median over norms of the mean over channels of |mean - remembered| / sigma."""
    spread: float | None = None
    """Median over norms of the median over channels of |log(sigma / remembered sigma)|."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        if self.moved is None:
            return f"not compared: {self.why}"
        return f"{self.why} (means off by {self.moved:.2f} sigma, spread by {self.spread:.2f}; {self.norms} norms)"


def consistency(backbone: nn.Module, preprocessing: Preprocessing, side: int | tuple[int, int] = SIDE) -> Consistency:
    """Compare the running statistics with those of drawn scenes of `side` pixels, or (H, W)."""
    norms = [part for part in backbone.modules() if isinstance(part, _BatchNorm) and part.running_mean is not None]
    if not norms:
        return Consistency("undecided", "no batch norms with statistics")
    if all(_is_fresh(norm) for norm in norms):
        return Consistency("untrained", "all means are 0 and all variances 1, as before any training", len(norms))
    if all(_is_constant(norm) for norm in norms):
        return Consistency("undecided", "the statistics are folded into weights and biases", len(norms))
    found = _deviations(backbone, preprocessing, side, norms)
    if not found:
        return Consistency("undecided", "no batch norm sees maps", len(norms))
    moved, spread = (float(value) for value in np.median(np.array(found), axis=0))
    verdict, why = judge(moved, spread)
    return Consistency(verdict, why, len(found), moved, spread)


def judge(moved: float, spread: float) -> tuple[Literal["agrees", "doubtful", "contradicts"], str]:
    """(verdict, in words)."""
    part = max(moved / MOVED, spread / SPREAD)
    if not part < 1:  # NaN contradicts, too
        return "contradicts", "the network does not compute what its norms remember"
    if part >= DOUBTFUL:
        return "doubtful", "the network computes nearly what its norms remember"
    return "agrees", "the network computes what its norms remember"


def _is_fresh(norm: _BatchNorm) -> bool:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    return not bool(mean.any()) and bool((variance == 1).all())


def _is_constant(norm: _BatchNorm) -> bool:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    return not bool(mean.any()) and bool((variance == variance[0]).all())


def _deviations(
    backbone: nn.Module, preprocessing: Preprocessing, side: int | tuple[int, int], norms: list[_BatchNorm]
) -> list[tuple[float, float]]:
    height, width = (side, side) if isinstance(side, int) else side
    images = scenes(IMAGES, max(height, width))[:, :height, :width]
    found: list[tuple[float, float]] = []

    def look(norm: _BatchNorm) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found.append(_of_norm(norm, inputs[0]))

        return hook

    hooks = [norm.register_forward_pre_hook(look(norm)) for norm in norms if not _is_constant(norm)]
    device = next(backbone.parameters()).device
    try:
        with evaluating(backbone):
            batch = torch.from_numpy(images.copy()).permute(0, 3, 1, 2).to(device)
            backbone(preprocessing.apply(batch).contiguous())
    finally:
        for one in hooks:
            one.remove()
    return found


def moved_means(norm: _BatchNorm, seen: Tensor) -> float:
    """Mean over channels of |mean - remembered mean| / sigma of what a norm sees (B, C, ..)."""
    return _of_norm(norm, seen)[0]


def _of_norm(norm: _BatchNorm, seen: Tensor) -> tuple[float, float]:
    assert norm.running_mean is not None and norm.running_var is not None
    axes = [axis for axis in range(seen.ndim) if axis != 1]
    values = seen.double()
    mean, variance = values.mean(axes), values.var(axes, unbiased=False)
    remembered = norm.running_var.double()
    alive = remembered > 1e-8 * remembered.max()
    eps = 1e-3 * float(remembered.median())
    moved = ((mean - norm.running_mean.double()).abs() / (remembered + eps).sqrt())[alive]
    spread = (0.5 * ((variance + eps) / (remembered + eps)).log().abs())[alive]
    return float(moved.mean()), float(spread.median())
