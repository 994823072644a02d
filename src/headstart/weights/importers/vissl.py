"""VISSL: the trunk of a training checkpoint, or `model_state_dict` of a converted one.

Names: facebookresearch/vissl extra_scripts/convert_vissl_to_torchvision.py (`classy_state_dict.base_model.model.trunk`,
`_feature_blocks.` before torchvision's names).
"""

from __future__ import annotations

from headstart.weights.importers.imported import CheckpointView, Imported, without_prefix
from headstart.weights.importers.resnet_names import resnet_among

LAYOUT = "vissl"
SOURCE = "facebookresearch/vissl extra_scripts/convert_vissl_to_torchvision.py"
TRUNK = ("classy_state_dict", "base_model", "model", "trunk")


def find(file: CheckpointView) -> Imported | None:
    trunk = file.at(*TRUNK)
    tensors, under = (trunk, TRUNK) if trunk else (file.tensors, file.under)
    marker = "_feature_blocks."
    prefix = next((name.partition(marker)[0] + marker for name in tensors if marker in name), None)
    if prefix is None:
        return None
    backbone, names = resnet_among(tensors, without_prefix(tensors, prefix))
    if backbone is None:
        return None
    return Imported(LAYOUT, backbone, names, f"names under {'.'.join((*under, prefix))}", source=SOURCE, under=under)
