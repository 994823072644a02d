"""What an untrained head says, and what its losses are then.

Letters: K classes, p the probability that every class begins with (0.01), P positives of a batch, M outputs for
classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn

from headstart.batches.batch import Batch
from headstart.models.classification import Classifier
from headstart.models.detection.fcos import PRIOR, FcosDetector
from headstart.models.detection.mimicking import WEIGHT
from headstart.models.detection.proposing import ProposalDetector
from headstart.models.detection.retinanet import RetinaNetDetector
from headstart.models.detection.targets import POSITIVES
from headstart.models.detection.two_stage import TwoStageDetector
from headstart.models.segmentation import Segmenter
from headstart.train.watch.measures import Measure

ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss (arXiv 1708.02002)."""
BEGINS_BELOW = 0.1
"""Mean probability of a class under a head that begins with p, at most."""
TIMES, ABOVE = 2.0, 2.0
"""A loss is at most so many times what is expected of it, and so much more."""


def num_classes_of(model: nn.Module) -> int | None:
    """K; None where the model does not say it."""
    known = getattr(model, "num_classes", None)
    return known if isinstance(known, int) else None


def sigmoid_outputs(model: nn.Module) -> nn.Module | None:
    """The layer whose outputs begin with probability p each; None for heads that have none."""
    if isinstance(model, FcosDetector | RetinaNetDetector):
        return model.classes
    return model.classes if isinstance(model, Classifier) and model.several else None


def of_prior(probability: float) -> list[Measure]:
    """probability: mean over the outputs for classes, in the first update."""
    said = f"the classes begin with a mean probability of {probability:.3g}; {PRIOR:g} is expected"
    return [Measure("no prior in the head", probability, BEGINS_BELOW, said)]


def of_losses(losses: Mapping[str, float], expected: Mapping[str, float]) -> list[Measure]:
    """Losses of the first update against those of an untrained head, how many times too large the worst is."""
    measures = []
    for name, usual in expected.items():
        if name in losses:
            limit = TIMES * usual + ABOVE
            said = f"the loss {name} is {losses[name]:.4g} in the first update; about {usual:.3g} is expected"
            measures.append(Measure("loss unlike an untrained head's", losses[name], limit, said))
    return measures


def expected_losses(
    model: nn.Module, batch: Batch, losses: Mapping[str, float], outputs: int, *, parts: int
) -> dict[str, float]:
    """By name, of the first update. outputs: M of one of the batch's `parts`, in all processes. Losses of boxes depend
    on the boxes: only those of FCOS are bounded (1 - GIoU is below 2)."""
    positives = losses.get(POSITIVES, 0.0) / parts
    k = num_classes_of(model) or 1
    if isinstance(model, FcosDetector):
        classes = model.class_weight * focal(outputs, positives)
        return {"classes": classes, "centerness": math.log(2), "boxes": 1.0}
    if isinstance(model, RetinaNetDetector):
        return {"classes": focal(outputs, positives)}
    if isinstance(model, ProposalDetector):
        return {"rpn_objectness": math.log(2)}
    if isinstance(model, TwoStageDetector):
        of_rois = {"objectness": math.log(2), "classes": math.log(k)}
        if not model.settings.decoupled:
            of_rois = {"classes": math.log(k + 1)}
        return {"rpn_objectness": math.log(2), "mimic": WEIGHT, "mimic_classes": WEIGHT * math.log(k), **of_rois}
    if isinstance(model, Segmenter):
        return {"pixels": math.log(k)}
    if isinstance(model, Classifier):
        return {"classes": _of_table(batch.label_table) if model.several else math.log(k)}
    return {}


def focal(outputs: int, positives: float) -> float:
    """Mean over positives of the focal loss where every class has probability p: (M - P) (1 - alpha) p^gamma
    -log(1 - p) + P alpha (1 - p)^gamma -log p, over P."""
    negative = (1 - ALPHA) * PRIOR**GAMMA * -math.log(1 - PRIOR)
    positive = ALPHA * (1 - PRIOR) ** GAMMA * -math.log(PRIOR)
    return ((outputs - positives) * negative + positives * positive) / max(positives, 1.0)


def _of_table(table: Tensor | None) -> float:
    """Of binary cross-entropy summed over the known classes of an image, averaged over images of which some are."""
    if table is None:
        return 0.0
    present, absent = float((table == 1).sum()), float((table == 0).sum())
    images = max(1.0, float((table >= 0).any(1).sum()))
    return (present * -math.log(PRIOR) + absent * -math.log(1 - PRIOR)) / images
