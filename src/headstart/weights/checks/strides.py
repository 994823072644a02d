"""Which convolution of a bottleneck has the stride: the 3x3 (conv2) or the first 1x1 (conv1), which no tensor shows.

A 3x3 convolution of stride 2 meets the zeros of the padding at two sides of its map, one of stride 1 over the smaller
map at all four. So the means that the norm after it remembers differ, most where maps are small: in the first blocks of
layer3 and layer4. Both placements are computed; the one that its norms remember is nearer by far
(`benchmarks/weights_strides.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.backbones.stages import evaluating
from headstart.weights.checks.consistency import moved_means
from headstart.weights.checks.scenes import scenes

IMAGES = 6
SIDE = 224
"""Pixels: the size that classifiers are trained at, since padding has another share of other sizes."""
BETTER = 1.3
"""So many times nearer one placement must be."""


@dataclass(frozen=True)
class StridePlacement:
    """How far the norms' means are from both placements, in sigma, mean over the first blocks of layer3 and layer4."""

    declared: Literal["conv1", "conv2"]
    as_declared: float
    otherwise: float

    @property
    def verdict(self) -> Literal["agrees", "contradicts", "undecided"]:
        if self.otherwise > BETTER * self.as_declared:
            return "agrees"
        return "contradicts" if self.as_declared > BETTER * self.otherwise else "undecided"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": self.verdict}

    def __str__(self) -> str:
        other = "conv1" if self.declared == "conv2" else "conv2"
        numbers = f"means off by {self.as_declared:.2f} sigma, with the other by {self.otherwise:.2f}"
        words = {
            "agrees": f"in {self.declared}, and the norms remember it so",
            "contradicts": f"in {self.declared}, and the norms remember it in {other}",
            "undecided": f"in {self.declared}, as is assumed: the norms cannot tell",
        }
        return f"{words[self.verdict]} ({numbers})"


def stride_placement(backbone: nn.Module, preprocessing: Preprocessing) -> StridePlacement | None:
    """Compare both placements; None for networks that are no ResNet of bottlenecks with trained batch norms."""
    blocks = [block for name in ("layer3", "layer4") if (block := _first_bottleneck(backbone, name)) is not None]
    placed = {"conv1" if block.conv1.stride == (2, 2) else "conv2" for block in blocks}
    if len(blocks) < 2 or len(placed) > 1 or not all(_remembers(block.bn2) for block in blocks):
        return None
    images = torch.from_numpy(scenes(IMAGES, SIDE).copy()).permute(0, 3, 1, 2)
    batch = preprocessing.apply(images.to(next(backbone.parameters()).device)).contiguous()
    declared = _moved(backbone, blocks, batch)
    with _exchanged([block for name in ("layer2", "layer3", "layer4") if (block := _first_bottleneck(backbone, name))]):
        other = _moved(backbone, blocks, batch)
    return StridePlacement("conv1" if "conv1" in placed else "conv2", declared, other)


def _first_bottleneck(backbone: nn.Module, stage: str) -> Any:
    """The first block of a stage, where it is a bottleneck and one of its two convolutions has the stride; or None."""
    part = getattr(backbone, stage, None)
    block: Any = part[0] if isinstance(part, nn.Sequential) and len(part) else None
    convolutions = [getattr(block, name, None) for name in ("conv1", "conv2", "conv3")]
    if not all(isinstance(one, nn.Conv2d) for one in convolutions) or not isinstance(
        getattr(block, "bn2", None), _BatchNorm
    ):
        return None
    strides = {one.stride for one in convolutions[:2] if isinstance(one, nn.Conv2d)}
    return block if strides == {(1, 1), (2, 2)} else None


def _remembers(norm: _BatchNorm) -> bool:
    mean = norm.running_mean
    return mean is not None and bool(mean.any())


class _Enough(Exception):
    """Ends a forward pass at the last norm that is looked at."""


def _moved(backbone: nn.Module, blocks: list[Any], batch: Tensor) -> float:
    """Mean over the blocks of the distance of their second norm's means."""
    found: list[float] = []

    def look(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, _BatchNorm)
        found.append(moved_means(norm, inputs[0]))
        if len(found) == len(blocks):
            raise _Enough

    hooks = [block.bn2.register_forward_pre_hook(look) for block in blocks]
    try:
        with evaluating(backbone):
            backbone(batch)
    except _Enough:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return sum(found) / len(found)


@contextmanager
def _exchanged(blocks: list[Any]) -> Iterator[None]:
    """Within it the strides of the first two convolutions are exchanged."""

    def exchange() -> None:
        for block in blocks:
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride

    exchange()
    try:
        yield
    finally:
        exchange()
