"""Compiled average precision and recall of many resamples at once. Importing this module imports numba.

Letters as in `headstart.metrics._matching`; besides, `LANES` resamples that go through the detections side by side.
Weights are whole numbers, so hits are counted, and how many levels of recall so many hits reach is looked up.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

LANES = 16
"""Resamples side by side: their counts fill a cache line."""
IGNORED, HIT, HIT_OUTSIDE = 0, 1, 2
"""What an event is: of a detection that is not wrong any more; that is right; that is right and would not count as
wrong, since its own box lies outside the range."""


@njit(cache=True, nogil=True)
def resampled_ap(
    weights: NDArray[np.int32],
    images: NDArray[np.int64],
    class_offsets: NDArray[np.int64],
    event_images: NDArray[np.int64],
    event_rows: NDArray[np.int64],
    event_kinds: NDArray[np.uint8],
    event_offsets: NDArray[np.int64],
    positives: NDArray[np.int32],
    levels: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(LANES, T, K) average precision of one view when image i counts weights[i, l] times; nan where no true box has
    weight.

    weights (n, LANES). images (D,): of the detections that count in this view, class k at class_offsets[k]:
    class_offsets[k + 1]. event_images, event_rows, event_kinds (E,): image of an event's detection, how many detections
    of its class come up to it, itself included, and what it is; those of class k and threshold t are
    event_offsets[k, t]:event_offsets[k, t + 1]. positives (K, LANES): weight of the true boxes that count.
    """
    num_classes, num_thresholds = len(class_offsets) - 1, event_offsets.shape[1] - 1
    out = np.full((LANES, num_thresholds, num_classes), np.nan)
    running = np.zeros((np.diff(class_offsets).max() + 1, LANES), np.int32)
    most = 0
    for k in range(num_classes):
        for t in range(num_thresholds):
            most = max(most, event_offsets[k, t + 1] - event_offsets[k, t])
    precision, steps = np.empty((most, LANES)), np.zeros((most + 1, LANES), np.int32)
    hits, not_wrong = np.empty(LANES, np.int32), np.empty(LANES, np.int32)
    sums, best = np.empty(LANES), np.empty(LANES)
    for k in range(num_classes):
        if positives[k].max() == 0:
            continue
        reached = _reached(positives[k], levels)
        for i in range(class_offsets[k], class_offsets[k + 1]):
            image, row = images[i], i - class_offsets[k]
            for lane in range(LANES):
                running[row + 1, lane] = running[row, lane] + weights[image, lane]
        for t in range(num_thresholds):
            hits[:], not_wrong[:], sums[:], best[:] = 0, 0, 0, 0
            points = 0
            for e in range(event_offsets[k, t], event_offsets[k, t + 1]):
                image, row, kind = event_images[e], event_rows[e], event_kinds[e]
                if kind != HIT:
                    sign = 1 if kind == IGNORED else -1
                    for lane in range(LANES):
                        not_wrong[lane] += sign * weights[image, lane]
                if kind != IGNORED:
                    for lane in range(LANES):
                        hits[lane] += weights[image, lane]
                        # Before the first detection with weight: 0 of 1 is right, as 0 of 0 would be.
                        precision[points, lane] = hits[lane] / max(running[row, lane] - not_wrong[lane], 1)
                    points += 1
                    for lane in range(LANES):
                        steps[points, lane] = reached[hits[lane], lane]
            for p in range(points - 1, -1, -1):
                for lane in range(LANES):
                    best[lane] = max(best[lane], precision[p, lane])
                    sums[lane] += best[lane] * (steps[p + 1, lane] - steps[p, lane])
            for lane in range(LANES):
                if positives[k, lane] > 0:
                    out[lane, t, k] = sums[lane] / (len(levels) if len(levels) else positives[k, lane])
    return out


@njit(cache=True, nogil=True)
def _reached(positives: NDArray[np.int32], levels: NDArray[np.float64]) -> NDArray[np.int32]:
    """(P + 1, LANES) how many of the levels of recall 0, 1, .. P hits reach; the hits themselves where there are no
    levels."""
    out = np.empty((positives.max() + 1, LANES), np.int32)
    for lane in range(LANES):
        level = 0
        for hits in range(positives[lane] + 1):
            if len(levels) == 0:
                level = hits
            elif positives[lane] > 0:
                recall = hits / positives[lane]
                while level < len(levels) and levels[level] <= recall:
                    level += 1
            out[hits, lane] = level
    return out


@njit(cache=True, nogil=True)
def weights_of_classes(
    weights: NDArray[np.int32], images: NDArray[np.int64], offsets: NDArray[np.int64], counts: NDArray[np.int32]
) -> NDArray[np.int32]:
    """(K, LANES) weight of the rows offsets[k]:offsets[k + 1], of these images, each counted so many times."""
    out = np.zeros((len(offsets) - 1, LANES), np.int32)
    for k in range(len(offsets) - 1):
        for j in range(offsets[k], offsets[k + 1]):
            for lane in range(LANES):
                out[k, lane] += weights[images[j], lane] * counts[j]
    return out
