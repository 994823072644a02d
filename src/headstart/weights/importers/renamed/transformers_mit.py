"""MiT, SegFormer's backbone: in transformers (4 and 5), and in segmentation_models.pytorch as in NVIDIA's own code.

timm has it as PVT v2 with hidden layers four times as wide everywhere: `pvt_v2_b0[mlp_ratio=4]`. Names: transformers
models/segformer; qubvel-org/segmentation_models.pytorch encoders/mix_transformer.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.weights.importers.renamed.families import Family, rules

LAYOUT = "huggingface"
SOURCE = "huggingface/transformers src/transformers/models/segformer/modeling_segformer.py"
SMP = "qubvel-org/segmentation_models.pytorch segmentation_models_pytorch/encoders/mix_transformer.py"
_SIZES: dict[tuple[int, tuple[int, ...]], str] = {
    (32, (2, 2, 2, 2)): "b0",
    (64, (2, 2, 2, 2)): "b1",
    (64, (3, 4, 6, 3)): "b2",
    (64, (3, 4, 18, 3)): "b3",
    (64, (3, 8, 27, 3)): "b4",
    (64, (3, 6, 40, 3)): "b5",
}
"""By width and blocks of the stages."""


def _size(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    width = shapes.get("patch_embed.proj.weight", (0,))[0]
    blocks = tuple(
        sum(name.startswith(f"stages.{s}.blocks.") and name.endswith(".norm1.weight") for name in shapes)
        for s in range(4)
    )
    size = _SIZES.get((width, blocks))
    return f"pvt_v2_{size}" if size else None


def _options(_: Mapping[str, tuple[int, ...]], __: Mapping[str, Any]) -> dict[str, str]:
    return {"mlp_ratio": "4", "eps": "1e-5"}


def _smp_options(_: Mapping[str, tuple[int, ...]], __: Mapping[str, Any]) -> dict[str, str]:
    return {"mlp_ratio": "4"}


def _old_and_new() -> str:
    lines = [r"(?:classifier|decode_head)\..+ ->"]
    for s in range(4):
        embed = "patch_embed" if s == 0 else f"stages.{s}.downsample"
        for start in (rf"encoder\.patch_embeddings\.{s}", rf"stages\.{s}\.patch_embeddings"):
            lines.append(rf"{start}\.proj\.(\w+) -> {embed}.proj.\1")
            lines.append(rf"{start}\.layer_norm\.(\w+) -> {embed}.norm.\1")
        for start in (rf"encoder\.layer_norm\.{s}", rf"stages\.{s}\.layer_norm"):
            lines.append(rf"{start}\.(\w+) -> stages.{s}.norm.\1")
    block = r"(?:encoder\.block\.(\d)|stages\.(\d)\.blocks)\.(\d+)"
    new = r"stages.\1\2.blocks.\3"
    parts = {
        r"(?:layer_norm_1|layernorm_before)": "norm1",
        r"(?:layer_norm_2|layernorm_after)": "norm2",
        r"attention\.(?:self\.query|q_proj)": "attn.q",
        r"attention\.(?:output\.dense|o_proj)": "attn.proj",
        r"attention\.(?:self\.sr|sequence_reduction\.sequence_reduction)": "attn.sr",
        r"attention\.(?:self|sequence_reduction)\.layer_norm": "attn.norm",
        r"mlp\.(?:dense1|fc1)": "mlp.fc1",
        r"mlp\.(?:dense2|fc2)": "mlp.fc2",
        r"mlp\.dwconv\.dwconv": "mlp.dwconv",
    }
    lines += [rf"{block}\.{old}\.(\w+) -> {new}.{name}.\4" for old, name in parts.items()]
    for k, word in enumerate((r"(?:self\.key|k_proj)", r"(?:self\.value|v_proj)")):
        lines.append(rf"{block}\.attention\.{word}\.(\w+) -> {new}.attn.kv.\4#{k}")
    return "\n".join(lines)


def _smp() -> str:
    lines = []
    for s in range(4):
        embed = "patch_embed" if s == 0 else f"stages.{s}.downsample"
        lines.append(rf"patch_embed{s + 1}\.(.+) -> {embed}.\1")
        lines.append(rf"block{s + 1}\.(\d+)\.mlp\.dwconv\.dwconv\.(\w+) -> stages.{s}.blocks.\1.mlp.dwconv.\2")
        lines.append(rf"block{s + 1}\.(.+) -> stages.{s}.blocks.\1")
        lines.append(rf"norm{s + 1}\.(\w+) -> stages.{s}.norm.\1")
    return "\n".join(lines)


FAMILIES = tuple(
    Family("transformers' SegFormer", marker, rules(_old_and_new()), LAYOUT, SOURCE, options=_options, known=_size)
    for marker in ("encoder.patch_embeddings.0.proj.weight", "stages.0.patch_embeddings.proj.weight")
)
SMP_FAMILIES = (
    Family(
        "segmentation_models.pytorch's MiT",
        "patch_embed1.proj.weight",
        rules(_smp()),
        "smp",
        SMP,
        options=_smp_options,
        known=_size,
    ),
)
