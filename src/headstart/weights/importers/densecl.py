"""DenseCL and other training checkpoints of OpenSelfSup; and DenseCL's extracted backbones.

Names: WXinlong/DenseCL tools/extract_backbone_weights.py (`backbone.` of a training checkpoint, where `encoder_q`
repeats it; extracted files have `author` beside `state_dict`), openselfsup/models/densecl.py.
"""

from __future__ import annotations

from headstart.weights.importers.imported import CheckpointView, Imported, without_prefix
from headstart.weights.importers.resnet_names import resnet_among

LAYOUT = "densecl"
SOURCE = "WXinlong/DenseCL tools/extract_backbone_weights.py, openselfsup/models/densecl.py"
REASONS = (
    ("encoder_q.0.", "the same backbone once more"),
    ("encoder_q.", "projection heads"),
    ("encoder_k.", "momentum encoder"),
    ("queue", "queues of negatives"),
)
LINEAGE = ("self-supervision (DenseCL or another of OpenSelfSup); data not stated in the file",)


def find(file: CheckpointView) -> Imported | None:
    extracted = is_extracted(file)
    prefix = "" if extracted else "backbone."
    if not extracted and not any(name.startswith(("encoder_q.", "online_net.")) for name in file.tensors):
        return None
    backbone, names = resnet_among(file.tensors, without_prefix(file.tensors, prefix))
    if backbone is None:
        return None
    told = "its author is DenseCL" if extracted else "names under backbone. beside OpenSelfSup's encoders"
    return Imported(LAYOUT, backbone, names, told, source=SOURCE, under=file.under, reasons=REASONS, lineage=LINEAGE)


def is_extracted(file: CheckpointView) -> bool:
    """Whether the file says that DenseCL's tool made it of a checkpoint."""
    return str(file.fact("author") or "") == "DenseCL"
