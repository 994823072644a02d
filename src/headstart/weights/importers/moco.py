"""MoCo v1, v2 and v3: the query encoder of a training checkpoint.

Names: v1 and v2 `module.encoder_q.` (facebookresearch/moco detection/convert-pretrain-to-detectron2.py), v3
`module.base_encoder.` (facebookresearch/moco-v3 main_lincls.py; vits.py: ViT-S has 12 heads, timm's has 6).
"""

from __future__ import annotations

from headstart.models.backbones.naming import with_options
from headstart.weights.importers.imported import CheckpointView, Imported, shapes_by, without_prefix
from headstart.weights.importers.resnet_names import is_resnet_name, resnet_name, vit_name

LAYOUT = "moco"
ENCODERS = {
    "module.encoder_q.": "facebookresearch/moco detection/convert-pretrain-to-detectron2.py",
    "module.base_encoder.": "facebookresearch/moco-v3 main_lincls.py, vits.py",
}
LINEAGE = ("self-supervision (MoCo); data not stated in the file",)


def find(file: CheckpointView) -> Imported | None:
    for prefix, source in ENCODERS.items():
        inner = without_prefix(file.tensors, prefix)
        if not inner:
            continue
        shapes = shapes_by(file.tensors, inner)
        backbone = resnet_name(shapes)
        if backbone is not None:
            names = {name: key for name, key in inner.items() if is_resnet_name(name)}
        elif (backbone := vit_name(shapes)) is not None:
            names = {name: key for name, key in inner.items() if not name.startswith("head.")}
            backbone = with_options(backbone, num_heads="12" if "_small_" in backbone else "")
        else:
            return None
        reasons = (
            (f"{prefix}fc.", "projection head"),
            (f"{prefix}head.", "projection head"),
            ("module.encoder_k.", "momentum encoder"),
            ("module.momentum_encoder.", "momentum encoder"),
            ("module.queue", "queue of negatives"),
            ("module.predictor.", "prediction head"),
        )
        return Imported(
            LAYOUT,
            backbone,
            names,
            f"names under {prefix}",
            source=source,
            under=file.under,
            lineage=LINEAGE,
            reasons=reasons,
        )
    return None
