"""What became of every detection, once and for all: all that image weights can change is how much each counts.

Letters: n images, m true boxes, d detections, D of them that are scored, K classes, T IoU thresholds, V views, L limits
on the detections of an image and class, B weightings, E events. Views and events: `headstart.metrics._matching`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.metrics._columns import Counted, Events, Pairs, Ranked, Scored, TrueBoxes
from headstart.metrics.boxes import CROWD, DIFFICULT, GROUP_OF, Detections, Truth
from headstart.metrics.protocols import Rules
from headstart.metrics.scored import not_wrong, scored_rows

ROWS = 64
"""Weight rows turned to float64 at once: bounds memory on large test sets."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Detections in order with the true boxes that they met. Arrays are as in `_matching` and `_accumulating`.

    order (D,): rows of the detections, by class and score; images, ranks (D,) theirs (ranks: empty where no limit asks
    for them). truth_order (m,): rows of the true boxes by class; truth_images (m,) theirs; counted (V, m) likewise;
    event_truth (E,): places in truth_order.
    """

    num_images: int
    order: NDArray[np.int32]
    class_offsets: NDArray[np.int64]
    images: NDArray[np.int64]
    ranks: NDArray[np.int32]
    limits: NDArray[np.int64]
    outside: NDArray[np.bool_]
    event_at: NDArray[np.int32]
    event_truth: NDArray[np.int32]
    event_hit: NDArray[np.bool_]
    event_offsets: NDArray[np.int64]
    truth_order: NDArray[np.int64]
    truth_offsets: NDArray[np.int64]
    truth_images: NDArray[np.int64]
    counted: NDArray[np.bool_]

    def ap(self, weights: ArrayLike, levels: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(B, V, L, T, K) average precision and recall under weights (B, n); see `_accumulating.weighted_ap`."""
        from headstart.metrics._accumulating import weighted_ap

        rows, columns = self.weight_rows(weights), self._columns()
        parts = [
            weighted_ap(np.ascontiguousarray(rows[i : i + ROWS], dtype=np.float64), *columns, levels)
            for i in range(0, len(rows), ROWS)
        ]
        if not parts:
            views, thresholds = len(self.outside), self.event_offsets.shape[2] - 1
            empty = np.empty((0, views, len(self.limits), thresholds, len(self.class_offsets) - 1))
            return empty, empty.copy()
        return np.concatenate([ap for ap, _ in parts]), np.concatenate([recall for _, recall in parts])

    def ap_of_all(
        self, levels: NDArray[np.float64], compiled: bool = True
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(V, L, T, K) the same where every image counts once. compiled: as in `matched`."""
        if compiled:
            ap, recall = self.ap(np.ones((1, self.num_images)), levels)
            return ap[0], recall[0]
        from headstart.metrics._plain_precision import plain_ap

        return plain_ap(*self._columns(), levels)

    def _columns(self) -> tuple[Scored, NDArray[np.int64], NDArray[np.bool_], Events, Counted]:
        """What average precision is computed from, besides weights and levels."""
        return (
            Scored(self.images, self.class_offsets, self.ranks),
            self.limits,
            self.outside,
            Events(self.event_at, self.event_hit, self.event_offsets),
            Counted(self.truth_images, self.truth_offsets, self.counted),
        )

    def weight_rows(self, weights: ArrayLike) -> NDArray:
        """(B, n) weights. Raises ValueError for another number of images."""
        rows = np.atleast_2d(np.asarray(weights))
        if rows.ndim != 2 or rows.shape[1] != self.num_images:
            raise ValueError(f"weights have shape {rows.shape}; they must be (resamples, {self.num_images} images)")
        return rows

    def counts(self) -> NDArray[np.int64]:
        """(V, K) true boxes that count."""
        sums = np.concatenate([np.zeros((len(self.counted), 1), np.int64), np.cumsum(self.counted, axis=1)], axis=1)
        return np.diff(sums[:, self.truth_offsets], axis=1)


def matched(
    truth: Truth,
    detections: Detections,
    rules: Rules,
    thresholds: NDArray[np.float64],
    *,
    left_out: NDArray[np.bool_] | None = None,
    outside: NDArray[np.bool_] | None = None,
    limits: Sequence[int] | None = None,
    compiled: bool = True,
) -> Matches:
    """Match checked boxes (`check_boxes`) by the rules.

    thresholds (T,): as `Rules.thresholds` gives them. left_out (V, m): true boxes that do not count in a view, besides
    those that never do; one view in which all others count where not given. outside (V, d): detections that are
    ignored in a view unless they meet a true box. limits (L,): how many detections of an image and class count, rising;
    `rules.max_detections` where not given. compiled: whether by compiled code, which is fast once it is loaded; the
    results are the same.
    """
    sorting, matching = _kernels(compiled)

    keep = scored_rows(truth, detections, rules)
    labels, scores, image_index = detections.labels, detections.scores, detections.image_index
    if keep is not None:
        labels, scores, image_index = labels[keep], scores[keep], image_index[keep]
    order, class_offsets = sorting.sorted_detections(
        labels, scores, image_index, truth.num_classes, truth.num_images, rules.ties == "last"
    )
    order = order if keep is None else keep[order]
    most = rules.max_detections if limits is None else max(limits)
    ranks = np.empty(0, dtype=np.int32)
    if most is not None:
        order, class_offsets, ranks = sorting.ranked(
            order, class_offsets, detections.image_index, truth.num_images, most
        )
    truth_order, truth_offsets = sorting.sorted_truth(
        truth.labels, truth.image_index, truth.num_classes, truth.num_images
    )
    region, never = roles(truth, rules)
    outside = not_wrong(truth, detections, rules, outside, num_views=1 if left_out is None else len(left_out))
    ignored = never[:, None] if left_out is None else never[:, None] | left_out.T
    region, ignored, truth_images = region[truth_order], ignored[truth_order], truth.image_index[truth_order]
    true_boxes, true_areas = (column[truth_order] for column in geometry(truth, rules))
    images = detections.image_index[order]
    pairs = Pairs(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0))
    if rules.overlap == "mask":
        pairs = _mask_pairs(
            Ranked(order, class_offsets, images),
            truth,
            detections,
            region,
            truth_order=truth_order,
            offsets=truth_offsets,
        )
    event_at, event_truth, event_hit, event_offsets = matching.match(
        Ranked(order, class_offsets, images),
        *geometry(detections, rules),
        TrueBoxes(truth_offsets, truth_images, true_boxes, true_areas, ignored=ignored, region=region),
        pairs,
        thresholds,
        rules.match == "free",
        truth.num_images,
    )
    return Matches(
        num_images=truth.num_images,
        order=order,
        class_offsets=class_offsets,
        images=images,
        ranks=ranks,
        limits=np.array([-1] if limits is None else limits, dtype=np.int64),
        outside=np.zeros((ignored.shape[1], 0), np.bool_) if outside is None else np.take(outside, order, axis=1),
        event_at=event_at,
        event_truth=event_truth,
        event_hit=event_hit,
        event_offsets=_per_view(event_offsets, ignored.shape[1]),
        truth_order=truth_order,
        truth_offsets=truth_offsets,
        truth_images=truth_images,
        counted=np.ascontiguousarray(~ignored.T),
    )


def _kernels(compiled: bool) -> tuple[Any, Any]:
    """The modules that sort and match."""
    if compiled:
        from headstart.metrics import _matching, _sorting

        return _sorting, _matching
    from headstart.metrics import _plain_matching

    return _plain_matching, _plain_matching


def _per_view(offsets: NDArray[np.int64], num_views: int) -> NDArray[np.int64]:
    """(K, V, T + 1) from the (K, V * T + 1) cells of every class: a view ends where the next one begins."""
    num_thresholds = (offsets.shape[1] - 1) // num_views
    begins = np.arange(num_views)[:, None] * num_thresholds
    return np.ascontiguousarray(offsets[:, begins + np.arange(num_thresholds + 1)])


def roles(truth: Truth, rules: Rules) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(m,) boxes that are regions, and boxes that never count."""
    crowd = (truth.flags & (CROWD | GROUP_OF)) != 0
    ignored = np.zeros(len(crowd), dtype=np.bool_)
    if rules.difficult == "ignored":
        ignored |= (truth.flags & DIFFICULT) != 0
    if rules.crowd in ("ignored", "region"):
        ignored |= crowd
    ignored |= truth.areas > rules.largest_area
    region = crowd if rules.crowd in ("region", "once") else np.zeros(len(crowd), dtype=np.bool_)
    return region, ignored


def geometry(table: Truth | Detections, rules: Rules) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """xyxy and areas of the boxes as the rules measure them."""
    if not rules.extra_width:
        return table.boxes_xyxy, table.box_areas
    boxes = table.boxes_xyxy + np.array([0.0, 0.0, rules.extra_width, rules.extra_width])
    return boxes, (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def own_areas(detections: Detections, rules: Rules) -> NDArray[np.float64]:
    """(d,) areas of the detections as area ranges see them: of their boxes, or of their masks."""
    if rules.overlap == "mask" and detections.masks is not None:
        return detections.masks.areas
    return detections.box_areas


def _mask_pairs(
    ranked: Ranked,
    truth: Truth,
    detections: Detections,
    region: NDArray[np.bool_],
    *,
    truth_order: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> Pairs:
    """Overlaps of masks. region, in the order `truth_order`, whose classes begin at `offsets`."""
    from headstart.metrics._mask_overlaps import mask_overlaps

    if truth.masks is None or detections.masks is None:
        raise ValueError("overlaps of masks need masks of the true objects and of the detections")
    own, true = detections.masks, truth.masks
    images = truth.image_index[truth_order]
    return Pairs(
        *mask_overlaps(
            *ranked,
            own.counts,
            own.offsets,
            truth_order,
            offsets,
            images,
            true.counts,
            true.offsets,
            region,
            truth.num_images,
        )
    )
