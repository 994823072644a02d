"""Average precision of detections by named protocols, and its replicates under image weights.

Letters: n images, m true boxes, d detections, K classes, T IoU thresholds, B resamples.

`headstart.metrics.protocols` defines the protocols. A mean (mAP) runs over the classes with at least one true box that
counts. Detections on images without true boxes are false positives. Scores are never rounded; equal scores are taken in
the order of images, then of input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.metrics.averages import mean_of_present
from headstart.metrics.boxes import CROWD, DIFFICULT, GROUP_OF, Detections, Truth, Verified, check_boxes
from headstart.metrics.match_table import match_table
from headstart.metrics.matches import Matches, matched
from headstart.metrics.protocols import COCO_THRESHOLDS, PROTOCOLS, Protocol, Rules, rules_of

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "COCO_THRESHOLDS",
    "CROWD",
    "DIFFICULT",
    "GROUP_OF",
    "PROTOCOLS",
    "APResult",
    "Detections",
    "PrecisionRecall",
    "Protocol",
    "Rules",
    "Truth",
    "Verified",
    "average_precision",
]


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall of one class at one IoU threshold after each of its detections, surest first.

    recall, precision, scores (p,): one point a detection; ignored ones have none. precision as it is, without envelope.
    """

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    scores: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class APResult:
    """Average precision, fractions 0..1.

    protocol: its name, or the rules where those were given. ap (T, K): nan where no true box of the class counts.
    map (T,): mean over the other classes, nan without any. recall (T, K): share of the true boxes that all detections
    together find. counts (K,) int64: true boxes that count.
    """

    protocol: str | Rules
    iou_thresholds: tuple[float, ...]
    ap: NDArray[np.float64]
    map: NDArray[np.float64]
    recall: NDArray[np.float64]
    counts: NDArray[np.int64]
    matches: Matches = field(repr=False)
    truth: Truth = field(repr=False)
    detections: Detections = field(repr=False)

    def ap_replicates(self, weights: ArrayLike) -> NDArray[np.float64]:
        """(B, T, K) AP with image i counted weights[b, i] times; nan where no true box of the class has weight.

        weights (B, n): not negative, in the order of the image indices. The same as evaluating the images repeated
        (copies of an image being neighbors among equal scores), without matching again.
        """
        return self.matches.ap(weights, rules_of(self.protocol).levels())[0][:, 0, 0]

    def replicates(self, weights: ArrayLike) -> NDArray[np.float64]:
        """(B, T) mAP under image weights (B, n). A class without weight is left out of that resample's mean."""
        return mean_of_present(self.ap_replicates(weights))

    def curve(self, label: int, threshold: int = 0) -> PrecisionRecall:
        """Precision over recall of class `label` at the threshold of that index."""
        table = self.matches
        begin, stop = table.class_offsets[label], table.class_offsets[label + 1]
        first, last = table.event_offsets[label, 0, threshold], table.event_offsets[label, 0, threshold + 1]
        hit = np.zeros(stop - begin, dtype=bool)
        shown = ~table.outside[0, begin:stop] if table.outside.shape[1] else np.ones(stop - begin, dtype=bool)
        at, right = table.event_at[first:last] - begin, table.event_hit[first:last]
        hit[at], shown[at] = right, right
        hits = np.cumsum(hit[shown])
        recall = hits / self.counts[label] if self.counts[label] else np.full(len(hits), np.nan)
        precision = hits / np.arange(1, len(hits) + 1)
        return PrecisionRecall(recall, precision, self.detections.scores[table.order[begin:stop][shown]])

    def match_table(self) -> pyarrow.Table:
        """What became of every detection; columns: `headstart.metrics.match_table`."""
        return match_table(
            self.truth, self.detections, self.matches, rules_of(self.protocol), iou_thresholds=self.iou_thresholds
        )


def average_precision(
    truth: Truth,
    detections: Detections,
    protocol: Protocol | Rules = "voc-area",
    iou_thresholds: Sequence[float] = (0.5, 0.7),
    *,
    compiled: bool = True,
) -> APResult:
    """AP of every class at every IoU threshold, by a named protocol or by any other rules.

    compiled: whether by compiled code, which is fast once it is loaded (half a second) and was compiled on this machine
    (some seconds); the numbers are the same.

    Raises DataError for boxes, labels, image indices or scores that do not hold together (`check_boxes`), ValueError
    for an unknown protocol or a threshold outside (0, 1].
    """
    rules = rules_of(protocol)
    thresholds = rules.thresholds(iou_thresholds)
    check_boxes(truth, detections)
    matches = matched(truth, detections, rules, thresholds, compiled=compiled)
    ap, recall = (values[0, 0] for values in matches.ap_of_all(rules.levels(), compiled))
    return APResult(
        protocol=protocol,
        iou_thresholds=tuple(float(t) for t in iou_thresholds),
        ap=ap,
        map=mean_of_present(ap),
        recall=recall,
        counts=matches.counts()[0],
        matches=matches,
        truth=truth,
        detections=detections,
    )
