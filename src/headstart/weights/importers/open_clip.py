"""open_clip and OpenAI's CLIP, the image side: `visual.`, a ViT or a ResNet with attention pooling; torchvision's ViT.

Names: mlfoundations/open_clip src/open_clip/transformer.py and modified_resnet.py; pytorch/vision
torchvision/models/vision_transformer.py. OpenAI's weights were trained with quick GELU, open_clip's own mostly with
the usual one, and no tensor says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.weights.importers.imported import CheckpointView, Imported
from headstart.weights.importers.renamed.clip import TOKEN_EDITS, by_activation, token_shape
from headstart.weights.importers.renamed.families import CLIP, Family, rules

LAYOUT = "open_clip"
SOURCE = "mlfoundations/open_clip src/open_clip/transformer.py, modified_resnet.py"
NOTE = "the usual GELU is taken, open_clip's default; OpenAI's own weights need quick GELU: name the network"


def _usual(names: tuple[str, ...], config: Mapping[str, Any]) -> str:
    quick = bool(config.get("model_cfg", {}).get("quick_gelu")) if isinstance(config.get("model_cfg"), dict) else False
    return by_activation(names, quick)


VIT = Family(
    "open_clip's ViT",
    "transformer.resblocks.0.attn.in_proj_weight",
    rules(
        r"""
    class_embedding -> cls_token
    positional_embedding -> pos_embed
    conv1\.(\w+) -> patch_embed.proj.\1
    ln_pre\.(\w+) -> norm_pre.\1
    ln_post\.(\w+) -> norm.\1
    proj ->
    transformer\.resblocks\.(\d+)\.attn\.in_proj_(\w+) -> blocks.\1.attn.qkv.\2
    transformer\.resblocks\.(\d+)\.attn\.out_proj\.(\w+) -> blocks.\1.attn.proj.\2
    transformer\.resblocks\.(\d+)\.ln_([12])\.(\w+) -> blocks.\1.norm\2.\3
    transformer\.resblocks\.(\d+)\.mlp\.c_fc\.(\w+) -> blocks.\1.mlp.fc1.\2
    transformer\.resblocks\.(\d+)\.mlp\.c_proj\.(\w+) -> blocks.\1.mlp.fc2.\2
"""
    ),
    LAYOUT,
    SOURCE,
    preprocessing=CLIP,
    edits=TOKEN_EDITS,
    shaped=token_shape,
    among=_usual,
    notes=(NOTE,),
)


def _resnet() -> str:
    lines = ["attnpool\\..+ ->"]
    for k in (1, 2, 3):
        lines.append(rf"conv{k}\.(\w+) -> stem.conv{k}.conv.\1")
        lines.append(rf"bn{k}\.(\w+) -> stem.conv{k}.bn.\1")
    for s in range(4):
        block, new = rf"layer{s + 1}\.(\d+)", rf"stages.{s}.\1"
        for k, name in ((1, "conv1_1x1"), (2, "conv2_kxk"), (3, "conv3_1x1")):
            lines.append(rf"{block}\.conv{k}\.(\w+) -> {new}.{name}.conv.\2")
            lines.append(rf"{block}\.bn{k}\.(\w+) -> {new}.{name}.bn.\2")
        lines.append(rf"{block}\.downsample\.0\.(\w+) -> {new}.shortcut.conv.conv.\2")
        lines.append(rf"{block}\.downsample\.1\.(\w+) -> {new}.shortcut.conv.bn.\2")
    return "\n".join(lines)


RESNET = Family(
    "open_clip's ResNet",
    "attnpool.positional_embedding",
    rules(_resnet()),
    LAYOUT,
    SOURCE,
    preprocessing=CLIP,
)
TORCHVISION_VIT = Family(
    "torchvision's ViT",
    "encoder.layers.encoder_layer_0.ln_1.weight",
    rules(
        r"""
    class_token -> cls_token
    encoder\.pos_embedding -> pos_embed
    conv_proj\.(\w+) -> patch_embed.proj.\1
    encoder\.ln\.(\w+) -> norm.\1
    heads\..+ ->
    encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_(\w+) -> blocks.\1.attn.qkv.\2
    encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj\.(\w+) -> blocks.\1.attn.proj.\2
    encoder\.layers\.encoder_layer_(\d+)\.ln_([12])\.(\w+) -> blocks.\1.norm\2.\3
    encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)\.(\w+) -> blocks.\1.mlp.fc1.\2
    encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)\.(\w+) -> blocks.\1.mlp.fc2.\2
"""
    ),
    "classifier",
    "pytorch/vision torchvision/models/vision_transformer.py",
    among=lambda names, _: "vit_base_patch16_224" if "vit_base_patch16_224" in names else min(names, key=len),
)
FAMILIES = (VIT, RESNET)


def find(file: CheckpointView) -> Imported | None:
    """The image side of CLIP, below whatever prefix (`layouts` takes `visual.` off)."""
    return next((one for family in FAMILIES if (one := family.find(file)) is not None), None)
