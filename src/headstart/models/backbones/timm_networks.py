"""Networks of timm as backbones: ResNets, plain transformers, and all others that give their stages."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.models.backbones.naming import no_options
from headstart.models.backbones.plain_transformers import build_plain, is_plain
from headstart.models.backbones.resnets import build_resnet
from headstart.models.backbones.stages import Stage


class TimmBackbone(nn.Module):
    """Any other network of timm that gives features. The deepest stage is C5, names count down from it."""

    def __init__(
        self, body: nn.Module, classifier_keys: frozenset[str], only_size: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.body, self.classifier_keys, self.only_size = body, classifier_keys, only_size
        facts: Any = body.feature_info
        channels, strides = facts.channels(), facts.reduction()
        self.kept = range(max(0, len(channels) - 5), len(channels))
        self.stages = tuple(Stage(f"C{5 - (len(channels) - 1 - i)}", channels[i], strides[i]) for i in self.kept)
        self.channels_last = str(getattr(body, "output_fmt", "NCHW")).upper().endswith("NHWC")

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if self.only_size and tuple(x.shape[-2:]) != self.only_size:
            h, w = self.only_size
            raise WeightsError(
                f"this network takes images of {h}x{w} pixels only, not of {x.shape[-2]}x{x.shape[-1]}. "
                "Resize images to that size, or choose another backbone."
            )
        maps = self.body(x)
        maps = [maps[i].permute(0, 3, 1, 2) if self.channels_last else maps[i] for i in self.kept]
        return {stage.name: values for stage, values in zip(self.stages, maps, strict=True)}

    def source_key(self, key: str) -> str:
        """timm's feature wrappers prefix or flatten names: `body.stages_0.x` was `stages.0.x` in the classifier."""
        key = key.removeprefix("body.").removeprefix("model.")
        child = key.partition(".")[0]
        cuts = [i for i, letter in enumerate(child) if letter == "_"]
        return next((k for k in (key, *(f"{key[:i]}.{key[i + 1 :]}" for i in cuts)) if k in self.classifier_keys), key)


def build_timm(name: str, options: dict[str, str], builtin: tuple[str, ...]) -> nn.Module:
    """timm's network of this name, with options (`headstart.models.backbones.naming`). builtin: other names to offer.

    Raises WeightsError for unknown names, and for networks that do not give their stages.
    """
    import timm
    from timm.models.resnet import ResNet

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, [*builtin, *timm.list_models()], n=3)
        raise WeightsError(
            f"backbone {name!r} is unknown. "
            + (f"Nearest names: {', '.join(near)}. " if near else "")
            + f"Give a built-in name ({', '.join(builtin)}), a model name of timm such as resnet50, "
            "tv-NAME for one of torchvision's, or path/to/file.py:function."
        )
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            classifier = timm.create_model(name)
        if isinstance(classifier, ResNet):
            return build_resnet(name, options)
        changes = _changes(name, options, classifier)
        if is_plain(classifier):
            return set_epsilon(build_plain(name, changes), options)
        body = set_epsilon(_features(name, changes), options)
        if options.get("pool3") == "ceil":
            next(part for key, part in body.named_modules() if key.endswith("features_16")).ceil_mode = True
        return TimmBackbone(body, frozenset(classifier.state_dict()), _only_size(name, changes))
    except (ValueError, RuntimeError, AttributeError, TypeError, AssertionError) as error:
        raise WeightsError(
            f"backbone {name!r}: timm cannot give its stages ({error}). Choose a model that supports features_only, "
            "or write your own: path/to/file.py:function."
        ) from error


def set_epsilon(network: nn.Module, options: dict[str, str]) -> nn.Module:
    """The network, its layer norms with the epsilon that the options name."""
    if "eps" in options:
        for part in network.modules():
            if isinstance(part, nn.LayerNorm):
                part.eps = float(options["eps"])
    return network


def _changes(name: str, options: dict[str, str], classifier: nn.Module) -> dict[str, Any]:
    """timm's arguments for the options that a network of this kind has."""
    from timm.models.eva import Eva
    from timm.models.pvt_v2 import PyramidVisionTransformerV2
    from timm.models.vgg import VGG
    from timm.models.vision_transformer import VisionTransformer

    if isinstance(classifier, VisionTransformer):
        kind: tuple[str, ...] = ("num_heads", "image_size", "eps")
    elif isinstance(classifier, Eva):
        kind = ("image_size", "eps", "registers")
    elif isinstance(classifier, PyramidVisionTransformerV2):
        kind = ("mlp_ratio", "eps")
    elif isinstance(classifier, VGG) and name.startswith("vgg16"):
        kind = ("pool3",)
    else:
        kind = ("output_stride", "eps")
    no_options(name, options, kind)
    changes: dict[str, Any] = {key: int(options[key]) for key in ("num_heads", "output_stride") if key in options}
    if "image_size" in options:
        changes["img_size"] = int(options["image_size"])
    if "registers" in options:
        changes["num_reg_tokens"] = int(options["registers"])
    if "mlp_ratio" in options:
        changes["mlp_ratios"] = (int(options["mlp_ratio"]),) * 4
    return changes


def _features(name: str, changes: dict[str, Any]) -> nn.Module:
    """timm's network in the form that gives its stages, for any size of images where it can."""
    import timm

    try:  # Swin's windows and masks follow the image
        return timm.create_model(name, features_only=True, strict_img_size=False, **changes)
    except TypeError:
        return timm.create_model(name, features_only=True, **changes)


def _only_size(name: str, changes: dict[str, Any]) -> tuple[int, int] | None:
    """(H, W) of the images that timm's network takes, where it takes only one size; found without computing."""
    import timm

    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        body: Any = _features(name, changes).eval()
        try:
            body(torch.zeros(1, 3, 128, 192))
        except (RuntimeError, AssertionError, ValueError):
            facts = timm.get_pretrained_cfg(name)
            return (facts.input_size[1], facts.input_size[2]) if facts else (224, 224)
    return None
