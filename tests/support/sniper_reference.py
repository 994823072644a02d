"""Chips as SNIPER's released code lays them, written straightforwardly from its description: slow, for comparison.

Inclusive coordinates, sides truncated to integers, every candidate tried, candidates shuffled, a box covered when it
lies wholly inside. github.com/mahyarnajibi/SNIPER, lib/data_utils/data_workers.py and lib/chips/cchips.cpp.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.batches.chips.scales import Scale, scales_of
from headstart.recipes.pretraining import load_recipe
from headstart.recipes.sampling import ScaledSampling

RANGES = ((-1, 80), (32, 150), (120, -1))


def chip_scales(recipe: str) -> tuple[Scale, ...]:
    """At which a recipe of the package lays chips; they stand in its TOML file alone."""
    sampling = load_recipe(recipe).sampling
    assert isinstance(sampling, ScaledSampling)
    return scales_of(sampling.scales)


def chips_of_image(
    boxes: NDArray[np.float64], size_hw: tuple[int, int], factors: list[float], stride: int, rng: np.random.Generator
) -> list[tuple[int, int, int]]:
    """(scale, x, y) of all positive chips of an image."""
    out = []
    for s, factor in enumerate(factors):
        sides = (boxes[:, 2:] - boxes[:, :2]).astype(int)
        root, longest = np.sqrt(sides.prod(1)), sides.max(1, initial=0)
        low, high = RANGES[s]
        if s == len(factors) - 1:
            chosen = root >= low
        else:
            chosen = (
                (root >= max(low, 0)) & (root < high) & (longest < (512 - stride - 1) / factor) & (sides >= 2).all(1)
            )
        width, height = int(size_hw[1] * factor), int(size_hw[0] * factor)
        scaled = np.clip(boxes[chosen] * factor, 0, [width - 2, height - 2, width - 2, height - 2])
        out += [(s, x, y) for x, y in _cover(scaled, width, height, stride, rng)]
    return out


def _candidates(width: int, height: int, stride: int) -> list[tuple[int, int]]:
    right, bottom = max(width - 512, 0), max(height - 512, 0)
    xs, ys = range(0, max(width - 512, 0), stride), range(0, max(height - 512, 0), stride)
    found = [(right, 0), (0, bottom), (right, bottom)] + [(x, y) for x in xs for y in ys]
    return found + [(max(width - 513, 0), y) for y in ys] + [(x, max(height - 513, 0)) for x in xs]


def _cover(
    boxes: NDArray[np.float64], width: int, height: int, stride: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    if not len(boxes):
        return []
    candidates = np.array(_candidates(width, height, stride))
    candidates = candidates[rng.permutation(len(candidates))]
    ends = np.minimum(candidates + 511, [width - 1, height - 1])
    holds = (boxes[None, :, :2] >= candidates[:, None]).all(2) & (boxes[None, :, 2:] <= ends[:, None]).all(2)
    chosen = []
    while holds.any():
        best = int(holds.sum(1).argmax())
        chosen.append((int(candidates[best, 0]), int(candidates[best, 1])))
        holds &= ~holds[best]
    return chosen
