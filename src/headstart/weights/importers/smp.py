"""segmentation_models.pytorch: encoders under `encoder.`, which `layouts` takes off; MiT and EfficientNet have names of
their own.

Names: qubvel-org/segmentation_models.pytorch segmentation_models_pytorch/encoders/mix_transformer.py.
"""

from __future__ import annotations

from headstart.weights.importers.imported import CheckpointView, Imported
from headstart.weights.importers.renamed.efficientnet import FAMILIES
from headstart.weights.importers.renamed.transformers_mit import SMP_FAMILIES

LAYOUT = "smp"


def find(file: CheckpointView) -> Imported | None:
    return next((one for family in (*SMP_FAMILIES, *FAMILIES) if (one := family.find(file)) is not None), None)
