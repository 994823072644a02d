"""What detections get wrong, by kind of error, under image weights. Imports no torch.

Two measures of each kind (`headstart.metrics.detection_errors`, at IoU 0.5), as neither says all. `given_back`: how
much mAP fixing errors of the kind alone would add; it weighs errors by how sure they were. `errors`: how many there are
for each object, among as many of the surest detections as there are objects; so no threshold has to be chosen, and the
hundreds of unsure ones that most detectors give do not count. Objects are `missed` that no detection is near to,
however unsure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.average_precision import Detections, Truth
from headstart.metrics.detection_errors import KINDS, DetectionErrors, detection_errors


def mistakes(
    truth: Truth, detections: Detections, protocol: str, image_weights: NDArray[np.uint16]
) -> dict[str, NDArray[np.float64]]:
    """`given_back/KIND` (fractions of mAP) and `errors/KIND` (for each object that counts), (R,) each under image
    weights (R, n); nan where no object has weight."""
    found = detection_errors(truth, detections, protocol, image_weights=image_weights)  # type: ignore[arg-type]
    objects = np.bincount(truth.image_index[found.counted], minlength=truth.num_images)
    weights = np.asarray(image_weights, np.float64)
    there = weights @ objects
    of_images = weights @ _of_surest(found, truth, detections)
    rates = np.divide(of_images.T, there, out=np.full(of_images.T.shape, np.nan), where=there > 0)
    return {f"given_back/{kind}": values for kind, values in found.weighted.items()} | {
        f"errors/{kind}": values for kind, values in zip(KINDS, rates, strict=True)
    }


def _of_surest(found: DetectionErrors, truth: Truth, detections: Detections) -> NDArray[np.int64]:
    """(n, 6) errors of each image and kind."""
    surest = np.argsort(-detections.scores, kind="stable")[: int(found.counted.sum())]
    wrong = surest[found.kinds[surest] >= 0]
    table = np.zeros((truth.num_images, len(KINDS)), np.int64)
    np.add.at(table, (detections.image_index[wrong], found.kinds[wrong]), 1)
    table[:, KINDS.index("missed")] = np.bincount(truth.image_index[found.missed], minlength=truth.num_images)
    return table
