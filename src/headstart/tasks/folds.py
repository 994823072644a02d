"""Scores of several folds: each fold's own, averaged.

Every fold has a model of its own, and their scores need not be on one scale: pooled into one precision-recall curve,
offsets between them would cost average precision that no model lost. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.batches.image_sets import ImageSet
from headstart.metrics.averages import mean_of_present
from headstart.tasks.protocol import Arrays, Scores, TrainedTask


def score_folds(
    task: TrainedTask,
    predictions: Sequence[Arrays],
    sets: Sequence[ImageSet],
    image_weights: NDArray[np.uint16],
    *,
    protocol: str,
) -> Scores:
    """Means over folds of metrics and of replicates; a fold that has no value (a class that it does not show) has no
    part in that mean. image_weights (B, n): of the images of all folds, one fold after the other."""
    ends = np.cumsum([0, *(len(images) for images in sets)])
    found = [
        task.score([of_fold], [images], image_weights[:, first:stop], protocol)
        for of_fold, images, first, stop in zip(predictions, sets, ends[:-1], ends[1:], strict=True)
    ]
    metrics = {name: float(mean_of_present(np.array([m[name] for m, _ in found]))) for name in found[0][0]}
    replicates = {name: mean_of_present(np.stack([r[name] for _, r in found], axis=1)) for name in found[0][1]}
    return metrics, replicates
