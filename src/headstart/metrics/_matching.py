"""Compiled matching of detections with true boxes. Importing this module imports numba.

Letters: D detections, m true boxes, K classes, n images, T IoU thresholds, V views. A view says which true boxes do not
count in it (an area range, a group of objects); every view and threshold is matched on its own, from one computation
of the IoUs. What is found is a list of *events*: an event is a detection that met a true box, whether it is a hit (true
positive) or ignored (neither right nor wrong). All other detections are misses.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from headstart.metrics._columns import BoxesByImage, Flags, Floats, Ints, Pairs, Ranked, Rows, TrueBoxes
from headstart.metrics._sorting import longest


@njit(cache=True, nogil=True, inline="always")
def _overlap(
    boxes: Floats, areas: Floats, i: int, others: Floats, other_areas: Floats, j: int, over_own: bool
) -> float:
    """Intersection over union of boxes i and others j (over the area of i if asked); 0 where they do not meet."""
    width = min(boxes[i, 2], others[j, 2]) - max(boxes[i, 0], others[j, 0])
    if width <= 0.0:
        return 0.0
    height = min(boxes[i, 3], others[j, 3]) - max(boxes[i, 1], others[j, 1])
    if height <= 0.0:
        return 0.0
    both = width * height
    return both / areas[i] if over_own else both / (areas[i] + other_areas[j] - both)


@njit(cache=True, nogil=True, inline="always")
def _free(
    overlaps: Floats,
    near: Ints,
    num_near: int,
    ignored: Flags,
    region: Flags,
    taken: Flags,
    at: int,
    view: int,
    threshold: float,
) -> tuple[int, bool]:
    """The true box that a detection takes by COCO's rule (-1 none) and whether that is a hit.

    The best box that is free and counts; else the best that does not count or takes any number of detections. Of equal
    overlaps the last one, as in pycocotools.
    """
    best, which = threshold, -1
    for c in range(num_near):
        j = near[c]
        if overlaps[c] >= best and not ignored[j, view] and not taken[j, at]:
            best, which = overlaps[c], j
    if which >= 0:
        return which, True
    for c in range(num_near):
        j = near[c]
        if overlaps[c] >= best and (region[j] or (ignored[j, view] and not taken[j, at])):
            best, which = overlaps[c], j
    return which, False


@njit(cache=True, nogil=True, inline="always")
def _best(
    overlaps: Floats,
    near: Ints,
    num_near: int,
    ignored: Flags,
    region: Flags,
    taken: Flags,
    at: int,
    view: int,
    threshold: float,
) -> tuple[int, bool]:
    """The same by the devkit's rule: the box of highest IoU whether taken or not; what that leaves wrong may still lie
    in a region (crowd, group-of), whose first detection is a hit where the region counts. Of equal overlaps the first.
    """
    best, which, most, inside = 0.0, -1, 0.0, -1
    for c in range(num_near):
        j = near[c]
        if region[j]:
            if overlaps[c] > most:
                most, inside = overlaps[c], j
        elif overlaps[c] > best:
            best, which = overlaps[c], j
    if best >= threshold:
        if ignored[which, view]:
            return which, False
        if not taken[which, at]:
            return which, True
    if most >= threshold:
        return inside, not ignored[inside, view] and not taken[inside, at]
    return -1, False


@njit(cache=True, nogil=True, inline="always")
def _mark(truth_images: Ints, begin: int, stop: int, first: Rows, last: Rows) -> None:
    """Set `first` and `last` of every image with true boxes among begin..stop: they are first[i]:last[i] of them."""
    for j in range(stop - 1, begin - 1, -1):
        image = truth_images[j]
        if first[image] < 0:
            last[image] = j + 1
        first[image] = j


@njit(cache=True, nogil=True)
def _asked(
    begin: int,
    stop: int,
    order: Rows,
    images: Ints,
    first: Rows,
    boxes: Floats,
    areas: Floats,
    asked: Rows,
    asked_boxes: Floats,
    asked_areas: Floats,
) -> int:
    """Number of the detections begin..stop that have a true box to meet; their places go to `asked`, their boxes and
    areas to `asked_boxes` and `asked_areas`: loads that wait for no decision overlap in time."""
    count = 0
    for p in range(begin, stop):
        asked[count] = p
        count += first[images[p]] >= 0
    for a in range(count):
        i = order[asked[a]]
        asked_areas[a] = areas[i]
        for c in range(4):
            asked_boxes[a, c] = boxes[i, c]
    return count


@njit(cache=True, nogil=True)
def match(
    ranked: Ranked,
    boxes: Floats,
    areas: Floats,
    truth: TrueBoxes,
    pairs: Pairs,
    thresholds: Floats,
    free: bool,
    num_images: int,
) -> tuple[Rows, Rows, Flags, Ints]:
    """Events of every class, view and threshold.

    boxes, areas (of the boxes): of all detections, in input order; read where `pairs` does not say the overlaps.
    thresholds (T,): an overlap of a threshold is enough. free: COCO's rule, else the devkit's.

    Returns at (E,) places in `ranked`, truth (E,) places among the true boxes, hit (E,), and offsets (K, V * T + 1):
    the events of class k, view v and threshold t, in order, are offsets[k, c]:offsets[k, c + 1] with c = v * T + t.
    """
    order, class_offsets, images = ranked
    truth_offsets, truth_images, truth_boxes, truth_areas, ignored, region = truth
    begins, pair_truth, pair_overlaps = pairs
    num_classes, num_views, num_thresholds = len(class_offsets) - 1, ignored.shape[1], len(thresholds)
    cells = num_views * num_thresholds
    lowest = thresholds.min()
    most = longest(class_offsets)
    asked, asked_boxes, asked_areas = np.empty(most + 1, dtype=np.int32), np.empty((most, 4)), np.empty(most)
    taken = np.zeros((len(truth_images), cells), dtype=np.bool_)
    first, last = np.full(num_images, -1, dtype=np.int32), np.zeros(num_images, dtype=np.int32)
    overlaps, near = np.empty(len(truth_images)), np.empty(len(truth_images), dtype=np.int64)
    room = 1024
    at, met = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    hits, cell_of = np.empty(room, dtype=np.bool_), np.empty(room, dtype=np.int32)
    total = 0
    offsets = np.zeros((num_classes, cells + 1), dtype=np.int64)
    for k in range(num_classes):
        offsets[k, 0] = total
        _mark(truth_images, truth_offsets[k], truth_offsets[k + 1], first, last)
        begin, stop = class_offsets[k], class_offsets[k + 1]
        num_asked = _asked(begin, stop, order, images, first, boxes, areas, asked, asked_boxes, asked_areas)
        for a in range(num_asked):
            p = asked[a]
            image = images[p]
            num_near, highest = 0, 0.0
            known = len(begins) > 0
            low, high = (begins[p], begins[p + 1]) if known else (first[image], last[image])
            for q in range(low, high):
                j = pair_truth[q] if known else q
                if known:
                    value = pair_overlaps[q]
                else:
                    value = _overlap(asked_boxes, asked_areas, a, truth_boxes, truth_areas, j, region[j])
                if value >= lowest:
                    overlaps[num_near], near[num_near] = value, j
                    num_near += 1
                    highest = max(highest, value)
            if num_near == 0:
                continue
            if total + cells > room:
                room = 2 * room + cells
                at, met = _longer(at, room), _longer(met, room)
                hits, cell_of = _longer(hits, room), _longer(cell_of, room)
            for t in range(num_thresholds):
                if highest < thresholds[t]:
                    continue
                for view in range(num_views):
                    cell = view * num_thresholds + t
                    if free:
                        j, hit = _free(overlaps, near, num_near, ignored, region, taken, cell, view, thresholds[t])
                    else:
                        j, hit = _best(overlaps, near, num_near, ignored, region, taken, cell, view, thresholds[t])
                    if j >= 0:
                        taken[j, cell] = True
                        at[total], met[total], hits[total], cell_of[total] = p, j, hit, cell
                        total += 1
                        offsets[k, cell + 1] += 1
        for j in range(truth_offsets[k], truth_offsets[k + 1]):
            first[truth_images[j]] = -1
        for cell in range(cells):
            offsets[k, cell + 1] += offsets[k, cell]
    return _by_cell(at, met, hits, cell_of, offsets, total)


@njit(cache=True, nogil=True)
def _longer(values, room):  # type: ignore[no-untyped-def]
    out = np.empty(room, dtype=values.dtype)
    out[: len(values)] = values
    return out


@njit(cache=True, nogil=True)
def _by_cell(
    at: Rows, truth: Rows, hit: Flags, cell: Rows, offsets: Ints, total: int
) -> tuple[Rows, Rows, Flags, Ints]:
    """Events of each class brought together by view and threshold, keeping their order."""
    out_at, out_truth = np.empty(total, dtype=np.int32), np.empty(total, dtype=np.int32)
    out_hit = np.empty(total, dtype=np.bool_)
    for k in range(len(offsets)):
        place = offsets[k, :-1].copy()
        for e in range(offsets[k, 0], offsets[k, -1]):
            to = place[cell[e]]
            place[cell[e]] = to + 1
            out_at[to], out_truth[to], out_hit[to] = at[e], truth[e], hit[e]
    return out_at, out_truth, out_hit, offsets


@njit(cache=True, nogil=True)
def closest(images: Ints, labels: Ints, boxes: Floats, areas: Floats, truth: BoxesByImage) -> tuple[Ints, Floats]:
    """(D, 2) rows of the true boxes of each detection's own class and of the other classes in its image that it
    overlaps most (-1 none; of equal ones the first), and (D, 2) the overlaps; with regions over the detection's area.
    """
    rows, offsets, truth_labels, truth_boxes, truth_areas, region = truth
    which, best = np.full((len(images), 2), -1, dtype=np.int64), np.zeros((len(images), 2))
    for i in range(len(images)):
        for p in range(offsets[images[i]], offsets[images[i] + 1]):
            j = rows[p]
            side = 0 if truth_labels[j] == labels[i] else 1
            value = _overlap(boxes, areas, i, truth_boxes, truth_areas, j, region[j])
            if value > best[i, side]:
                best[i, side], which[i, side] = value, j
    return which, best
