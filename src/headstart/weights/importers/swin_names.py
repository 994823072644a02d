"""OpenMMLab's Swin to timm's: other names, and another order of the four neighbors that a merging layer joins.

Names: open-mmlab/mmdetection mmdet/models/backbones/swin.py (swin_converter in the same file gives the permutation of
the merging layers' columns). Its tables of relative positions are in timm's order, though computed another way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headstart.weights.importers.imported import Edit
from headstart.weights.importers.resnet_names import stage_blocks

_SIZES: dict[tuple[int, tuple[int, ...]], str] = {
    (96, (2, 2, 6, 2)): "tiny",
    (96, (2, 2, 18, 2)): "small",
    (128, (2, 2, 18, 2)): "base",
    (192, (2, 2, 18, 2)): "large",
}


@dataclass
class Swin:
    """A Swin found under OpenMMLab's names."""

    backbone: str
    names: dict[str, str] = field(default_factory=dict)
    edits: dict[str, Edit] = field(default_factory=dict)


def swin(body: Mapping[str, str], tensors: Mapping[str, Any]) -> Swin | None:
    """body: {name below `backbone.`: name in the file}. None where it is no Swin that timm has."""
    blocks = stage_blocks(body, r"stages\.(\d)\.blocks\.(\d+)\.attn\.w_msa\.qkv\.weight", first=0)
    projection = body.get("patch_embed.projection.weight")
    if projection is None:
        return None
    size = _SIZES.get((tensors[projection].shape[0], blocks))
    table = body.get("stages.0.blocks.0.attn.w_msa.relative_position_bias_table")
    window = {13 * 13: 7, 23 * 23: 12}.get(tensors[table].shape[0]) if table else None
    if size is None or window is None:
        return None
    found_swin = Swin(f"swin_{size}_patch4_window{window}_{32 * window}")
    for name, source in body.items():
        canonical = _canonical(name)
        if canonical is None:
            continue
        found_swin.names[canonical] = source
        if ".downsample." in canonical:
            found_swin.edits[canonical] = merged_in_timms_order
    return found_swin


def _canonical(name: str) -> str | None:
    """timm gives a stage the merging layer before it; OpenMMLab, the one after it."""
    if name.endswith("relative_position_index"):
        return None
    if found := re.match(r"patch_embed\.(projection|norm)\.(\w+)$", name):
        return f"patch_embed.{'proj' if found[1] == 'projection' else 'norm'}.{found[2]}"
    if found := re.match(r"stages\.(\d)\.downsample\.(.+)", name):
        return f"layers.{int(found[1]) + 1}.downsample.{found[2]}"
    if found := re.match(r"stages\.(\d)\.blocks\.(\d+)\.(.+)", name):
        rest = found[3].replace("attn.w_msa.", "attn.")
        rest = rest.replace("ffn.layers.0.0.", "mlp.fc1.").replace("ffn.layers.1.", "mlp.fc2.")
        return f"layers.{found[1]}.blocks.{found[2]}.{rest}"
    return None


def merged_in_timms_order(value: Any) -> Any:
    """Columns of a merging layer: OpenMMLab unfolds channel by channel, timm joins neighbor by neighbor.

    nn.Unfold gives, for each channel, the upper left, upper right, lower left and lower right neighbor; timm joins
    upper left, lower left, upper right, lower right, each with all channels.
    """
    last = value.unflatten(-1, (-1, 4))[..., [0, 2, 1, 3]]
    return last.transpose(-1, -2).flatten(-2)
