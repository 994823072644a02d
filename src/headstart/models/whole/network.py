"""A whole detector of transformers as a network of its own, from its configuration.

Letters: B images, Q queries, K classes.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.errors import WeightsError
from headstart.models.whole.families import STEP, Family, InputSize, split_whole
from headstart.texts import json_of

EXTRA = "whole detectors are networks of transformers, which is not installed: pip install 'headstart[hf]'"


class Whole(nn.Module):
    """The network with the classes that its weights know. It brings images to its own input size."""

    def __init__(self, config: Any, family: Family, size: InputSize) -> None:
        super().__init__()
        self.config, self.family, self.size = config, family, size
        self.network = network_of(config, family)
        self.step = step_of(config, family)
        """Sides of inputs of other sizes are multiples of it."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Preprocessed images (B, 3, H, W) -> class `logits` (B, Q, K or K + 1), `boxes` (B, Q, 4): center and size as
        parts of the image."""
        out = self.network(pixel_values=resized(images, self.size.of((images.shape[2], images.shape[3]))))
        return {"logits": out.logits, "boxes": out.pred_boxes}


def build_whole(name: str, base: Path = Path()) -> Whole:
    """A network with fresh random values, by its name. Raises WeightsError."""
    whole = split_whole(name)
    assert whole
    return Whole(config_of(base / whole.config, whole.family), whole.family, whole.input)


def config_of(path: Path, family: Family, num_labels: int | None = None) -> Any:
    """The configuration in a file. num_labels: of classes, in place of its own. Raises WeightsError."""
    try:
        values = json_of(path.read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: no configuration that can be read ({error!s:.200})") from error
    return as_config(values, family, num_labels)


def as_config(values: dict[str, Any], family: Family, num_labels: int | None = None) -> Any:
    """Of values as `config.json` has them; what fixes the size of its input, or needs others' kernels, is left out."""
    kind = getattr(module_of(family), f"{family.network}Config")
    try:
        config = kind.from_dict(values)
    except Exception as error:  # transformers raises many kinds for values that it cannot use
        raise WeightsError(f"a configuration that no {family.words} can have: {error!s:.300}") from error
    if num_labels is not None:
        config.num_labels = num_labels
    for field, value in (("anchor_image_size", None), ("eval_size", None), ("disable_custom_kernels", True)):
        if hasattr(config, field):
            setattr(config, field, value)
    config.auxiliary_loss = True
    return config


def module_of(family: Family) -> Any:
    """The module of transformers that has the family. Raises WeightsError where transformers is absent or too old."""
    try:
        return importlib.import_module(family.module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "transformers" and error.name != family.module:
            raise WeightsError(f"{family.words}: {EXTRA}") from None
        raise WeightsError(
            f"{family.words}: the version of transformers that is installed does not have it: "
            "pip install --upgrade 'headstart[hf]'"
        ) from error


def network_of(config: Any, family: Family) -> nn.Module:
    """A network with fresh random values. Raises WeightsError."""
    kind = getattr(module_of(family), f"{family.network}ForObjectDetection")
    try:
        network: nn.Module = kind(config)
    except Exception as error:  # a configuration may ask for what cannot be
        raise WeightsError(f"no {family.words} can be built of this configuration: {error!s:.300}") from error
    backbone = network.get_submodule(family.inner)
    for parameter in backbone.parameters():  # of transformers' own ResNets DETR freezes all, though it means the first
        parameter.requires_grad_(True)
    for module in backbone.modules():
        if family.faint and isinstance(module, nn.Conv2d):  # else what is found is the same in all images
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return network


def step_of(config: Any, family: Family) -> int:
    """Pixels of a side that the backbone's windows need."""
    inner = getattr(config, "backbone_config", None)
    if family.name not in ("rf_detr", "lw_detr") or inner is None:
        return STEP
    windows = inner.num_windows if family.name == "rf_detr" else round(inner.num_windows**0.5)
    return int(inner.patch_size) * int(windows)


def resized(images: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Images (B, 3, H, W) at another size."""
    if tuple(images.shape[2:]) == size_hw:
        return images
    return F.interpolate(images, size_hw, mode="bilinear", antialias=True, align_corners=False)


def counted(module: nn.Module) -> dict[str, Tensor]:
    """Its tensors by name, without counters of batches."""
    return {name: value for name, value in module.state_dict().items() if not name.endswith("num_batches_tracked")}


def without_inner(network: nn.Module, family: Family) -> dict[str, Tensor]:
    """The tensors of all but its backbone."""
    return {n: v for n, v in network.state_dict().items() if not n.startswith(f"{family.inner}.")}


@torch.no_grad()
def start_classes(network: nn.Module, family: Family, prior_logit: float) -> None:
    """Biases of fresh class layers: at a prior for sigmoids, at zeros for a softmax."""
    beginnings = tuple(name for name, _ in family.classes)
    for name, value in network.state_dict().items():
        if name.startswith(beginnings) and name.endswith("bias"):
            value.fill_(0.0 if family.softmax else prior_logit)
