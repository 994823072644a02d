"""DINO: the teacher of a full checkpoint. Its bare backbones are read as classifiers without a head.

Names: facebookresearch/dino main_dino.py (`student`, `teacher`), utils.py (MultiCropWrapper: `backbone.` and `head.`),
hubconf.py. The teacher is what DINO publishes and evaluates.
"""

from __future__ import annotations

from headstart.weights.importers.imported import CheckpointView, Imported, shapes_by, without_prefix
from headstart.weights.importers.resnet_names import is_resnet_name, resnet_name, vit_name

LAYOUT = "dino"
SOURCE = "facebookresearch/dino main_dino.py, utils.py, hubconf.py"


def find(file: CheckpointView) -> Imported | None:
    if not file.at("teacher") or not file.at("student"):
        return None
    key = "student" if file.variant == "raw" else "teacher"
    tensors = file.at(key)
    prefix = "module.backbone." if any(name.startswith("module.backbone.") for name in tensors) else "backbone."
    inner = without_prefix(tensors, prefix)
    shapes = shapes_by(tensors, inner)
    backbone = resnet_name(shapes)
    if backbone is not None:
        names = {name: key for name, key in inner.items() if is_resnet_name(name)}
    elif (backbone := vit_name(shapes)) is not None:
        names = dict(inner)
    else:
        return None
    return Imported(
        LAYOUT,
        backbone,
        names,
        "a teacher beside a student",
        source=SOURCE,
        under=(key,),
        reasons=(("head.", "projection head"), ("module.head.", "projection head")),
        lineage=("self-supervision (DINO); data not stated in the file",),
    )
