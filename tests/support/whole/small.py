"""Small random configurations of the six families of whole detectors, and folders of them as users have them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.models.whole.families import FAMILIES
from headstart.models.whole.network import as_config, network_of

RESNET = {
    "model_type": "rt_detr_resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 16, 24, 32],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage2", "stage3", "stage4"],
}
PLAIN_RESNET = RESNET | {"model_type": "resnet"}
HGNET = {
    "model_type": "hgnet_v2",
    "stem_channels": [3, 8, 8],
    "embedding_size": 8,
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [8, 16, 24, 32],
    "stage_in_channels": [8, 8, 16, 24],
    "stage_mid_channels": [8, 8, 8, 8],
    "stage_out_channels": [8, 16, 24, 32],
    "stage_num_blocks": [1, 1, 1, 1],
    "stage_numb_of_layers": [2, 2, 2, 2],
    "out_features": ["stage2", "stage3", "stage4"],
}
HYBRID: dict[str, Any] = {
    "encoder_hidden_dim": 32,
    "encoder_in_channels": [16, 24, 32],
    "encoder_ffn_dim": 64,
    "encoder_attention_heads": 4,
    "d_model": 32,
    "num_queries": 20,
    "decoder_in_channels": [32, 32, 32],
    "decoder_ffn_dim": 64,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "num_denoising": 20,
    "hidden_expansion": 0.5,
}
GROUPED: dict[str, Any] = {
    "d_model": 32,
    "num_queries": 20,
    "group_detr": 2,
    "decoder_layers": 2,
    "decoder_self_attention_heads": 2,
    "decoder_cross_attention_heads": 2,
    "decoder_ffn_dim": 64,
    "decoder_n_points": 2,
    "dropout": 0.0,
}
DETR: dict[str, Any] = {
    "d_model": 32,
    "num_queries": 20,
    "encoder_layers": 2,
    "encoder_ffn_dim": 64,
    "encoder_attention_heads": 4,
    "decoder_layers": 2,
    "decoder_ffn_dim": 64,
    "decoder_attention_heads": 4,
    "dropout": 0.0,
}
RF_VIT = {"model_type": "rf_detr_dinov2", "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
RF_VIT |= {"num_windows": 2, "out_indices": [1, 3], "patch_size": 8, "image_size": 64}
LW_VIT = {"model_type": "lw_detr_vit", "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
LW_VIT |= {"num_windows": 4, "image_size": 64, "pretrain_image_size": 64, "patch_size": 8}
LW_VIT |= {"window_block_indices": [0, 2], "out_indices": [1, 3]}
SMALL: dict[str, dict[str, Any]] = {
    "rt_detr_v2": HYBRID | {"backbone_config": RESNET},
    "d_fine": HYBRID | {"backbone_config": HGNET, "max_num_bins": 8, "lqe_hidden_dim": 16},
    "rf_detr": GROUPED | {"backbone_config": RF_VIT},
    "lw_detr": GROUPED | {"backbone_config": LW_VIT, "projector_scale_factors": [1.0]},
    "deformable_detr": DETR
    | {"backbone_config": PLAIN_RESNET, "encoder_n_points": 2, "decoder_n_points": 2, "num_feature_levels": 3},
    "detr": DETR | {"backbone_config": PLAIN_RESNET | {"out_features": ["stage4"]}},
}
KNOWN = ("ring", "disc", "bar", "star", "cross")
"""Classes that the small weights know."""


def small_network(family: str, seed: int = 3, **more: Any) -> nn.Module:
    """Of a family, with random values and all norms away from their first ones."""
    named = {"id2label": dict(enumerate(KNOWN)), "label2id": {name: k for k, name in enumerate(KNOWN)}}
    torch.manual_seed(seed)
    return network_of(as_config(SMALL[family] | named | more, FAMILIES[family]), FAMILIES[family])


def small_folder(folder: Path, family: str, side: int = 64, **more: Any) -> Path:
    """A folder as `save_pretrained` leaves it, with a processor that says the input's size."""
    network: Any = small_network(family, **more)
    network.save_pretrained(folder)
    known = FAMILIES[family].preprocessing
    facts = {"size": {"height": side, "width": side}, "do_normalize": any(known.mean)}
    facts |= {"image_mean": list(known.mean), "image_std": list(known.std), "rescale_factor": 1 / 255}
    (folder / "preprocessor_config.json").write_text(json.dumps(facts))
    return folder


def published(family: str) -> Any:
    """The configuration that the family has by default: that of its published weights."""
    kind = importlib.import_module(FAMILIES[family].module)
    return getattr(kind, f"{FAMILIES[family].network}Config")
