"""Facts of weights that timm and torchvision know and the catalogue does not. Imports those libraries when asked."""

from __future__ import annotations

import difflib
import re
from typing import Any

from headstart.errors import WeightsError
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.weights import catalogue
from headstart.weights.catalogue import PublicWeights


def require_timm_model(name: str, where: str) -> None:
    """Raise WeightsError unless timm has a model of this name (without tag), or torchvision one of `tv-NAME`."""
    import timm

    from headstart.models.backbones.torchvision_networks import PREFIX

    if name.startswith(PREFIX):
        from torchvision import models

        known = models.list_models(module=models)
        if name.removeprefix(PREFIX) in known:
            return
        near = [PREFIX + match for match in difflib.get_close_matches(name.removeprefix(PREFIX), known, n=3)]
        raise WeightsError(
            f"{where}: torchvision has no classifier {name.removeprefix(PREFIX)!r}. "
            + (f"Nearest names: {', '.join(near)}." if near else "See torchvision.models.")
        )
    if not timm.is_model(name):
        from torchvision import models

        only = [one for one in models.list_models(module=models) if not timm.is_model(one)]
        close = difflib.get_close_matches(name, only, n=1, cutoff=0.85)
        if close:
            raise WeightsError(
                f"{where}: backbone {name!r} is unknown to timm; torchvision has {close[0]}. Give {PREFIX}{close[0]}."
            )
        near = difflib.get_close_matches(name, [*catalogue.BUILTIN_NAMES, *timm.list_models()], n=3)
        raise WeightsError(
            f"{where}: backbone {name!r} is unknown. "
            + (f"Nearest names: {', '.join(near)}. " if near else "")
            + f"Give a built-in name ({', '.join(catalogue.BUILTIN_NAMES)}), a model name of timm such as resnet50, "
            "or path/to/file.py:function."
        )


def timm_weights(name: str) -> PublicWeights:
    """Facts of `architecture.tag`, or of the architecture's default tag, from timm's own table. Downloads nothing."""
    import timm

    architecture, _, tag = name.partition(".")
    require_timm_model(architecture, f"timm:{name}")
    tagged = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in tagged:
        has = f"It has: {', '.join(tagged[:12])}." if tagged else "It has none: use random:" + architecture + "."
        raise WeightsError(f"timm:{name}: timm has no weights with the tag {tag!r} for {architecture}. {has}")
    facts = timm.get_pretrained_cfg(name)
    if facts is None or not tagged:
        raise WeightsError(f"timm:{name}: timm has no trained weights for {architecture}. Use random:{architecture}.")
    tag = tag or str(facts.tag or "")
    full = f"{architecture}.{tag}" if tag else architecture
    mean, std = facts.mean, facts.std
    preprocessing = Preprocessing(mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))
    return PublicWeights(
        full,
        f"timm:{full}",
        architecture,
        catalogue.timm_lineage(tag),
        licence=facts.license or catalogue.UNKNOWN,
        source="timm's pretrained_cfg",
        preprocessing=preprocessing,
    )


def torchvision_weights(name: str) -> PublicWeights:
    """Facts of `Enum.MEMBER` from torchvision's own table: classifiers, and detectors built on ResNets."""
    from torchvision import models

    from headstart.models.backbones.torchvision_networks import PREFIX

    try:
        weights: Any = models.get_weight(name)
    except (ValueError, KeyError, AttributeError) as error:
        near = catalogue.nearest(f"tv:{name}", [f"tv:{known}" for known in _torchvision_names()])
        raise WeightsError(
            f"weights 'tv:{name}' are unknown to torchvision. "
            + (f"Nearest known: {', '.join(near)}. " if near else "")
            + "Give ENUM.MEMBER, for example tv:ResNet50_Weights.IMAGENET1K_V2."
        ) from error
    canonical = f"tv:{type(weights).__name__}.{weights.name}"
    known = catalogue.find(canonical)
    if known is not None:
        return known
    detector = ".detection." in type(weights).__module__
    network = re.search(r"(Wide_ResNet\d+_2|ResNeXt\d+_\d+X\d+D|ResNet\d+)", type(weights).__name__)
    names = [n for n in models.list_models(module=models) if models.get_model_weights(n) is type(weights)]
    if not names and not (detector and network):
        raise WeightsError(
            f"{canonical}: of torchvision's weights only classifiers and the detectors built on ResNets can be read by "
            "name. Give the file: file:PATH@BACKBONE, or a weights card."
        )
    backbone = network[1].lower() if network else PREFIX + names[0]
    lineage = (f"{'COCO boxes' if detector else 'ImageNet-1k labels'} (earlier training not stated)",)
    sha256 = weights.url.rpartition("-")[2].removesuffix(".pth")
    transforms = weights.transforms()
    preprocessing = (
        catalogue.IMAGENET if detector else Preprocessing(mean=tuple(transforms.mean), std=tuple(transforms.std))
    )
    return PublicWeights(
        canonical.removeprefix("tv:"),
        canonical,
        backbone,
        lineage,
        licence="bsd-3-clause",
        url=weights.url,
        key_prefix="backbone.body." if detector else "",
        source="torchvision's weight enums",
        sha256=sha256,
        preprocessing=preprocessing,
    )


def _torchvision_names() -> list[str]:
    from torchvision import models

    enums = [models.get_model_weights(name) for name in models.list_models()]
    return [f"{enum.__name__}.{member.name}" for enum in enums for member in enum]
