"""Arrays that the compiled functions of this room take together, and short names of their types.

Letters: D detections that are scored, m true boxes, K classes, n images, T IoU thresholds, V views, E events. Views and
events: `headstart.metrics._matching`. Compiled functions take these apart first: reading a field in a loop costs time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Ranked(NamedTuple):
    """The detections that are scored, in order: by class, surest first."""

    order: Rows
    """(D,) rows of the input."""
    offsets: Ints
    """(K + 1,) where each class begins."""
    images: Ints
    """(D,)"""


class TrueBoxes(NamedTuple):
    """True boxes in `_sorting.sorted_truth`'s order."""

    offsets: Ints
    """(K + 1,) where each class begins."""
    images: Ints
    """(m,)"""
    boxes: Floats
    """(m, 4) xyxy."""
    areas: Floats
    """(m,) of the boxes."""
    ignored: Flags
    """(m, V) does not count in that view."""
    region: Flags
    """(m,) overlap with it is measured over the detection's area, and it takes any number of detections."""


class Pairs(NamedTuple):
    """Overlaps that are known already: those of the detection at place p are begins[p]:begins[p + 1]. No begins: the
    overlaps are those of the boxes."""

    begins: Ints
    truth: Rows
    """Places of the true objects."""
    overlaps: Floats


class BoxesByImage(NamedTuple):
    """True boxes in input order, and which are in each image: rows[offsets[i]:offsets[i + 1]]."""

    rows: Ints
    offsets: Ints
    labels: Ints
    boxes: Floats
    areas: Floats
    region: Flags


class Scored(NamedTuple):
    """What counts of the detections that are scored."""

    images: Ints
    """(D,)"""
    offsets: Ints
    """(K + 1,) where each class begins."""
    ranks: Rows
    """(D,) among those of the image and class; empty where no limit asks for them."""


class Events(NamedTuple):
    """Detections that met a true box, as `_matching.match` returns them."""

    at: Rows
    """(E,) places of the detections."""
    hit: Flags
    """(E,)"""
    offsets: Ints
    """(K, V, T + 1)"""


class Counted(NamedTuple):
    """What counts of the true boxes."""

    images: Ints
    """(m,)"""
    offsets: Ints
    """(K + 1,) where each class begins."""
    counted: Flags
    """(V, m)"""
