"""Convolutional networks of Hugging Face transformers: ResNet, ConvNeXt (V2, DINOv3), HGNetV2.

Names: transformers' own models, which the tests build: models/resnet, convnext, convnextv2, dinov3_convnext, hgnet_v2
and d_fine. Files of transformers 4 and 5 differ where both are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.weights.importers.imported import RGB_01
from headstart.weights.importers.renamed.families import Family, rules
from headstart.weights.importers.resnet_names import projected_first_stage, resnet_name

LAYOUT = "huggingface"
SOURCE = "huggingface/transformers src/transformers/models"


def _flat(value: Any) -> Any:
    return value.flatten()


def _flat_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[-1:] if ".grn." in name and len(shape) == 4 else shape


def _bottleneck(_: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> dict[str, str]:
    return {"stride_in": "conv1"} if config.get("downsample_in_bottleneck") else {}


def _deep(shapes: Mapping[str, tuple[int, ...]], _: Mapping[str, Any]) -> dict[str, str]:
    return {"first_shortcut": "projection"} if projected_first_stage(shapes) else {}


RESNET = Family(
    "transformers' ResNet",
    "embedder.embedder.convolution.weight",
    rules(
        r"""
        embedder\.embedder\.convolution\.(\w+) -> conv1.\1
        embedder\.embedder\.normalization\.(\w+) -> bn1.\1
        encoder\.stages\.0\.layers\.(\d+)\.shortcut\.convolution\.(\w+) -> layer1.\1.downsample.0.\2
        encoder\.stages\.0\.layers\.(\d+)\.shortcut\.normalization\.(\w+) -> layer1.\1.downsample.1.\2
        encoder\.stages\.1\.layers\.(\d+)\.shortcut\.convolution\.(\w+) -> layer2.\1.downsample.0.\2
        encoder\.stages\.1\.layers\.(\d+)\.shortcut\.normalization\.(\w+) -> layer2.\1.downsample.1.\2
        encoder\.stages\.2\.layers\.(\d+)\.shortcut\.convolution\.(\w+) -> layer3.\1.downsample.0.\2
        encoder\.stages\.2\.layers\.(\d+)\.shortcut\.normalization\.(\w+) -> layer3.\1.downsample.1.\2
        encoder\.stages\.3\.layers\.(\d+)\.shortcut\.convolution\.(\w+) -> layer4.\1.downsample.0.\2
        encoder\.stages\.3\.layers\.(\d+)\.shortcut\.normalization\.(\w+) -> layer4.\1.downsample.1.\2
        """
        + "\n".join(
            rf"encoder\.stages\.{s}\.layers\.(\d+)\.layer\.{k}\.{part}\.(\w+) -> layer{s + 1}.\1.{short}{k + 1}.\2"
            for s in range(4)
            for k in range(3)
            for part, short in (("convolution", "conv"), ("normalization", "bn"))
        )
    ),
    LAYOUT,
    f"{SOURCE}/resnet/modeling_resnet.py",
    options=_bottleneck,
    known=resnet_name,
)

CONVNEXT = Family(
    "transformers' ConvNeXt",
    "embeddings.patch_embeddings.weight",
    rules(
        r"""
        embeddings\.patch_embeddings\.(\w+) -> stem.0.\1
        embeddings\.layernorm\.(\w+) -> stem.1.\1
        encoder\.stages\.(\d)\.downsampling_layer\.(.+) -> stages.\1.downsample.\2
        encoder\.stages\.(\d)\.layers\.(\d+)\.layer_scale_parameter -> stages.\1.blocks.\2.gamma
        encoder\.stages\.(\d)\.layers\.(\d+)\.dwconv\.(\w+) -> stages.\1.blocks.\2.conv_dw.\3
        encoder\.stages\.(\d)\.layers\.(\d+)\.layernorm\.(\w+) -> stages.\1.blocks.\2.norm.\3
        encoder\.stages\.(\d)\.layers\.(\d+)\.pwconv([12])\.(\w+) -> stages.\1.blocks.\2.mlp.fc\3.\4
        encoder\.stages\.(\d)\.layers\.(\d+)\.grn\.(\w+) -> stages.\1.blocks.\2.mlp.grn.\3
        (layernorm|classifier|hidden_states_norms|pooler)\..+ ->
        """
    ),
    LAYOUT,
    f"{SOURCE}/convnext/modeling_convnext.py, convnextv2/modeling_convnextv2.py",
    edits=((".grn.weight", _flat), (".grn.bias", _flat)),
    shaped=_flat_shape,
)

_STAGES = r"(?:model\.)?stages\.(\d)"
_DINOV3 = rules(
    rf"""
        (?:model\.)?stages\.0\.downsample_layers\.(.+) -> stem.\1
        {_STAGES}\.downsample_layers\.(.+) -> stages.\1.downsample.\2
        {_STAGES}\.layers\.(\d+)\.gamma -> stages.\1.blocks.\2.gamma
        {_STAGES}\.layers\.(\d+)\.depthwise_conv\.(\w+) -> stages.\1.blocks.\2.conv_dw.\3
        {_STAGES}\.layers\.(\d+)\.layer_norm\.(\w+) -> stages.\1.blocks.\2.norm.\3
        {_STAGES}\.layers\.(\d+)\.pointwise_conv([12])\.(\w+) -> stages.\1.blocks.\2.mlp.fc\3.\4
        (?:layer_)?norm\..+ ->
        """
)
DINOV3_CONVNEXT = tuple(
    Family(
        "transformers' DINOv3 ConvNeXt",
        marker,
        _DINOV3,
        LAYOUT,
        f"{SOURCE}/dinov3_convnext/modeling_dinov3_convnext.py",
    )
    for marker in ("stages.0.downsample_layers.0.weight", "model.stages.0.downsample_layers.0.weight")
)

HGNET = Family(
    "transformers' HGNetV2 (D-FINE)",
    "embedder.stem1.convolution.weight",
    rules(
        r"""
        embedder\.(stem\w+)\.convolution\.(\w+) -> stem.\1.conv.\2
        embedder\.(stem\w+)\.normalization\.(\w+) -> stem.\1.bn.\2
        embedder\.(stem\w+)\.lab\.(\w+) -> stem.\1.lab.\2
        encoder\.(stages.+)\.convolution\.(\w+) -> \1.conv.\2
        encoder\.(stages.+)\.normalization\.(\w+) -> \1.bn.\2
        encoder\.(stages.+)\.lab\.(\w+) -> \1.lab.\2
        """
    ),
    LAYOUT,
    f"{SOURCE}/hgnet_v2/modeling_hgnet_v2.py, d_fine/modeling_d_fine.py",
    preprocessing=RGB_01,
)

FAMILIES = (RESNET, CONVNEXT, *DINOV3_CONVNEXT, HGNET)
