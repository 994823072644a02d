"""Parts of a backbone that a training leaves as they are."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from headstart.errors import WeightsError

STEM = "stem"


def frozen_parts(backbone: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """Modules of the parts `names`: "stem" (all before layer1), or stages by their outputs: C2 is layer1.

    Raises WeightsError for a backbone that is not made of layer1 to layer4.
    """
    if not names:
        return []
    children = dict(backbone.named_children())
    if "layer1" not in children:
        raise WeightsError(
            f"`freeze` names {', '.join(names)}, but this backbone is not made of layer1 to layer4 as "
            "ResNets are. Leave `freeze` out."
        )
    order = list(children)
    parts = [children[name] for name in order[: order.index("layer1")]] if STEM in names else []
    return parts + [children[f"layer{int(name[1]) - 1}"] for name in names if name != STEM]
