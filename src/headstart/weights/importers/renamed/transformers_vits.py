"""Transformers of Hugging Face: ViT, DINOv2, DINOv3, CLIP's image side, Swin, SegFormer's MiT.

Names: transformers' own models, which the tests build: models/vit, dinov2, dinov2_with_registers, dinov3_vit, clip,
swin and segformer. Files on the hub have the names of transformers 4; models in memory of version 5 have others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.models.backbones.naming import with_options
from headstart.weights.importers.networks import network_of
from headstart.weights.importers.renamed.clip import TOKEN_EDITS, by_activation, token_shape
from headstart.weights.importers.renamed.families import CLIP, HALF, Family, rules

LAYOUT = "huggingface"
SOURCE = "huggingface/transformers src/transformers/models"

_BLOCK = r"(?:encoder\.|model\.)?layers?\.(\d+)"
_NEW = r"blocks.\1.attn.qkv"
_QKV = "".join(
    rf"""
    {_BLOCK}\.(?:attention\.attention\.{long}|(?:attention|self_attn)\.{short}_proj)\.(\w+) -> {_NEW}.\2#{k}"""
    for k, (long, short) in enumerate((("query", "q"), ("key", "k"), ("value", "v")))
)
_OUT = rf"""
    {_BLOCK}\.(?:attention\.output\.dense|attention\.o_proj|self_attn\.out_proj)\.(\w+) -> blocks.\1.attn.proj.\2
    {_BLOCK}\.(?:layernorm_before|norm1|layer_norm1)\.(\w+) -> blocks.\1.norm1.\2
    {_BLOCK}\.(?:layernorm_after|norm2|layer_norm2)\.(\w+) -> blocks.\1.norm2.\2
    {_BLOCK}\.(?:intermediate\.dense|mlp\.fc1|mlp\.up_proj|mlp\.weights_in)\.(\w+) -> blocks.\1.mlp.fc1.\2
    {_BLOCK}\.(?:output\.dense|mlp\.fc2|mlp\.down_proj|mlp\.weights_out)\.(\w+) -> blocks.\1.mlp.fc2.\2
"""
_PATCHES = r"""
    embeddings\.cls_token -> cls_token
    embeddings\.mask_token ->
    embeddings\.position_embeddings -> pos_embed
    embeddings\.register_tokens -> reg_token
    embeddings\.patch_embeddings\.projection\.(\w+) -> patch_embed.proj.\1
    embeddings\.patch_embeddings\.(weight|bias) -> patch_embed.proj.\1
    (?:layernorm|norm)\.(\w+) -> norm.\1
    (?:pooler|classifier|decoder)\..+ ->
"""


def _eps(usual: str) -> Any:
    def options(_: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> dict[str, str]:
        given = config.get("layer_norm_eps")
        value = f"{float(given):g}" if isinstance(given, int | float) else usual
        return {"eps": "" if float(value) == 1e-6 else value.replace("e-0", "e-")}  # timm's

    return options


VIT = Family(
    "transformers' ViT",
    "embeddings.patch_embeddings.projection.weight",
    rules(_PATCHES + _QKV + _OUT),
    LAYOUT,
    f"{SOURCE}/vit/modeling_vit.py",
    preprocessing=HALF,
    options=_eps("1e-12"),
)
_SCALES = rf"""
    {_BLOCK}\.layer_scale1\.lambda1 -> blocks.\1.ls1.gamma
    {_BLOCK}\.layer_scale2\.lambda1 -> blocks.\1.ls2.gamma
"""
DINOV2 = Family(
    "transformers' DINOv2",
    "encoder.layer.0.layer_scale1.lambda1",
    rules(_PATCHES + _SCALES + _QKV + _OUT),
    LAYOUT,
    f"{SOURCE}/dinov2/modeling_dinov2.py, dinov2_with_registers/modeling_dinov2_with_registers.py",
    options=_eps("1e-6"),
)


def _dinov3_among(names: tuple[str, ...], _: Mapping[str, Any]) -> str:
    return min(names, key=lambda name: ("dinov3" not in name, len(name), name))


def _without_registers(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Networks of timm's have four register tokens; transformers' default has none."""
    registers = shapes.get("reg_token", (1, 4, 0))[1]
    if registers == 4:
        return None
    found = network_of({**shapes, "reg_token": (1, 4, shapes["reg_token"][2])})
    if found is None:
        return None
    name = found if isinstance(found, str) else _dinov3_among(tuple(one.name for one in found), {})
    return with_options(name, registers=str(registers))


DINOV3 = Family(
    "transformers' DINOv3 ViT",
    "embeddings.register_tokens",
    rules(
        _PATCHES
        + rf"""
    {_BLOCK}\.layer_scale([12])\.lambda1 -> blocks.\1.gamma_\2
    {_BLOCK}\.attention\.q_proj\.bias -> blocks.\1.attn.q_bias
    {_BLOCK}\.attention\.v_proj\.bias -> blocks.\1.attn.v_bias
    {_BLOCK}\.attention\.k_proj\.bias -> blocks.\1.attn.k_bias
"""
        + _QKV
        + _OUT
    ),
    LAYOUT,
    f"{SOURCE}/dinov3_vit/modeling_dinov3_vit.py",
    among=_dinov3_among,
    known=_without_registers,
)


def _activation(names: tuple[str, ...], config: Mapping[str, Any]) -> str:
    """Files do not say which of two activations CLIP has; transformers' default is OpenAI's."""
    quick = str(config.get("hidden_act", "quick_gelu")) == "quick_gelu"
    return by_activation(names, quick)


CLIP_VISION = Family(
    "transformers' CLIP, the image side",
    "embeddings.class_embedding",
    rules(
        r"""
    embeddings\.class_embedding -> cls_token
    embeddings\.position_embedding\.weight -> pos_embed
    embeddings\.position_ids ->
    embeddings\.patch_embedding\.(\w+) -> patch_embed.proj.\1
    pre_layrnorm\.(\w+) -> norm_pre.\1
    post_layernorm\.(\w+) -> norm.\1
"""
        + _QKV
        + _OUT
    ),
    LAYOUT,
    f"{SOURCE}/clip/modeling_clip.py",
    preprocessing=CLIP,
    edits=TOKEN_EDITS,
    shaped=token_shape,
    among=_activation,
    notes=("quick GELU is taken, OpenAI's activation, unless config.json beside the file says another",),
)

_WINDOW = r"encoder\.layers\.(\d)\.blocks\.(\d+)"
_TABLE = r"attention\.(?:self|relative_position_bias)"
SWIN = Family(
    "transformers' Swin",
    "encoder.layers.0.blocks.0.layernorm_before.weight",
    rules(
        "".join(
            rf"""
    {_WINDOW}\.attention\.(?:self\.{long}|{short}_proj)\.(\w+) -> layers.\1.blocks.\2.attn.qkv.\3#{k}"""
            for k, (long, short) in enumerate((("query", "q"), ("key", "k"), ("value", "v")))
        )
        + rf"""
    embeddings\.patch_embeddings\.projection\.(\w+) -> patch_embed.proj.\1
    embeddings\.norm\.(\w+) -> patch_embed.norm.\1
    embeddings\.mask_token ->
    {_WINDOW}\.{_TABLE}\.relative_position_bias_table -> layers.\1.blocks.\2.attn.relative_position_bias_table
    {_WINDOW}\.{_TABLE}\.relative_position_index ->
    {_WINDOW}\.attention\.(?:output\.dense|o_proj)\.(\w+) -> layers.\1.blocks.\2.attn.proj.\3
    {_WINDOW}\.layernorm_before\.(\w+) -> layers.\1.blocks.\2.norm1.\3
    {_WINDOW}\.layernorm_after\.(\w+) -> layers.\1.blocks.\2.norm2.\3
    {_WINDOW}\.(?:intermediate\.dense|mlp\.fc1)\.(\w+) -> layers.\1.blocks.\2.mlp.fc1.\3
    {_WINDOW}\.(?:output\.dense|mlp\.fc2)\.(\w+) -> layers.\1.blocks.\2.mlp.fc2.\3
    encoder\.layers\.0\.downsample\.(.+) -> layers.1.downsample.\1
    encoder\.layers\.1\.downsample\.(.+) -> layers.2.downsample.\1
    encoder\.layers\.2\.downsample\.(.+) -> layers.3.downsample.\1
    (?:swin\.)?(?:layernorm|pooler|classifier|hidden_states_norms|decoder)\..+ ->
"""
    ),
    LAYOUT,
    f"{SOURCE}/swin/modeling_swin.py",
)

FAMILIES = (VIT, DINOV2, DINOV3, CLIP_VISION, SWIN)
