"""SwAV and DeepCluster v2: torchvision's ResNet beside a projection head and prototypes.

Names: facebookresearch/swav src/resnet50.py, hubconf.py. It pads the image by hand before its first convolution, which
is the same as the convolution's own padding.
"""

from __future__ import annotations

from headstart.weights.importers.imported import CheckpointView, Imported, without_prefix
from headstart.weights.importers.resnet_names import resnet_among

LAYOUT = "swav"
SOURCE = "facebookresearch/swav src/resnet50.py, hubconf.py"


def find(file: CheckpointView) -> Imported | None:
    prefix = "module." if all(name.startswith("module.") for name in file.tensors) else ""
    inner = without_prefix(file.tensors, prefix)
    if not any(name.startswith(("projection_head.", "prototypes.")) for name in inner):
        return None
    backbone, names = resnet_among(file.tensors, inner)
    if backbone is None:
        return None
    reasons = ((f"{prefix}projection_head.", "projection head"), (f"{prefix}prototypes.", "prototypes"))
    return Imported(
        LAYOUT,
        backbone,
        names,
        "torchvision's names beside a projection head and prototypes",
        source=SOURCE,
        under=file.under,
        reasons=reasons,
        lineage=("self-supervision (SwAV); data not stated in the file",),
    )
