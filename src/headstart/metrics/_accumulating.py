"""Compiled average precision and recall of matched detections under image weights. Importing this imports numba.

Letters as in `headstart.metrics._matching`; besides, B weightings, L limits on the detections of an image and class.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from headstart.metrics._columns import Counted, Events, Flags, Floats, Ints, Rows, Scored
from headstart.metrics._sorting import longest


@njit(cache=True, nogil=True)
def _area(precision: Floats, recall: Floats, points: int) -> float:
    """Area under the monotone envelope of the first `points` points (one for every step of recall)."""
    area, best = 0.0, 0.0
    for i in range(points - 1, -1, -1):
        best = max(best, precision[i])
        area += (recall[i] - (recall[i - 1] if i else 0.0)) * best
    return area


@njit(cache=True, nogil=True)
def _mean_at_levels(precision: Floats, recall: Floats, points: int, levels: Floats) -> float:
    """Mean over the recall levels (ascending) of the highest precision at that recall or above; 0 where none is."""
    total, best = 0.0, 0.0
    level = len(levels) - 1
    for i in range(points - 1, -1, -1):
        while level >= 0 and levels[level] > recall[i]:
            total += best
            level -= 1
        best = max(best, precision[i])
    return (total + best * (level + 1)) / len(levels)


@njit(cache=True, nogil=True)
def _running(
    running: Floats, begin: int, stop: int, row: Floats, images: Ints, ranks: Rows, limit: int, outside: Flags
) -> None:
    """running[i + 1]: weight of the detections begin..i that are wrong unless they met a true box."""
    total = 0.0
    running[begin] = 0.0
    if limit < 0 and len(outside) == 0:
        for i in range(begin, stop):
            total += row[images[i]]
            running[i + 1] = total
        return
    every, most = len(outside) == 0, limit if limit >= 0 else 2**31
    for i in range(begin, stop):  # a product, not a branch: which ones count follows no pattern
        counts = (limit < 0 or ranks[i] < most) & (every or not outside[i])
        total += row[images[i]] * counts
        running[i + 1] = total


@njit(cache=True, nogil=True)
def weighted_ap(
    weights: Floats, scored: Scored, limits: Ints, outside: Flags, events: Events, truth: Counted, levels: Floats
) -> tuple[Floats, Floats]:
    """(B, V, L, T, K) average precision and recall when image i counts weights[b, i] times; nan where no true box of
    the class counts.

    limits (L,): how many detections of an image and class count; -1 all. outside (V, D): a detection that met no true
    box is ignored there, not wrong; (V, 0): there are none such. levels: recall levels; empty means the area under the
    envelope.

    False positives enter through a running sum that all thresholds share, so a threshold costs its events only.
    """
    images, class_offsets, ranks = scored
    event_at, event_hit, event_offsets = events
    truth_images, truth_offsets, counted = truth
    num_classes, num_views, num_thresholds = len(class_offsets) - 1, len(outside), event_offsets.shape[2] - 1
    shape = (len(weights), num_views, len(limits), num_thresholds, num_classes)
    ap, recalls = np.full(shape, np.nan), np.full(shape, np.nan)
    running = np.zeros(len(images) + 1)
    most = longest(class_offsets)
    precision, recall = np.empty(most), np.empty(most)
    for b in range(len(weights)):
        row = weights[b]
        for k in range(num_classes):
            for v in range(num_views):
                positives = 0.0
                for j in range(truth_offsets[k], truth_offsets[k + 1]):
                    if counted[v, j]:
                        positives += row[truth_images[j]]
                if positives == 0.0:
                    continue
                for m in range(len(limits)):
                    limit = limits[m]
                    _running(running, class_offsets[k], class_offsets[k + 1], row, images, ranks, limit, outside[v])
                    for t in range(num_thresholds):
                        hits, correction, points = 0.0, 0.0, 0
                        for e in range(event_offsets[k, v, t], event_offsets[k, v, t + 1]):
                            i = event_at[e]
                            weight = row[images[i]]
                            if weight == 0.0 or (limit >= 0 and ranks[i] >= limit):
                                continue
                            inside = outside.shape[1] == 0 or not outside[v, i]
                            if event_hit[e]:
                                hits += weight
                                if not inside:
                                    correction += weight
                                precision[points] = hits / (running[i + 1] + correction)
                                recall[points] = hits / positives
                                points += 1
                            elif inside:
                                correction -= weight
                        if len(levels):
                            ap[b, v, m, t, k] = _mean_at_levels(precision, recall, points, levels)
                        else:
                            ap[b, v, m, t, k] = _area(precision, recall, points)
                        recalls[b, v, m, t, k] = hits / positives
    return ap, recalls
