"""Average precision of parts of a test set: by area, by number of objects, by any grouping of images or of objects.

Letters: G groups, n images, m true boxes, d detections, K classes, T IoU thresholds, B resamples.

A part of the *images* is evaluated as if there were no others. A part of the *objects* is evaluated as COCO does its
area ranges: true boxes outside it do not count, and a detection that meets one is ignored. A detection that meets no
true box has no object whose group it could take. Where detections have groups of their own (area: that of their box) it
is wrong in its own group and ignored in the others; else it is wrong in every group, so that groups are compared under
the same false positives, and each AP is lower than the whole's.

A group without a true box that counts has no value (nan), not 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.metrics.average_precision import APResult
from headstart.metrics.averages import mean_of_present
from headstart.metrics.matches import Matches, matched, own_areas
from headstart.metrics.protocols import rules_of
from headstart.metrics.resamples import ap_resamples, view_of


@dataclass(frozen=True)
class Bin:
    """A named interval, low <= value < high: it owns its lower edge."""

    name: str
    low: float
    high: float


AREA_BINS = (Bin("small", 0, 32.0**2), Bin("medium", 32.0**2, 96.0**2), Bin("large", 96.0**2, inf))
"""Square pixels. COCO's own ranges (`headstart.metrics.coco`) have the same edges and include both."""
COUNT_BINS = (Bin("1", 1, 2), Bin("2-3", 2, 4), Bin("4-7", 4, 8), Bin("8+", 8, inf))
"""True boxes that count in an image, of all classes together."""


@dataclass(frozen=True, eq=False)
class GroupedAP:
    """Average precision of every group, fractions 0..1.

    ap (G, T, K): nan where no true box of the class counts in the group. map (G, T): mean over the other classes, nan
    without any. counts (G, K) int64: true boxes that count.
    """

    names: tuple[str, ...]
    iou_thresholds: tuple[float, ...]
    ap: NDArray[np.float64]
    map: NDArray[np.float64]
    counts: NDArray[np.int64]
    matches: Matches = field(repr=False)
    levels: NDArray[np.float64] = field(repr=False)
    images: NDArray[np.bool_] | None = field(repr=False)
    """(G, n) which images belong to each group, where images are grouped."""

    def replicates(self, weights: ArrayLike) -> NDArray[np.float64]:
        """(B, G, T) mAP of every group with image i counted weights[b, i] times; quickly where those are whole."""
        rows = self.matches.weight_rows(weights)
        if rows.dtype.kind in "iu" and self.images is None:
            views = [view_of(self.matches, v) for v in range(len(self.names))]
            return mean_of_present(ap_resamples(views, self.levels, rows))
        if rows.dtype.kind in "iu" and self.images is not None:
            parts = [ap_resamples([view_of(self.matches, 0)], self.levels, rows * members) for members in self.images]
            return mean_of_present(np.concatenate(parts, axis=1))
        return mean_of_present(_ap(self.matches, self.levels, self.images, rows))


def in_bins(values: ArrayLike, bins: Sequence[Bin]) -> NDArray[np.int64]:
    """Index of the bin that each value lies in; -1 none. Raises ValueError where bins overlap."""
    numbers = np.asarray(values, dtype=np.float64)
    out = np.full(numbers.shape, -1, dtype=np.int64)
    for k, part in enumerate(bins):
        inside = (numbers >= part.low) & (numbers < part.high)
        if (out[inside] >= 0).any() or any(part.low < b.high and b.low < part.high for b in bins[:k]):
            raise ValueError(f"bin {part.name!r} ({part.low:g} to {part.high:g}) overlaps one before it")
        out[inside] = k
    return out


def ap_by_image(result: APResult, groups: ArrayLike, names: Sequence[str]) -> GroupedAP:
    """AP of groups of images. groups (n,): index into names; -1: in no group."""
    table, group_of = result.matches, _group_column(groups, result.truth.num_images, "image", names)
    images = group_of == np.arange(len(names))[:, None]
    counts = np.zeros((len(names), result.truth.num_classes), dtype=np.int64)
    labels = np.repeat(np.arange(result.truth.num_classes), np.diff(table.truth_offsets))
    of_truth = group_of[table.truth_images]
    kept = table.counted[0] & (of_truth >= 0)
    np.add.at(counts, (of_truth[kept], labels[kept]), 1)
    return _grouped(result, table, images, counts, names=names)


def ap_by_object(
    result: APResult, groups: ArrayLike, names: Sequence[str], detection_groups: ArrayLike | None = None
) -> GroupedAP:
    """AP of groups of true boxes. groups (m,): index into names; -1: in no group. detection_groups (d,): likewise, for
    detections that meet no true box; without it such a detection is wrong in every group."""
    rules, group_of = rules_of(result.protocol), _group_column(groups, len(result.truth.labels), "true box", names)
    index, outside = np.arange(len(names))[:, None], None
    if detection_groups is not None:
        outside = _group_column(detection_groups, len(result.detections.labels), "detection", names) != index
    thresholds = rules.thresholds(result.iou_thresholds)
    table = matched(result.truth, result.detections, rules, thresholds, left_out=group_of != index, outside=outside)
    return _grouped(result, table, None, table.counts(), names=names)


def ap_by_area(result: APResult, bins: Sequence[Bin] = AREA_BINS) -> GroupedAP:
    """AP by the area of the objects (`Truth.areas`); of wrong detections, by that of their boxes."""
    names = [part.name for part in bins]
    areas, found = result.truth.areas, own_areas(result.detections, rules_of(result.protocol))
    return ap_by_object(result, in_bins(areas, bins), names, in_bins(found, bins))


def ap_by_count(result: APResult, bins: Sequence[Bin] = COUNT_BINS) -> GroupedAP:
    """AP of images by how many true boxes that count they have, of all classes together."""
    table = result.matches
    counts = np.bincount(table.truth_images[table.counted[0]], minlength=result.truth.num_images)
    return ap_by_image(result, in_bins(counts, bins), [part.name for part in bins])


def _grouped(
    result: APResult,
    table: Matches,
    images: NDArray[np.bool_] | None,
    counts: NDArray[np.int64],
    *,
    names: Sequence[str],
) -> GroupedAP:
    levels = rules_of(result.protocol).levels()
    ap = _ap(table, levels, images, np.ones((1, table.num_images)))[0]
    return GroupedAP(
        tuple(names),
        result.iou_thresholds,
        ap,
        mean_of_present(ap),
        counts=counts,
        matches=table,
        levels=levels,
        images=images,
    )


def _ap(
    table: Matches, levels: NDArray[np.float64], images: NDArray[np.bool_] | None, weights: NDArray
) -> NDArray[np.float64]:
    """(B, G, T, K)"""
    if images is None:
        return table.ap(weights, levels)[0][:, :, 0]
    if weights.ndim != 2 or weights.shape[1] != images.shape[1]:
        raise ValueError(f"weights have shape {weights.shape}; they must be (resamples, {images.shape[1]} images)")
    parts = [table.ap(weights * members, levels)[0][:, 0, 0] for members in images]
    return np.stack(parts, axis=1)


def _group_column(groups: ArrayLike, length: int, what: str, names: Sequence[str]) -> NDArray[np.int64]:
    column = np.asarray(groups)
    if column.shape != (length,) or not len(names):
        raise ValueError(f"groups have shape {column.shape}; give one for every {what} ({length}), and a name or more")
    if column.size and (column.dtype.kind not in "iu" or column.min() < -1 or column.max() >= len(names)):
        raise ValueError(f"groups of a {what} must be whole numbers from -1 (none) to {len(names) - 1}")
    return column.astype(np.int64)
