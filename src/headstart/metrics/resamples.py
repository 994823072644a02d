"""Average precision and recall of matched detections in every resample of the images, a batch of resamples at a time.

Letters: n images, K classes, T IoU thresholds, V views, B resamples, D detections, E events, as in
`headstart.metrics.matches`. `Matches.ap` takes any weights; here they are whole numbers, such as a bootstrap draws, and
a resample of COCO's validation set costs about two milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.metrics.matches import Matches
from headstart.progress import Counted


@dataclass(frozen=True, eq=False)
class View:
    """What `_resampling.resampled_ap` reads of one view, besides weights and levels."""

    images: NDArray[np.int64]
    class_offsets: NDArray[np.int64]
    event_images: NDArray[np.int64]
    event_rows: NDArray[np.int64]
    event_kinds: NDArray[np.uint8]
    event_offsets: NDArray[np.int64]
    truth: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]
    """Images of the true boxes that count, where each class begins among them, and a 1 for each."""


@dataclass(frozen=True, eq=False)
class Recall:
    """Detections of one view within a limit that are hits, each counted for as many thresholds as it is one at, and the
    true boxes; both as in `View.truth`."""

    hits: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]
    truth: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]
    num_thresholds: int


def view_of(matches: Matches, v: int) -> View:
    """View v; detections that are ignored unless they meet a true box, and never do, are left out."""
    count = len(matches.images)
    inside = np.ones(count, bool) if matches.outside.shape[1] == 0 else ~matches.outside[v]
    before = np.concatenate([[0], np.cumsum(inside)])
    begins = before[matches.class_offsets]
    events, offsets = _events_of(matches, v)
    at, hit = matches.event_at[events], matches.event_hit[events]
    within = inside[at]
    kinds = np.where(hit, np.where(within, 1, 2), 0).astype(np.uint8)
    kept = hit | within
    label = np.searchsorted(matches.class_offsets, at, side="right") - 1
    moved = np.concatenate([[0], np.cumsum(kept)])[offsets]
    return View(
        images=matches.images[inside],
        class_offsets=begins,
        event_images=matches.images[at[kept]],
        event_rows=(before[at + 1] - begins[label])[kept],
        event_kinds=kinds[kept],
        event_offsets=moved,
        truth=_truth_of(matches, v),
    )


def recall_of(matches: Matches, v: int, limit: int) -> Recall:
    """View v with at most `limit` detections of an image and class; -1 for all."""
    events, offsets = _events_of(matches, v)
    at = matches.event_at[events]
    right = matches.event_hit[events]
    if limit >= 0:
        right &= matches.ranks[at] < limit
    counts = np.bincount(at[right], minlength=len(matches.images)).astype(np.int32)
    found = np.flatnonzero(counts)
    hits = matches.images[found], np.searchsorted(found, matches.class_offsets), counts[found]
    return Recall(hits, _truth_of(matches, v), offsets.shape[1] - 1)


def ap_resamples(
    views: Sequence[View], levels: NDArray[np.float64], weights: ArrayLike, progress: Counted | None = None
) -> NDArray[np.float64]:
    """(B, V, T, K) average precision under whole-number weights (B, n); nan where no true box of a class has weight."""
    from headstart.metrics import _resampling as compiled

    rows = np.asarray(weights)
    shape = [view.event_offsets.shape for view in views]
    out = np.empty((len(rows), len(views), shape[0][1] - 1, shape[0][0]))
    for first in range(0, len(rows), compiled.LANES):
        lanes, count = _lanes(rows, first, compiled.LANES)
        for v, view in enumerate(views):
            positives = compiled.weights_of_classes(lanes, *view.truth)
            columns = (view.images, view.class_offsets, view.event_images, view.event_rows, view.event_kinds)
            ap = compiled.resampled_ap(lanes, *columns, view.event_offsets, positives, levels)
            out[first : first + count, v] = ap[:count]
        if progress:
            progress(first + count, len(rows))
    return out


def recall_resamples(recall: Recall, weights: ArrayLike) -> NDArray[np.float64]:
    """(B, K) recall, the mean over the thresholds, under whole-number weights (B, n); nan as above."""
    from headstart.metrics import _resampling as compiled

    rows = np.asarray(weights)
    out = np.full((len(rows), len(recall.truth[1]) - 1), np.nan)
    for first in range(0, len(rows), compiled.LANES):
        lanes, count = _lanes(rows, first, compiled.LANES)
        hits, true = (compiled.weights_of_classes(lanes, *c)[:, :count].T for c in (recall.hits, recall.truth))
        part = out[first : first + count]
        np.divide(hits, true * recall.num_thresholds, out=part, where=true > 0)
    return out


def _lanes(rows: NDArray, first: int, lanes: int) -> tuple[NDArray[np.int32], int]:
    """(n, LANES) weights of the resamples from `first` on, and how many of them there are; those beyond have none."""
    part = rows[first : first + lanes]
    out = np.zeros((rows.shape[1], lanes), np.int32)
    out[:, : len(part)] = part.T
    return out, len(part)


def _events_of(matches: Matches, v: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The events of view v, class by class, and (K, T + 1) where those of each class and threshold are in them."""
    offsets = matches.event_offsets[:, v]
    counts = offsets[:, -1] - offsets[:, 0]
    ends = np.cumsum(counts)
    begins = ends - counts
    events = np.arange(ends[-1] if len(ends) else 0) + np.repeat(offsets[:, 0] - begins, counts)
    return events, offsets - offsets[:, :1] + begins[:, None]


def _truth_of(matches: Matches, v: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    counted = matches.counted[v]
    before = np.concatenate([[0], np.cumsum(counted)])
    return matches.truth_images[counted], before[matches.truth_offsets], np.ones(int(before[-1]), np.int32)
