"""The network of timm or torchvision that names and shapes belong to, from the table of signatures."""

from __future__ import annotations

import math
from collections.abc import Mapping

from headstart.models.backbones.naming import with_options
from headstart.weights.importers.signatures import POSITIONS, Network, signature, table

Shapes = Mapping[str, tuple[int, ...]]
LESS_KNOWN = ("deit", "lingbot", "eupe", "miil", "blur", "aa", "_mlp")
"""In names of networks that equal better known ones, or have their names and shapes."""


def network_of(shapes: Shapes) -> str | tuple[Network, ...] | None:
    """Its name with options; several where names and shapes are those of networks that compute different things; None
    where the table has none.

    A first convolution for another number of channels is taken for one of three: loading says so.
    """
    found = table().get(signature(shapes)) or table().get(signature(_for_three(shapes)))
    if not found:
        return None
    positions = shapes[POSITIONS][1] if len(shapes.get(POSITIONS, ())) == 3 else 0
    fitting = tuple(one for one in found if one.positions == positions) or found
    if len({one.function for one in fitting}) > 1:
        return fitting
    best = min(fitting, key=lambda one: plainness(one.name))
    if best.positions == positions:
        return best.name
    size = _image_size(best.positions, positions, shapes)
    return with_options(best.name, image_size=str(size)) if size else None


def plainness(name: str) -> tuple[bool, bool, int, str]:
    """For sorting: the name that most people know first, timm's before torchvision's."""
    return name.startswith("tv-"), any(word in name for word in LESS_KNOWN), len(name), name


def _image_size(usual: int, positions: int, shapes: Shapes) -> int | None:
    """Pixels of the square image that the position embeddings are for, or None."""
    others = usual - math.isqrt(usual) ** 2  # of the class, of registers
    side = math.isqrt(positions - others) if positions > others else 0
    patch = shapes.get("patch_embed.proj.weight", ())
    return side * patch[2] if side**2 == positions - others and len(patch) == 4 else None


def _for_three(shapes: Shapes) -> Shapes:
    for name, shape in shapes.items():
        if len(shape) == 4 and shape[1] != 3 and shape[2] == shape[3] > 1:
            return {**shapes, name: (shape[0], 3, *shape[2:])}
        if len(shape) == 4:
            break
    return shapes
