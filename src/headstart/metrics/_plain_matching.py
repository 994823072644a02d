"""What `_sorting` and `_matching` do, whole arrays at a time and not compiled: for one evaluation in a process of its
own, where loading compiled code would take longer than it saves. The results are the same.

Letters as in `headstart.metrics._matching`; besides, P pairs of a detection and a true box, A detections in such pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headstart.metrics._columns import Flags, Floats, Ints, Pairs, Ranked, Rows, TrueBoxes


def sorted_detections(
    labels: Ints, scores: Floats, images: Ints, num_classes: int, num_images: int, last_first: bool
) -> tuple[Rows, Ints]:
    """See `_sorting.sorted_detections`."""
    order = _stable(images, num_images) if (np.diff(images) < 0).any() else np.arange(len(images))
    order = order[::-1] if last_first else order
    order = order[_stable(labels[order], num_classes)]
    offsets = np.searchsorted(labels[order], np.arange(num_classes + 1))
    falling = -scores[order]
    for k in range(num_classes):
        part = slice(offsets[k], offsets[k + 1])
        order[part] = order[part][_sorted(falling[part])]
    return order.astype(np.int32), offsets


def _sorted(values: Floats) -> Ints:
    """Their rising order, equal ones as they come: numpy's stable sort takes twice the time."""
    order = np.argsort(values)
    ordered = values[order]
    equal = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(equal):
        tied = np.unique([equal, equal + 1])
        order[tied] = order[tied][np.lexsort((order[tied], ordered[tied]))]
    return order


def ranked(order: Rows, class_offsets: Ints, images: Ints, num_images: int, limit: int) -> tuple[Rows, Ints, Rows]:
    """See `_sorting.ranked`."""
    by_image = _stable(images[order], num_images)
    groups = images[order][by_image] * len(class_offsets) + _groups(class_offsets)[by_image]
    ranks = np.empty(len(order), np.int32)
    ranks[by_image] = _ranks(groups)
    staying = ranks < limit
    before = np.concatenate([[0], np.cumsum(staying)])
    return order[staying], before[class_offsets], ranks[staying]


def sorted_truth(labels: Ints, images: Ints, num_classes: int, num_images: int) -> tuple[Ints, Ints]:
    """See `_sorting.sorted_truth`."""
    order = np.lexsort((images, labels))
    return order, np.searchsorted(labels[order], np.arange(num_classes + 1))


def _stable(groups: Ints, num_groups: int) -> Ints:
    """Rows by group, those of a group in the order they come in: numpy counts digits where a group fits 16 bits."""
    small = num_groups <= 2**16
    return np.argsort(groups.astype(np.uint16) if small else groups, kind="stable")


def _groups(offsets: Ints) -> Ints:
    """The group of each row of groups that begin at these offsets."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _ranks(groups: Ints) -> Ints:
    """The place of each row among those of its group, which stand together."""
    begins = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.arange(len(groups)) - np.repeat(begins, np.diff(begins, append=len(groups)))


class Near(NamedTuple):
    """Pairs of overlaps that are enough for the lowest threshold, by detection, then true box."""

    places: Ints
    """(A,) of the detections, rising."""
    begins: Ints
    """(A + 1,) where the pairs of each begin."""
    truth: Ints
    """(P,) places of the true boxes."""
    overlaps: Floats
    """(P,)"""


class Found(NamedTuple):
    """Events, by place."""

    at: Rows
    """Places of the detections."""
    truth: Rows
    hit: Flags
    cell: Ints
    """v * T + t."""


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
    """See `_matching.match`."""
    columns = _known(pairs) if len(pairs.begins) else _overlapping(ranked, boxes, areas, truth, num_images=num_images)
    near = _near(*columns, lowest=float(thresholds.min()))
    contested = _contested(near, truth, free)
    parts = [_alone(near, ~contested, truth, thresholds), _in_rounds(_of(near, contested), truth, thresholds, free)]
    at, met, hit, cell = (np.concatenate(column) for column in zip(*parts, strict=True))
    num_classes, cells = len(ranked.offsets) - 1, truth.ignored.shape[1] * len(thresholds)
    group = _groups(ranked.offsets)[at] * cells + cell
    order = np.argsort(at, kind="stable")  # a few runs that rise already
    order = order[_stable(group[order], num_classes * cells)]
    bounds = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=num_classes * cells))])
    offsets = bounds[np.arange(num_classes)[:, None] * cells + np.arange(cells + 1)]
    return at[order], met[order], hit[order], offsets


def _known(pairs: Pairs) -> tuple[Ints, Rows, Floats]:
    return np.repeat(np.arange(len(pairs.begins) - 1), np.diff(pairs.begins)), pairs.truth, pairs.overlaps


def _overlapping(
    ranked: Ranked, boxes: Floats, areas: Floats, truth: TrueBoxes, *, num_images: int
) -> tuple[Ints, Ints, Floats]:
    """Places of detections and of true boxes that overlap, and how much. Class by class: what belongs to one stays in
    the processor's cache."""
    columns: list[tuple[NDArray, ...]] = []
    for k in range(len(ranked.offsets) - 1):
        first, begin = truth.offsets[k], ranked.offsets[k]
        counts = np.bincount(truth.images[first : truth.offsets[k + 1]], minlength=num_images)
        images = ranked.images[begin : ranked.offsets[k + 1]]
        asked = np.flatnonzero(counts[images])
        own = counts[images[asked]]
        pair = np.repeat(np.arange(len(asked)), own)
        j = np.repeat(first + (np.cumsum(counts) - counts)[images[asked]] - (np.cumsum(own) - own), own)
        j += np.arange(len(j))
        rows = ranked.order[begin + asked]
        both = np.ones(len(j))
        for axis in (0, 1):  # Most pairs do not meet along the first one already.
            low, high = (boxes[rows, edge][pair] for edge in (axis, axis + 2))
            sides = np.minimum(high, truth.boxes[j, axis + 2]) - np.maximum(low, truth.boxes[j, axis])
            meet = np.flatnonzero(sides > 0)
            pair, j, both = pair[meet], j[meet], both[meet] * sides[meet]
        own_areas = areas[rows][pair]
        overlaps = both / np.where(truth.region[j], own_areas, own_areas + truth.areas[j] - both)
        columns.append((begin + asked[pair], j, overlaps))
    places, j, overlaps = (np.concatenate(column) for column in zip(*columns, strict=True))
    return places, j, overlaps


def _near(places: Ints, truth: Ints, overlaps: Floats, *, lowest: float) -> Near:
    kept = overlaps >= lowest
    places, truth, overlaps = places[kept], truth[kept], overlaps[kept]
    begins = np.flatnonzero(np.diff(places, prepend=-1))
    return Near(places[begins], np.append(begins, len(places)), truth, overlaps)


def _of(near: Near, chosen: Flags) -> Near:
    """Of some of the detections (A,)."""
    counts = np.diff(near.begins)
    pairs = np.repeat(chosen, counts)
    begins = np.concatenate([[0], np.cumsum(counts[chosen])])
    return Near(near.places[chosen], begins, near.truth[pairs], near.overlaps[pairs])


def _contested(near: Near, truth: TrueBoxes, free: bool) -> Flags:
    """(A,) detections that may meet one of several true boxes, or one that such a detection may meet, or a true box
    that can be met more than once."""
    open_ones = truth.region.copy() if free else truth.region | truth.ignored.any(1)
    counts = np.diff(near.begins)
    open_ones[near.truth[np.repeat(counts > 1, counts)]] = True
    return open_ones[near.truth[near.begins[:-1]]]


def _alone(near: Near, chosen: Flags, truth: TrueBoxes, thresholds: Floats) -> Found:
    """Events of the detections (A,) that can meet a single true box, as all others that can meet it: at each threshold
    the surest whose overlap is enough meets it."""
    rising, views = np.argsort(thresholds, kind="stable"), truth.ignored.shape[1]
    first = near.begins[:-1][chosen]
    by_truth = _stable(near.truth[first], len(truth.images))
    at, j = near.places[chosen][by_truth], near.truth[first][by_truth]
    reached = np.searchsorted(thresholds[rising], near.overlaps[first][by_truth], side="right")
    above = j * (len(thresholds) + 1)
    highest = np.maximum.accumulate(above + reached) - above
    before = np.concatenate([[0], highest[:-1]])
    before[np.diff(j, prepend=-1) != 0] = 0
    by_place = np.argsort(by_truth)
    before, counts = before[by_place], (highest - before)[by_place]
    at, j = at[by_place], j[by_place]
    d = np.repeat(np.arange(len(at)), counts)
    t = rising[np.arange(len(d)) - np.repeat(np.cumsum(counts) - counts - before, counts)]
    hit = ~truth.ignored[j[d]].T.reshape(-1)
    cell = (np.arange(views)[:, None] * len(thresholds) + t).reshape(-1)
    return Found(np.tile(at[d].astype(np.int32), views), np.tile(j[d].astype(np.int32), views), hit, cell)


def _in_rounds(near: Near, truth: TrueBoxes, thresholds: Floats, free: bool) -> Found:
    """Events of any detections: the surest ones of all images and classes first, then the second ones, and so on."""
    cells = truth.ignored.shape[1] * len(thresholds)
    met, hit = np.full((len(near.places), cells), -1, np.int32), np.zeros((len(near.places), cells), np.bool_)
    taken = np.zeros((len(truth.images), cells), np.bool_)
    limits = np.tile(thresholds, truth.ignored.shape[1])
    ignored = np.repeat(truth.ignored, len(thresholds), axis=1)
    choose = _free if free else _best
    group = _of_image_and_class(truth)[near.truth[near.begins[:-1]]]
    by_group = np.argsort(group, kind="stable")
    rounds = np.empty(len(group), np.int64)
    rounds[by_group] = _ranks(group[by_group])
    by_round, ends = np.argsort(rounds, kind="stable"), np.cumsum(np.bincount(rounds))
    for begin, end in zip(np.append(0, ends), ends, strict=False):
        now = by_round[begin:end]
        met[now], hit[now] = choose(near, now, truth.region, ignored, taken=taken, limits=limits)
        a, cell = np.nonzero(met[now] >= 0)
        taken[met[now[a], cell], cell] = True
    a, cell = np.nonzero(met >= 0)
    return Found(near.places[a].astype(np.int32), met[a, cell], hit[a, cell], cell)


def _of_image_and_class(truth: TrueBoxes) -> Ints:
    """(m,) a number for each image and class."""
    new = np.diff(truth.images, prepend=-1) != 0
    new[truth.offsets[:-1][np.diff(truth.offsets) > 0]] = True
    return np.cumsum(new)


def _free(near: Near, now: Ints, region: Flags, ignored: Flags, *, taken: Flags, limits: Floats) -> tuple[Rows, Flags]:
    """See `_matching._free`: (R, cells) of the detections `now`."""
    counts = near.begins[now + 1] - near.begins[now]
    best = np.tile(limits, (len(now), 1))
    which = np.full(best.shape, -1, np.int32)
    for counting in (True, False):
        open_to = which < 0
        for c in range(counts.max()):
            a = np.flatnonzero(counts > c)
            j, overlap = near.truth[near.begins[now[a]] + c], near.overlaps[near.begins[now[a]] + c]
            better = overlap[:, None] >= best[a]
            if counting:
                better &= ~(ignored[j] | taken[j])
            else:
                better &= (region[j][:, None] | (ignored[j] & ~taken[j])) & open_to[a]
            best[a] = np.where(better, overlap[:, None], best[a])
            which[a] = np.where(better, j[:, None], which[a])
        if counting:
            hit = which >= 0
    return which, hit


def _best(near: Near, now: Ints, region: Flags, ignored: Flags, *, taken: Flags, limits: Floats) -> tuple[Rows, Flags]:
    """See `_matching._best`: (R, cells) of the detections `now`."""
    counts = near.begins[now + 1] - near.begins[now]
    best, which = np.zeros((2, len(now))), np.zeros((2, len(now)), np.int64)
    for c in range(counts.max()):
        a = np.flatnonzero(counts > c)
        j, overlap = near.truth[near.begins[now[a]] + c], near.overlaps[near.begins[now[a]] + c]
        side = region[j].astype(np.int64)
        better = overlap > best[side, a]
        best[side[better], a[better]], which[side[better], a[better]] = overlap[better], j[better]
    (single, inside), cells = which, np.arange(len(limits))
    enough = best[:, :, None] >= limits
    out, hit = np.full(enough[0].shape, -1, np.int32), np.zeros(enough[0].shape, np.bool_)
    first = enough[0] & (ignored[single] | ~taken[single])
    second = enough[1] & ~first
    out = np.where(first, single[:, None], np.where(second, inside[:, None], -1)).astype(np.int32)
    counted = ~ignored[np.maximum(out, 0), cells] & ~taken[np.maximum(out, 0), cells]
    return out, np.where(first | second, counted, hit)
