"""What `_accumulating` does under weights of 1, whole arrays at a time and not compiled; see `_plain_matching`.

Letters as in `headstart.metrics._accumulating`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headstart.metrics._columns import Counted, Events, Flags, Floats, Ints, Scored


def plain_ap(
    scored: Scored, limits: Ints, outside: Flags, events: Events, truth: Counted, levels: Floats
) -> tuple[Floats, Floats]:
    """(V, L, T, K) average precision and recall: see `_accumulating.weighted_ap`."""
    num_classes, num_views, num_thresholds = len(scored.offsets) - 1, len(outside), events.offsets.shape[2] - 1
    shape = (num_views, len(limits), num_thresholds, num_classes)
    ap, recalls = np.full(shape, np.nan), np.full(shape, np.nan)
    for k in range(num_classes):
        positives = truth.counted[:, truth.offsets[k] : truth.offsets[k + 1]].sum(1)
        present = positives > 0
        part = slice(scored.offsets[k], scored.offsets[k + 1])
        inside = ~outside[:, part] if outside.shape[1] else np.ones((num_views, part.stop - part.start), np.bool_)
        met = _met(events, k, part)
        for m, limit in enumerate(limits):
            within = scored.ranks[part] < limit if limit >= 0 else np.ones(part.stop - part.start, np.bool_)
            if not within.all():
                kept = within[met.at]
                counts, own = inside & within, Met(met.at[kept], met.row[kept], met.cell[kept], met.hit[kept])
            else:
                counts, own = inside, met
            sums, hits = _sums(own, counts, np.repeat(positives, num_thresholds), levels)
            ap[present, m, :, k] = sums.reshape(num_views, -1)[present]
            recalls[present, m, :, k] = hits.reshape(num_views, -1)[present] / positives[present, None]
    return ap, recalls


class Met(NamedTuple):
    """Events of a class, by view and threshold."""

    at: Ints
    """Places of the detections in the class."""
    row: Ints
    """The same of all views end to end."""
    cell: Ints
    """v * T + t."""
    hit: Flags


def _met(events: Events, k: int, part: slice) -> Met:
    """Of class k, whose detections are `part` of all."""
    bounds = events.offsets[k]
    own = slice(bounds[0, 0], bounds[-1, -1])
    cell = np.repeat(np.arange(bounds[:, :-1].size), np.diff(bounds, axis=1).reshape(-1))
    at = events.at[own] - part.start
    rows = at + np.repeat(np.arange(len(bounds)) * (part.stop - part.start), bounds[:, -1] - bounds[:, 0])
    return Met(at, rows, cell, events.hit[own])


def _sums(met: Met, counts: Flags, positives: Ints, levels: Floats) -> tuple[Floats, Ints]:
    """(V * T) average precision and hits.

    counts (V, D of the class): detections that are wrong unless they meet a true box. positives (V * T): true boxes.
    """
    points = np.flatnonzero(met.hit)
    of, cells = met.cell[points], np.arange(len(positives) + 1)
    ends = np.searchsorted(of, cells)
    hits = np.arange(1, len(points) + 1) - ends[of]
    # A detection that met a true box is not wrong any more, and a hit counts whatever its own size.
    changes = np.cumsum(met.hit.view(np.int8) - counts.reshape(-1)[met.row].view(np.int8), dtype=np.int64)
    before = np.concatenate([[0], changes])[np.searchsorted(met.cell, cells)]
    precision = hits / (np.cumsum(counts, axis=1).reshape(-1)[met.row[points]] + changes[points] - before[of])
    for c in np.flatnonzero(np.diff(ends)):
        falling = precision[ends[c] : ends[c + 1]][::-1]
        np.maximum.accumulate(falling, out=falling)
    recall = hits / positives[of]
    reached = np.searchsorted(levels, recall, side="right") if len(levels) else recall
    steps = np.diff(reached, prepend=0)
    begins = ends[:-1][np.diff(ends) > 0]
    steps[begins] = reached[begins]
    return np.bincount(of, precision * steps, minlength=len(positives)) / max(len(levels), 1), np.diff(ends)
