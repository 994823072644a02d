"""What is in a data set: counts, sizes, and what they mean for training and for what the test images can show."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotations import Annotations
from headstart.data.boxes import RELATIVE, to_edges
from headstart.data.flags import SPLITS
from headstart.doctor.table import images_of_boxes

INPUT_SIZES = (320, 512, 800, 1333)
"""Longer sides, pixels, that detectors are commonly trained at."""
SMALL = (8, 16, 32)
"""Sides, pixels at the input: below 8 a box is less than a cell of C4; 32 is COCO's bound of small objects."""
PAIRS_SHOWN = 12


@dataclass(frozen=True)
class Histogram:
    """Counts of values between `edges` (one more than counts); both ends gather what lies beyond."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ClassCount:
    """One class: its examples by split, and what the test split can resolve (None without test examples)."""

    name: str
    total: int
    images: int
    by_split: dict[str, int]
    resolves: float | None
    """Half-width of the 95 % interval of a recall of one half on the test examples: smaller gains cannot be seen."""


@dataclass(frozen=True)
class Statistics:
    """All of it, plain. Sizes in pixels; shares are fractions. Histograms are None where there is nothing to count."""

    images_by_split: dict[str, int]
    boxes_by_split: dict[str, int]
    classes: tuple[ClassCount, ...]
    of: str
    """What `classes` counts: boxes, images or masks."""
    image_sizes: tuple[tuple[int, int, int], ...]
    """Most frequent (width, height, images)."""
    box_sides: Histogram | None
    """Square root of the box area, pixels of the original image, by powers of 2."""
    box_shares: Histogram | None
    """Square root of the box area over the image's, by tenths."""
    aspects: Histogram | None
    """log2 of width over height of boxes."""
    instances: Histogram | None
    """Boxes an image."""
    pairs: tuple[tuple[str, str, int], ...]
    """Classes that occur together most often: (class, class, images)."""
    small_at: dict[str, dict[str, float]]
    """Longer side of the input -> bound -> share of boxes smaller than the bound there."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def statistics(table: Annotations, sizes_hw: dict[int, tuple[int, int]] | None = None) -> Statistics:
    """`sizes_hw`: row -> size, of decoded images, for tables that do not know sizes."""
    sizes = table.sizes_hw.copy()
    for row, size in (sizes_hw or {}).items():
        if not sizes[row].any():
            sizes[row] = size
    splits = {name: table.rows_of(name) for name in SPLITS}
    counts = np.diff(table.box_offsets)
    known = sizes.all(1)
    widths_heights, images = np.unique(sizes[known], axis=0, return_counts=True)
    top = np.argsort(-images, kind="stable")[:8]
    box = _boxes(table, sizes)
    return Statistics(
        images_by_split={name or "in no list": len(rows) for name, rows in splits.items() if len(rows)},
        boxes_by_split={name or "in no list": int(counts[rows].sum()) for name, rows in splits.items() if len(rows)},
        classes=_classes(table),
        of="boxes" if table.box_classes else "images",
        image_sizes=tuple((int(widths_heights[k, 1]), int(widths_heights[k, 0]), int(images[k])) for k in top),
        **box,
        instances=_instances(counts[table.boxes_known]),
        pairs=_pairs(table),
    )


def _boxes(table: Annotations, sizes: NDArray[np.int32]) -> dict[str, Any]:
    image = images_of_boxes(table)
    usable = sizes[image].all(1) if table.source_convention in RELATIVE else np.ones(len(image), bool)
    of_image = sizes[image].astype(np.float64)
    xyxy = to_edges(table.boxes_source, table.source_convention, of_image)
    sides = np.clip(xyxy[:, 2:] - xyxy[:, :2], 0, None)
    side, aspect = np.sqrt(sides.prod(1)), None
    drawn = usable & (sides > 0).all(1)
    sized = drawn & of_image.all(1)
    if drawn.any():
        ratio = np.log2(sides[drawn, 0] / sides[drawn, 1])
        aspect = _histogram(ratio, np.arange(-3, 3.25, 0.5))
    share = side[sized] / np.sqrt(of_image[sized].prod(1))
    small: dict[str, dict[str, float]] = {}
    for longer in INPUT_SIZES if sized.any() else ():
        at = side[sized] * longer / of_image[sized].max(1)
        small[str(longer)] = {str(bound): float((at < bound).mean()) for bound in SMALL}
    return {
        "box_sides": _histogram(side[drawn], 2.0 ** np.arange(2, 12)) if drawn.any() else None,
        "box_shares": _histogram(share, np.arange(0, 1.05, 0.1)) if sized.any() else None,
        "aspects": aspect,
        "small_at": small,
    }


def _histogram(values: NDArray[np.floating], edges: NDArray[np.floating]) -> Histogram:
    inside = np.clip(values, edges[0], np.nextafter(edges[-1], edges[0]))
    counts = np.histogram(inside, edges)[0]
    return Histogram(tuple(float(e) for e in edges.round(6)), tuple(counts.tolist()))


def _instances(counts: NDArray[np.int64]) -> Histogram | None:
    if not len(counts):
        return None
    edges = np.array([0, 1, 2, 3, 4, 6, 11, 21, 51], np.float64)
    return _histogram(counts.astype(np.float64), edges)


def _classes(table: Annotations) -> tuple[ClassCount, ...]:
    if table.box_classes:
        names, labels, image = table.box_classes, table.box_labels, images_of_boxes(table)
    elif table.multi_label:
        offsets, labels = table.verified_lists("present")
        names, image = table.image_classes, np.repeat(np.arange(len(table)), np.diff(offsets))
    else:
        image = np.flatnonzero(table.image_labels >= 0)
        names, labels = table.image_classes, table.image_labels[image]
    if not names:
        return ()
    total = np.bincount(labels, minlength=len(names))
    pairs = np.unique(labels.astype(np.int64) * len(table) + image)
    images = np.bincount(pairs // max(len(table), 1), minlength=len(names))
    by_split = {
        name or "in no list": np.bincount(labels[np.isin(image, rows)], minlength=len(names))
        for name in SPLITS
        if len(rows := table.rows_of(name))
    }
    tested = by_split.get("test", by_split.get("val"))
    return tuple(
        ClassCount(
            name,
            int(total[k]),
            int(images[k]),
            {s: int(c[k]) for s, c in by_split.items()},
            resolves=1.96 * math.sqrt(0.25 / int(tested[k])) if tested is not None and tested[k] else None,
        )
        for k, name in enumerate(names)
    )


def _pairs(table: Annotations) -> tuple[tuple[str, str, int], ...]:
    """Over at most 200,000 images, the first ones: what occurs together often shows there."""
    if len(table.box_classes) < 2:
        return ()
    last = min(len(table), 200_000)
    rows = slice(0, int(table.box_offsets[last]))
    keys = np.unique(images_of_boxes(table)[rows] * len(table.box_classes) + table.box_labels[rows])
    image, label = keys // len(table.box_classes), keys % len(table.box_classes)
    from scipy.sparse import coo_array

    seen = coo_array((np.ones(len(keys), np.int64), (image, label)), shape=(last, len(table.box_classes))).tocsr()
    together = (seen.T @ seen).tocoo()
    upper = together.row < together.col
    order = np.argsort(-together.data[upper], kind="stable")[:PAIRS_SHOWN]
    a, b, n = together.row[upper][order], together.col[upper][order], together.data[upper][order]
    return tuple((table.box_classes[i], table.box_classes[j], int(c)) for i, j, c in zip(a, b, n, strict=True))
