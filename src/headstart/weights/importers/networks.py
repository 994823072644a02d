"""The network of timm or torchvision that names and shapes belong to, from the table of signatures, and what it takes.

`public/inputs.txt` lists the networks whose published weights do not all take ImageNet's mean and deviation, as timm
states them: `benchmarks/network_inputs.py` writes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from headstart.models.backbones.naming import split_options, with_options
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.weights.importers.imported import RGB_01
from headstart.weights.importers.signatures import POSITIONS, Network, signature, table

Shapes = Mapping[str, tuple[int, ...]]
LESS_KNOWN = ("deit", "lingbot", "eupe", "miil", "blur", "aa", "_mlp")
"""In names of networks that equal better known ones, or have their names and shapes."""
INPUTS = Path(__file__).parents[1] / "public" / "inputs.txt"
WAYS: Mapping[str, Preprocessing] = MappingProxyType(
    {
        "half": Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        "clip": Preprocessing(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)),
        "zero": RGB_01,
    }
)
"""Ways of preparing images, by the words of the file."""
SEVERAL = "several"
TRANSFORMED = frozenset(("tv-googlenet", "inception_v3"))
"""Networks of torchvision that, with published weights, turn ImageNet's input into this (`transform_input`)."""


def network_of(shapes: Shapes) -> str | tuple[Network, ...] | None:
    """Its name with options; several where names and shapes are those of networks that compute different things; None
    where the table has none.

    A first convolution for another number of channels is taken for one of three: loading says so.
    """
    found = same_names(shapes)
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


def same_names(shapes: Shapes) -> tuple[Network, ...]:
    """All networks of the table with these names and shapes."""
    return table().get(signature(shapes)) or table().get(signature(_for_three(shapes))) or ()


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


def input_of(name: str) -> tuple[Preprocessing, str]:
    """What the network of this name takes, and a note where that is assumed."""
    bare = split_options(name)[0]
    word = "half" if bare in TRANSFORMED else _inputs().get(bare, "")
    if word in WAYS:
        taken = WAYS[word]
        return taken, (
            f"input as published weights of {bare} take it (mean {taken.mean[0]:.3g}, std {taken.std[0]:.3g}): the "
            "file does not say"
        )
    if word == SEVERAL:
        return IMAGENET, (
            f"input with ImageNet's mean and std, which is assumed: published weights of {bare} differ, and the file "
            "does not say; a weights card can"
        )
    return IMAGENET, ""


@cache
def _inputs() -> Mapping[str, str]:
    """Word by network."""
    lines = [line.split() for line in INPUTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {name: word for word, *names in lines for name in names}
