"""Every tensor accounted for: those of the backbone filled, those of the file in it or known to be no part of it."""

from __future__ import annotations

import re
from collections.abc import Collection

import torch

from headstart.errors import WeightsError
from headstart.models.backbones.naming import split_options
from headstart.weights.cards import WeightsSpec
from headstart.weights.importers.signatures import COMPUTED
from headstart.weights.load_report import Fit, counted, misfit, reason, surplus_blocks
from headstart.weights.sources import Source

_HEAD = re.compile(
    r"(^|[._\d])(fc\d*|head\w*|classif\w*|logits?|linear|last_linear|proj|project\w*|predict\w*|prototypes?|loss\w*|"
    r"criterion|queue\w*|aux\w*|neck|fpn|rpn|decod\w*|bbox\w*|box|mask\w*|roi\w*|pool\w*|attn_?pool\w*|arcface|margin|"
    r"normali[sz]er?|pixel_(mean|std)|mean|std|temperature|ssh\d|pre_logits|embedding_head|segmentation\w*)([._]|$)",
    re.IGNORECASE,
)
"""First parts of names that heads, losses and normalizations usually have."""
_LEARNS_OFFSETS = re.compile(r"layer(\d)\.\d+\.conv2\.(?:conv_)?offset\.weight$")


def require_filled(spec: WeightsSpec, where: str, fit: Fit, source: Source) -> None:
    """Raise WeightsError unless the file fills every tensor of the backbone."""
    if set(counted(fit.wanted)) - fit.filled:
        raise WeightsError(misfit(spec, where, fit, source.names))


def require_known(spec: WeightsSpec, where: str, fit: Fit, source: Source) -> None:
    """Raise WeightsError for tensors of the file that look like parts of the network, and the backbone lacks."""
    _require_offsets_wanted(spec, where, source.left_over)
    _require_same_norms(spec, where, fit, source.left_over)
    inner = [key.removeprefix(source.prefix) for key in source.left_over]
    deeper = surplus_blocks(fit.wanted, inner)
    if deeper and spec.kind != "timm" and not spec.layout:
        raise WeightsError(
            f"{where} has {len(deeper)} tensors of blocks that backbone {spec.backbone} lacks "
            f"({', '.join(deeper[:3])}, ..): it is of a deeper network. Name its backbone."
        )
    strange = [] if spec.kind == "timm" else _strange(spec, fit, source)
    if strange:
        more = f" and {len(strange) - 6} more" if len(strange) > 6 else ""
        raise WeightsError(
            f"{where} has {len(strange)} tensors that backbone {spec.backbone} lacks, among those of the network: "
            f"{', '.join(strange[:6])}{more}. It is of another network, which would compute other features: name its "
            "backbone, file:PATH@BACKBONE. If they are of a head, say so in a weights card: "
            f'ignore = ["{strange[0].partition(".")[0]}"].'
        )


def _strange(spec: WeightsSpec, fit: Fit, source: Source) -> list[str]:
    """Names that no head, no layout and no card accounts for."""
    dropped = [name for name in fit.tensors if name not in fit.wanted]
    own = {name.partition(".")[0] for name in fit.wanted}
    beside = [
        name
        for name in counted(source.left_over)
        if name.startswith(source.prefix) and source.reason(name) is None and not name.endswith(COMPUTED)
    ]
    names = [*dropped, *(name.removeprefix(source.prefix) for name in beside)]
    if spec.layout:  # a layout knows what it renames; its rest is another part, unless it has a part's name
        names = [name for name in names if name in dropped or name.partition(".")[0] in own]
    names = [name for name in names if not _is_head(name, own) and not name.startswith(spec.ignore)]
    known = _classifier_names(spec.backbone) if names else set()
    return [name for name in names if name not in known and not name.endswith(COMPUTED)]


def _is_head(name: str, own: Collection[str]) -> bool:
    first = name.partition(".")[0]
    return first not in own and (_HEAD.search(first) is not None or reason(first) != reason(""))


def _classifier_names(backbone: str) -> set[str]:
    """Names in the classifier that a backbone of timm or torchvision was taken from; {} for others."""
    import timm
    from torchvision import models

    name, _ = split_options(backbone)
    place = "cpu" if name.startswith("tv-regnet") else "meta"  # RegNet computes its widths with tensors
    with torch.device(place), torch.random.fork_rng(devices=[]):
        if name.startswith("tv-"):
            return set(models.get_model(name.removeprefix("tv-"), weights=None).state_dict())
        return set(timm.create_model(name).state_dict()) if timm.is_model(name) else set()


def _require_same_norms(spec: WeightsSpec, where: str, fit: Fit, left_over: list[str]) -> None:
    """Raise WeightsError for batch norms that would be taken for group norms: names and shapes of their scales fit."""
    ends = tuple(f".{key.removesuffix('.weight')}.running_mean" for key in fit.wanted if key.endswith(".weight"))
    batch_norms = [key for key in left_over if f".{key}".endswith(ends)]
    if batch_norms and "norm=group" in spec.backbone:
        raise WeightsError(
            f"{where} holds {len(batch_norms)} batch norms ({batch_norms[0]}, ..), and backbone {spec.backbone} has "
            "group norms: it is another network. Leave norm=group out."
        )


def _require_offsets_wanted(spec: WeightsSpec, where: str, left_over: list[str]) -> None:
    """Raise WeightsError where a file's network is deformable and the backbone is not: it would compute other things
    than what was trained, with every tensor filled."""
    learners = [match for match in map(_LEARNS_OFFSETS.search, left_over) if match]
    if learners:
        stages = "+".join(sorted({f"C{int(match[1]) + 1}" for match in learners}))
        raise WeightsError(
            f"{where} holds {len(learners)} layers that learn offsets ({learners[0].string}, ..), which "
            f"backbone {spec.backbone} lacks: its network is deformable. Name the backbone with the "
            f"option deformable={stages}, and modulated=no for version 1."
        )
