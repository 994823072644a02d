"""Networks with the same names and shapes that compute other things: whose norms remember what the network computes?

Blurred and averaged pooling have no tensors: a file of timm's resnetblur50 has all names and shapes of resnet50.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.weights.checks.consistency import MOVED, SPREAD, Consistency, consistency

BETTER = 1.25
"""So many times nearer to its norms another network must be, in parts of the limits."""


def doubt(taken_for: str, doubles: Sequence[str], found: Consistency | None) -> tuple[str, ...]:
    """What to say where norms cannot tell which of the networks it is; nothing where they can."""
    if not doubles or (found is not None and found.moved is not None):
        return ()
    why = found.why if found is not None else "nothing was compared"
    return (
        f"taken for {taken_for}, whose names and shapes are also those of {', '.join(doubles[:4])}, which compute "
        f"other things; batch norms cannot tell which it is ({why}). Name the one that it is: file:PATH@{taken_for}.",
    )


def nearer(
    backbone: nn.Module, preprocessing: Preprocessing, doubles: Sequence[str], found: Consistency | None
) -> tuple[str, ...]:
    """What to say where the norms remember what another network computes. Takes a second or two for each."""
    if found is None or found.moved is None:
        return ()
    best, least = "", _part(found) / BETTER
    for name in doubles:
        with torch.random.fork_rng(devices=[]):
            other = build_backbone(name)
        state = dict(zip(other.state_dict(), backbone.state_dict().values(), strict=True))
        other.load_state_dict(state)
        part = _part(consistency(other, preprocessing))
        if part < least:
            best, least = name, part
    if not best:
        return ()
    return (
        f"the norms remember what {best} computes, which has the same names and shapes ({_part(found):.2f} of what is "
        f"allowed, {best} {least:.2f}). Name it, if it is that: file:PATH@{best}.",
    )


def _part(found: Consistency) -> float:
    """The larger of both deviations, in parts of their limits."""
    if found.moved is None or found.spread is None:
        return float("inf")
    return max(found.moved / MOVED, found.spread / SPREAD)
