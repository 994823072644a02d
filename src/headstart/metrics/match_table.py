"""The match table: for each detection which true box it met at which IoU, and what became of it at each threshold.

One row a detection, in input order. Columns; `t` is a threshold as in `0.5` or `0.75`:

| column | type | |
|---|---|---|
| `detection` | int64 | row of the detection |
| `image`, `label` | int64 | its image and class |
| `score` | float64 | |
| `truth` | int64 or null | the true box of its image and class that it overlaps most, taken or not |
| `iou` | float64 | the IoU with that box, 0 where there is none; over the detection's area where the box is a region |
| `truth@t` | int64 or null | the true box that it met |
| `iou@t` | float64 or null | the IoU with that one, likewise |
| `fate@t` | string (dictionary) | `hit`, `miss`, `ignored`, or `left-out` (beyond the limit, or a class not verified) |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.metrics._columns import BoxesByImage
from headstart.metrics.boxes import Detections, Truth
from headstart.metrics.matches import Matches, geometry, roles
from headstart.metrics.protocols import Rules

if TYPE_CHECKING:
    import pyarrow

FATES = ("miss", "hit", "ignored", "left-out")
MISS, HIT, IGNORED, LEFT_OUT = range(4)


def match_table(
    truth: Truth, detections: Detections, matches: Matches, rules: Rules, *, iou_thresholds: tuple[float, ...]
) -> pyarrow.Table:
    """The table of one evaluation, from the fields of its `APResult`."""
    import pyarrow as pa

    which, overlap = closest(truth, detections, rules)
    columns = {
        "detection": pa.array(np.arange(len(detections.scores))),
        "image": pa.array(detections.image_index),
        "label": pa.array(detections.labels),
        "score": pa.array(detections.scores),
        "truth": pa.array(which[:, 0], mask=which[:, 0] < 0),
        "iou": pa.array(overlap[:, 0]),
    }
    for t, threshold in enumerate(iou_thresholds):
        fate, met = fates(matches, len(detections.scores), t)
        iou = overlaps(truth, detections, rules, met)
        columns[f"truth@{threshold:g}"] = pa.array(met, mask=met < 0)
        columns[f"iou@{threshold:g}"] = pa.array(iou, mask=met < 0)
        columns[f"fate@{threshold:g}"] = pa.DictionaryArray.from_arrays(pa.array(fate), pa.array(FATES))
    return pa.table(columns)


def fates(matches: Matches, count: int, threshold: int) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """(count,) index into FATES of each of all detections, in input order, and (count,) the row of the true box it met;
    -1 none."""
    fate = np.full(count, LEFT_OUT, dtype=np.int8)
    met = np.full(len(fate), -1, dtype=np.int64)
    fate[matches.order] = MISS
    if matches.outside.shape[1]:
        fate[matches.order[matches.outside[0]]] = IGNORED
    first, last = matches.event_offsets[:, 0, threshold], matches.event_offsets[:, 0, threshold + 1]
    events = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)] or [np.empty(0, np.int64)])
    rows = matches.order[matches.event_at[events]]
    fate[rows] = np.where(matches.event_hit[events], HIT, IGNORED)
    met[rows] = matches.truth_order[matches.event_truth[events]]
    return fate, met


def closest(truth: Truth, detections: Detections, rules: Rules) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(d, 2) rows and (d, 2) overlaps, by the rules, of the nearest true boxes: of the same class, of another."""
    from headstart.metrics import _matching

    by_image = np.argsort(truth.image_index, kind="stable")
    offsets = np.searchsorted(truth.image_index[by_image], np.arange(truth.num_images + 1))
    boxes, areas = geometry(truth, rules)
    region = roles(truth, rules)[0]
    true_boxes = BoxesByImage(by_image, offsets, truth.labels, boxes, areas=areas, region=region)
    return _matching.closest(detections.image_index, detections.labels, *geometry(detections, rules), true_boxes)


def overlaps(truth: Truth, detections: Detections, rules: Rules, met: NDArray[np.int64]) -> NDArray[np.float64]:
    """(d,) overlap, by the rules, of every detection with the true box met[i]; nan where that is -1."""
    boxes, areas = geometry(detections, rules)
    true_boxes, true_areas = geometry(truth, rules)
    rows = np.flatnonzero(met >= 0)
    a, b = boxes[rows], true_boxes[met[rows]]
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    both = np.where((sides > 0).all(1), sides.prod(1), 0.0)
    region = roles(truth, rules)[0][met[rows]]
    out = np.full(len(met), np.nan)
    out[rows] = both / np.where(region, areas[rows], areas[rows] + true_areas[met[rows]] - both)
    return out
