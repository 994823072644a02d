"""Segmenters of torchvision: DeepLabV3, FCN (ResNets of stride 8, MobileNetV3 of stride 16) and LRASPP.

Names: torchvision's own models (torchvision/models/segmentation), which the tests build. The backbone is under
`backbone.`; `classifier.` and `aux_classifier.` are the heads.
"""

from __future__ import annotations

from headstart.models.backbones.naming import with_options
from headstart.weights.importers.imported import CheckpointView, Imported, without_prefix
from headstart.weights.importers.resnet_names import resnet_among

LAYOUT = "torchvision-segmentation"
SOURCE = "pytorch/vision torchvision/models/segmentation/{deeplabv3,fcn,lraspp}.py"
REASONS = (("classifier.", "segmentation head"), ("aux_classifier.", "auxiliary head"))


def find(file: CheckpointView) -> Imported | None:
    tensors = file.tensors
    if not any(name.startswith("classifier.") for name in tensors):
        return None
    body = without_prefix(tensors, "backbone.")
    head = (
        "LRASPP"
        if "classifier.cbr.0.weight" in tensors
        else "DeepLabV3"
        if "classifier.0.convs.0.0.weight" in tensors
        else "FCN"
    )
    if "0.0.weight" in body:
        names = {f"features.{name}": source for name, source in body.items() if "num_batches" not in name}
        last = names.get("features.16.0.weight")
        if last is None or tensors[last].shape[0] != 960:
            return None
        backbone = with_options("tv-mobilenet_v3_large", dilated="yes")
    else:
        base, names = resnet_among(tensors, body)
        if base is None:
            return None
        backbone = with_options(base, output_stride="8")
    evidence = f"names under backbone. beside {head}'s head; torchvision dilates the last stages of these"
    return Imported(LAYOUT, backbone, names, evidence, source=SOURCE, under=file.under, reasons=REASONS)
