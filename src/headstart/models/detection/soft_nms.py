"""Gaussian soft-NMS (Bodla et al., arXiv 1704.04503), compiled: overlapping detections lose score instead of going."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SIGMA = 0.55
"""SNIPER's."""
LEAST = 1e-3
"""Scores below it are dropped."""


def soft_nms(
    boxes_xyxy: ArrayLike, scores: ArrayLike, labels: ArrayLike, sigma: float = SIGMA, *, least: float = LEAST
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows kept and their new scores, falling; of equal scores the first row comes first.

    boxes_xyxy (N, 4), scores (N,), labels (N,). Within a class the surest detection is taken, and the score of every
    other is multiplied by exp(-IoU^2 / sigma); again among the others until none has `least`.
    """
    boxes = np.ascontiguousarray(boxes_xyxy, np.float64).reshape(-1, 4)
    left = np.array(scores, np.float64)
    order = np.argsort(np.asarray(labels), kind="stable")
    starts = np.flatnonzero(np.diff(np.asarray(labels)[order], prepend=np.nan) != 0)
    taken = _soften(boxes, left, order, np.append(starts, len(order)), sigma, least)
    rows = np.flatnonzero(taken)
    rows = rows[np.argsort(-left[rows], kind="stable")]
    return rows, left[rows]


@njit(cache=True, nogil=True)
def _soften(boxes: Floats, scores: Floats, order: Ints, starts: Ints, sigma: float, least: float) -> NDArray[np.bool_]:
    """Which rows are taken; `scores` become the new ones. Rows of a class: order[starts[k] : starts[k + 1]]."""
    taken = np.zeros(len(scores), np.bool_)
    for k in range(len(starts) - 1):
        group = order[starts[k] : starts[k + 1]]
        while True:
            best = -1
            for row in group:
                if not taken[row] and scores[row] >= least and (best < 0 or scores[row] > scores[best]):
                    best = row
            if best < 0:
                break
            taken[best] = True
            area = (boxes[best, 2] - boxes[best, 0]) * (boxes[best, 3] - boxes[best, 1])
            for row in group:
                if taken[row]:
                    continue
                width = min(boxes[best, 2], boxes[row, 2]) - max(boxes[best, 0], boxes[row, 0])
                height = min(boxes[best, 3], boxes[row, 3]) - max(boxes[best, 1], boxes[row, 1])
                if width <= 0 or height <= 0:
                    continue
                row_area = (boxes[row, 2] - boxes[row, 0]) * (boxes[row, 3] - boxes[row, 1])
                iou = width * height / (area + row_area - width * height)
                scores[row] *= np.exp(-iou * iou / sigma)
    return taken
