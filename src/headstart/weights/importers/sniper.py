"""SNIPER and MXNet's pre-activation ResNets: `.params` files.

Names: mahyarnajibi/SNIPER symbols/faster/resnet_mx_101_e2e.py (`bn_data`, `conv0`, `bn0`, `stage1_unit1_conv1`, ..);
`arg:` weights, `aux:` running statistics. `bn_data` has fix_gamma: MXNet uses 1 whatever the file has for its gamma.
"""

from __future__ import annotations

import re

from headstart.models.backbones.naming import with_options
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.weights.importers.imported import CheckpointView, Imported
from headstart.weights.importers.resnet_names import stage_blocks
from headstart.weights.wrappers import arrays

LAYOUT = "sniper"
SOURCE = "mahyarnajibi/SNIPER symbols/faster/resnet_mx_101_e2e.py"
INPUT = Preprocessing("rgb", 1.0, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0))
DEPTHS: dict[tuple[int, ...], str] = {
    (2, 2, 2, 2): "preact-resnet26",
    (3, 4, 6, 3): "preact-resnet50",
    (3, 4, 23, 3): "preact-resnet101",
}
REASONS = (
    ("arg:rpn_", "region proposals"),
    ("arg:conv_new_1", "heads of regions"),
    ("arg:fc_new", "heads of regions"),
    ("arg:cls_score", "heads of regions"),
    ("arg:bbox_pred", "heads of regions"),
    ("arg:offset", "heads of regions (deformable pooling)"),
    ("arg:bn_data_gamma", "fixed to 1 in MXNet"),
    ("arg:bn1", "norm after the last stage"),
    ("aux:bn1", "norm after the last stage"),
    ("arg:fc1", "classifier"),
)
_PARTS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_var": "running_var",
    "weight": "weight",
    "bias": "bias",
}


def find(file: CheckpointView) -> Imported | None:
    tensors = arrays(file.tree)
    if "arg:conv0_weight" not in tensors or "arg:stage1_unit1_bn1_gamma" not in tensors:
        return None
    names = {}
    for source in tensors:
        if (name := _canonical(source)) is not None:
            names[name] = source
    backbone = DEPTHS.get(stage_blocks(names, r"layer(\d)\.(\d+)\.conv1\.weight$"))
    if backbone is None or "stem.input_norm.bias" not in names:
        return None
    names.pop("stem.input_norm.weight", None)
    deformable = any(".offset." in name for name in names)
    told = "; its last stage is deformable" if deformable else ""
    return Imported(
        LAYOUT,
        with_options(backbone, stage4="deformable" if deformable else ""),
        names,
        f"names of SNIPER's pre-activation ResNet{told}",
        source=SOURCE,
        preprocessing=INPUT,
        reasons=REASONS,
        constants={"stem.input_norm.weight": 1.0},
    )


def _canonical(source: str) -> str | None:
    """`aux:stage2_unit1_bn3_moving_var` -> `layer2.0.bn3.running_var`; None for what is none of these."""
    name = source.removeprefix("arg:").removeprefix("aux:")
    if found := re.match(r"(bn_data|bn0|conv0)_(\w+)$", name):
        where = {"bn_data": "stem.input_norm", "bn0": "stem.norm", "conv0": "stem.conv"}[found[1]]
        return f"{where}.{_PARTS[found[2]]}" if found[2] in _PARTS else None
    found = re.match(r"stage(\d)_unit(\d+)_(bn[123]|conv[123]|sc|offset)_(\w+)$", name)
    if not found or found[4] not in _PARTS:
        return None
    part = "shortcut" if found[3] == "sc" else found[3]
    return f"layer{found[1]}.{int(found[2]) - 1}.{part}.{_PARTS[found[4]]}"
