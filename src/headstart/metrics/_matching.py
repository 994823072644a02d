"""Compiled parts of average precision: matching, and average precision of a match table under image weights.

Letters: D detections, M true boxes, T IoU thresholds, K classes, B weightings, n images. Detections come sorted by
class, then score (falling), then image, then input order; `starts[i]:stops[i]` are the true boxes of detection i's
class and image. Importing this module imports numba.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

MISS, HIT, IGNORED = 0, 1, 2
"""What became of a detection: false positive, true positive, neither."""


@njit(cache=True, nogil=True)
def _overlap(a: NDArray[np.float64], b: NDArray[np.float64], over_a_only: bool) -> float:
    """Intersection over union of two boxes (over the area of `a` if asked); 0 where they do not meet."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    both = width * height
    area_a = (a[2] - a[0]) * (a[3] - a[1])
    if over_a_only:
        return both / area_a
    return both / (area_a + (b[2] - b[0]) * (b[3] - b[1]) - both)


@njit(cache=True, nogil=True)
def match_voc(
    boxes: NDArray[np.float64], starts: NDArray[np.int64], stops: NDArray[np.int64], truth_boxes: NDArray[np.float64],
    truth_ignored: NDArray[np.bool_], thresholds: NDArray[np.float64],
) -> NDArray[np.uint8]:  # fmt: skip
    """(T, D) fate of every detection by the devkit's rule: the true box of highest IoU, whether taken or not.

    Of equal IoUs the first true box counts. One pass over the IoUs serves every threshold.
    """
    fate = np.zeros((len(thresholds), len(boxes)), dtype=np.uint8)
    taken = np.zeros((len(thresholds), len(truth_boxes)), dtype=np.bool_)
    for i in range(len(boxes)):
        best, which = 0.0, -1
        for j in range(starts[i], stops[i]):
            iou = _overlap(boxes[i], truth_boxes[j], False)
            if iou > best:
                best, which = iou, j
        for t in range(len(thresholds)):
            if best > thresholds[t]:
                if truth_ignored[which]:
                    fate[t, i] = IGNORED
                elif not taken[t, which]:
                    taken[t, which] = True
                    fate[t, i] = HIT
    return fate


@njit(cache=True, nogil=True)
def match_coco(
    boxes: NDArray[np.float64], starts: NDArray[np.int64], stops: NDArray[np.int64], truth_boxes: NDArray[np.float64],
    truth_ignored: NDArray[np.bool_], truth_crowd: NDArray[np.bool_], thresholds: NDArray[np.float64],
) -> NDArray[np.uint8]:  # fmt: skip
    """(T, D) fate of every detection by COCO's rule: greedy for each threshold, ignored true boxes come last.

    Within an image and class the true boxes are sorted: those that count first. Of equal IoUs the last one counts, a
    crowd takes any number of detections (overlap over the detection's area), as in pycocotools.
    """
    fate = np.zeros((len(thresholds), len(boxes)), dtype=np.uint8)
    taken = np.zeros((len(thresholds), len(truth_boxes)), dtype=np.bool_)
    longest = 0
    for i in range(len(boxes)):
        longest = max(longest, stops[i] - starts[i])
    overlaps = np.empty(longest, dtype=np.float64)
    for i in range(len(boxes)):
        first = starts[i]
        highest = 0.0
        for j in range(first, stops[i]):
            overlaps[j - first] = _overlap(boxes[i], truth_boxes[j], truth_crowd[j])
            highest = max(highest, overlaps[j - first])
        for t in range(len(thresholds)):
            best, which = min(thresholds[t], 1.0 - 1e-10), -1
            if highest < best:
                continue
            for j in range(first, stops[i]):
                if taken[t, j] and not truth_crowd[j]:
                    continue
                if which >= 0 and not truth_ignored[which] and truth_ignored[j]:
                    break
                if overlaps[j - first] >= best:
                    best, which = overlaps[j - first], j
            if which >= 0:
                taken[t, which] = True
                fate[t, i] = IGNORED if truth_ignored[which] else HIT
    return fate


@njit(cache=True, nogil=True)
def _area(precision: NDArray[np.float64], recall: NDArray[np.float64], points: int) -> float:
    """Area under the monotone envelope of the first `points` points (one for every step of recall)."""
    area, best = 0.0, 0.0
    for i in range(points - 1, -1, -1):
        best = max(best, precision[i])
        area += (recall[i] - (recall[i - 1] if i else 0.0)) * best
    return area


@njit(cache=True, nogil=True)
def _mean_at_levels(
    precision: NDArray[np.float64], recall: NDArray[np.float64], points: int, levels: NDArray[np.float64]
) -> float:
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
def weighted_ap(
    weights: NDArray[np.float64], images: NDArray[np.int64], class_offsets: NDArray[np.int64],
    event_at: NDArray[np.int64], event_hit: NDArray[np.bool_], event_offsets: NDArray[np.int64],
    truth_images: NDArray[np.int64], truth_offsets: NDArray[np.int64], levels: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """(B, T, K) average precision when image i counts weights[b, i] times; nan where no true box of the class counts.

    images (D,): image of each detection, class k at class_offsets[k]:class_offsets[k + 1]. An event is a detection
    that is not a false positive: event_at (E,) its place in `images`, event_hit (E,) whether it is a hit; those of
    threshold t and class k lie at event_offsets[t, k]:event_offsets[t, k + 1]. truth_images: images of the true boxes
    that count, by class. levels: recall levels; empty means the area under the envelope.

    False positives enter through a running sum that all thresholds share, so a threshold costs its events only.
    """
    num_thresholds, num_classes = event_offsets.shape[0], event_offsets.shape[1] - 1
    out = np.full((len(weights), num_thresholds, num_classes), np.nan)
    running = np.zeros(len(images) + 1)
    precision, recall = np.empty(len(images)), np.empty(len(images))
    for b in range(len(weights)):
        row = weights[b]
        for k in range(num_classes):
            positives = 0.0
            for j in range(truth_offsets[k], truth_offsets[k + 1]):
                positives += row[truth_images[j]]
            if positives == 0.0:
                continue
            begin = class_offsets[k]
            running[begin] = 0.0
            for i in range(begin, class_offsets[k + 1]):
                running[i + 1] = running[i] + row[images[i]]
            for t in range(num_thresholds):
                hits, ignored, points = 0.0, 0.0, 0
                for e in range(event_offsets[t, k], event_offsets[t, k + 1]):
                    weight = row[images[event_at[e]]]
                    if weight == 0.0:
                        continue
                    if event_hit[e]:
                        hits += weight
                        precision[points] = hits / (running[event_at[e] + 1] - ignored)
                        recall[points] = hits / positives
                        points += 1
                    else:
                        ignored += weight
                if len(levels):
                    out[b, t, k] = _mean_at_levels(precision, recall, points, levels)
                else:
                    out[b, t, k] = _area(precision, recall, points)
    return out
