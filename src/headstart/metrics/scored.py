"""Which detections a protocol scores at all, and which are wrong nowhere.

Letters: n images, m true boxes, d detections, K classes, V views.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.boxes import Detections, Truth
from headstart.metrics.protocols import Rules


def scored_rows(truth: Truth, detections: Detections, rules: Rules) -> NDArray[np.int32] | None:
    """Rows of the detections that are scored, rising; None for all.

    The surest of an image come first (`Rules.max_per_image`), then those of classes that somebody verified in their
    image; a class with a true box there was.
    """
    keep = None
    if rules.max_per_image is not None:
        keep = _surest_of_images(detections, rules.max_per_image)
    if truth.verified is not None and (rules.verified_only or rules.federated):
        verified = truth.verified
        lists = [(verified.absent_offsets, verified.absent)]
        if rules.verified_only:
            lists.append((verified.present_offsets, verified.present))
        known = [truth.image_index * truth.num_classes + truth.labels]
        known += [_pairs(offsets, labels, truth) for offsets, labels in lists]
        rows = np.arange(len(detections.labels)) if keep is None else keep
        keep = rows[np.isin(_asked(detections, truth)[rows], np.concatenate(known))]
    return None if keep is None else keep.astype(np.int32)


def not_wrong(
    truth: Truth, detections: Detections, rules: Rules, outside: NDArray[np.bool_] | None, *, num_views: int
) -> NDArray[np.bool_] | None:
    """(V, d) detections that are ignored in a view unless they meet a true box: those `outside`, those larger than
    anything that counts, and, where that is the rule, those of classes that are not boxed exhaustively in their image.
    None where there are none."""
    everywhere = detections.box_areas > rules.largest_area
    if rules.federated and truth.verified is not None:
        partial = _pairs(truth.verified.partial_offsets, truth.verified.partial, truth)
        everywhere |= np.isin(_asked(detections, truth), partial)
    if not everywhere.any():
        return outside
    return np.tile(everywhere, (num_views, 1)) if outside is None else outside | everywhere


def _surest_of_images(detections: Detections, most: int) -> NDArray[np.int64]:
    """Rows of the `most` surest detections of every image; of equal scores the first."""
    order = np.lexsort((-detections.scores, detections.image_index))
    images = detections.image_index[order]
    begins = np.flatnonzero(np.diff(images, prepend=-1))
    lengths = np.diff(np.append(begins, len(images)))
    rank = np.arange(len(images)) - np.repeat(begins, lengths)
    return np.sort(order[rank < most])


def _asked(detections: Detections, truth: Truth) -> NDArray[np.int64]:
    return detections.image_index * truth.num_classes + detections.labels


def _pairs(offsets: NDArray[np.int64], labels: NDArray[np.int64], truth: Truth) -> NDArray[np.int64]:
    """A number for every image and label listed for it."""
    return np.repeat(np.arange(truth.num_images), np.diff(offsets)) * truth.num_classes + labels
