"""Where in an image a network's energy lies, against where the objects are: four measures of one map.

Letters: n images, h x w cells, m = h w. From each measure of place the same one with another image's objects of about
equal size (`headstart.explain.activations.shuffled_partners`) is taken off, because objects tend to stand in the
middle: 0 is then "knows nothing about where the object is".

    pointing   whether the cell of highest energy lies on an object, half of it at least (Zhang et al., IJCV 2018); the
               share, where several cells are highest
    inside     share of the energy that lies on objects
    center     distance between the centers of mass of the energy and of the objects, in diagonals of the image; below 0
               is nearer than to another image's objects
    spread     root mean square distance of the energy from its own center, in diagonals; of no objects, so nothing is
               taken off
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.explain.activations import INSIDE_FROM

Map = NDArray[np.floating]


def places(
    energy: Map, shares: Map, partner: NDArray[np.integer], grid_hw: tuple[int, int]
) -> dict[str, NDArray[np.float64]]:
    """Of each image (n,): `pointing`, `inside`, `center`, `spread`; nan where there is no energy, no object, or no
    partner.

    energy (n, m): at least 0. shares (n, m): share of each cell that objects cover. partner (n,): the image whose
    objects are the control; -1 for none.
    """
    energy, shares = np.asarray(energy, np.float64), np.asarray(shares, np.float64)
    total = energy.sum(1)
    weights = np.divide(energy, total[:, None], out=np.full(energy.shape, np.nan), where=total[:, None] > 0)
    highest = energy == energy.max(1, keepdims=True)
    at = _cells(grid_hw)
    found: dict[str, NDArray[np.float64]] = {}
    for objects, sign in ((shares, 1), (shares[np.maximum(partner, 0)], -1)):
        covered = objects.sum(1)
        area = np.divide(objects, covered[:, None], out=np.full(objects.shape, np.nan), where=covered[:, None] > 0)
        parts = {
            "pointing": (highest & (objects >= INSIDE_FROM)).sum(1) / highest.sum(1),
            "inside": (weights * objects).sum(1),
            "center": np.linalg.norm(weights @ at - area @ at, axis=1),
        }
        for name, values in parts.items():
            there = np.where((covered > 0) & (total > 0), values, np.nan)
            found[name] = there if sign > 0 else found[name] - there
    found = {name: np.where(partner >= 0, values, np.nan) for name, values in found.items()}
    away = np.square(at[None] - (weights @ at)[:, None]).sum(2)
    return found | {"spread": np.sqrt((weights * away).sum(1))}


def _cells(grid_hw: tuple[int, int]) -> NDArray[np.float64]:
    """(m, 2) centers of the cells, in diagonals of an image whose cells are square."""
    h, w = grid_hw
    rows, columns = np.divmod(np.arange(h * w), w)
    return np.stack([rows + 0.5, columns + 0.5], 1) / np.hypot(h, w)
