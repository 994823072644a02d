"""Scores of several folds: each fold's own, averaged.

Every fold has a model of its own, and their scores need not be on one scale: pooled into one precision-recall curve,
offsets between them would cost average precision that no model lost. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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
    found = [
        task.score([said], [images], weights, protocol)
        for said, images, weights in _of_each(predictions, sets, image_weights)
    ]
    metrics = {name: float(mean_of_present(np.array([m[name] for m, _ in found]))) for name in found[0][0]}
    return metrics, _means([replicates for _, replicates in found])


def errors_of_folds(
    task: TrainedTask,
    predictions: Sequence[Arrays],
    sets: Sequence[ImageSet],
    image_weights: NDArray[np.uint16],
    *,
    protocol: str,
) -> Arrays:
    """Means over folds of what errors come to, as `score_folds`."""
    parts = _of_each(predictions, sets, image_weights)
    return _means([task.errors([said], [images], weights, protocol) for said, images, weights in parts])


def _of_each(
    predictions: Sequence[Arrays], sets: Sequence[ImageSet], image_weights: NDArray[np.uint16]
) -> list[tuple[Arrays, ImageSet, NDArray[np.uint16]]]:
    """Predictions, images and weights of each fold."""
    ends = np.cumsum([0, *(len(images) for images in sets)])
    weights = [image_weights[:, first:stop] for first, stop in pairwise(ends)]
    return list(zip(predictions, sets, weights, strict=True))


def _means(found: Sequence[Arrays]) -> Arrays:
    return {name: mean_of_present(np.stack([of[name] for of in found], axis=1)) for name in found[0]}
