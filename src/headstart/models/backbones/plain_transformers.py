"""Plain vision transformers of timm (ViT, DeiT, EVA, DINOv2, DINOv3, SAM's encoder) as backbones with four stages.

One map of one stride becomes stages of strides 4 to 32 as in ViTDet (Li et al., arXiv 2203.16527, Sec. 3), with two
differences: the convolutions to one width are left to the heads, so that the stages of the map's own stride and
coarser have no parameters but the pre-trained ones; and the map is taken after the transformer's last norm.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.models.backbones.stages import Stage

STRIDES = (4, 8, 16, 32)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def enlarge(channels: int, doublings: int) -> nn.Sequential:
    """(B, channels, h, w) -> twice the size and half the channels at every doubling, as in ViTDet's pyramid."""
    layers: list[nn.Module] = []
    for k in range(doublings):
        if k:
            layers += [ChannelNorm(channels), nn.GELU()]
        layers.append(nn.ConvTranspose2d(channels, channels // 2, 2, 2))
        channels //= 2
    return nn.Sequential(*layers)


class PlainTransformer(nn.Module):
    """Stages C2 to C5 of a transformer whose blocks all have one resolution.

    Any input size: images are padded on the right and below to whole patches (to a `multiple`), and position embeddings
    are resized.
    Patches of 14 pixels see images made smaller by 14 / 16, so that strides are powers of two.
    """

    fresh_prefixes = ("pyramid.",)
    """Names of parameters that no checkpoint has: they belong to the heads' side."""

    def __init__(self, body: nn.Module, patch: int, channels: int) -> None:
        super().__init__()
        self.body = body
        self.patch = patch
        self.stride = 2 ** round(math.log2(patch))
        self.multiple = 32
        self.pyramid = nn.ModuleDict()
        stages = []
        for stride in STRIDES:
            name, doublings = f"C{int(math.log2(stride))}", round(math.log2(self.stride / stride))
            if doublings > 0:
                self.pyramid[name] = enlarge(channels, doublings)
            stages.append(Stage(name, channels >> max(0, doublings), stride))
        self.stages = tuple(stages)
        self.fresh_stages = tuple(self.pyramid)

    def source_key(self, key: str) -> str:
        return key.removeprefix("body.")

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h, w = (-(-side // 32) * 32 for side in x.shape[-2:])
        x = F.pad(x, (0, -x.shape[-1] % self.multiple, 0, -x.shape[-2] % self.multiple))
        if self.patch != self.stride:
            size = (x.shape[-2] * self.patch // self.stride, x.shape[-1] * self.patch // self.stride)
            x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
        last = self.last_map(x)[..., : h // self.stride, : w // self.stride]
        return {stage.name: self._stage(stage, last) for stage in self.stages}

    def last_map(self, x: Tensor) -> Tensor:
        """The map after the last norm: (B, 3, H, W) -> (B, channels, H / patch, W / patch)."""
        body: Any = self.body
        (last,) = body.forward_intermediates(x, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True)
        return last

    def _stage(self, stage: Stage, last: Tensor) -> Tensor:
        if stage.name in self.pyramid:
            return self.pyramid[stage.name](last)
        times = stage.stride // self.stride
        return F.max_pool2d(last, times) if times > 1 else last


def is_plain(classifier: nn.Module) -> bool:
    """Whether timm's network gives intermediate maps that all have one stride."""
    facts = [info["reduction"] for info in getattr(classifier, "feature_info", [])]
    return len(facts) > 1 and len(set(facts)) == 1 and hasattr(classifier, "forward_intermediates")


def build_plain(name: str, changes: dict[str, Any]) -> PlainTransformer:
    """timm's network of this name as a backbone. changes: more arguments of timm's constructor.

    Raises ValueError where the network takes images of one size only, or its patches do not give powers of two.
    """
    import timm

    def create(**more: Any) -> nn.Module:
        try:
            return timm.create_model(name, num_classes=0, dynamic_img_size=True, **changes, **more)
        except TypeError:  # networks that resize position embeddings without being asked, or cannot
            return timm.create_model(name, num_classes=0, **changes, **more)

    body: Any = create()
    patch = int(body.feature_info[-1]["reduction"])
    if patch not in (4, 8, 14, 16, 32):
        raise ValueError(f"patches of {patch} pixels")
    body.prune_intermediate_layers(indices=1, prune_norm=False, prune_head=True)
    with torch.device("meta"):
        trial: Any = create()
    size = (3 * patch, 5 * patch)
    try:
        (last,) = trial.eval().forward_intermediates(
            torch.zeros(1, 3, *size, device="meta"), indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
        )
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"it takes images of one size only: {error}") from error
    return PlainTransformer(body, patch, int(last.shape[1]))
