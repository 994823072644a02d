"""Small-object augmentation (Kisantal et al., arXiv 1902.07296): images with small objects come more often, and small
objects are copied, with their outline, to free places of their image.

Letters: n images, m boxes, s objects that can be copied, p pastes. What is pasted follows from (seed, epoch, place of
the image in the set) and is planned before chips are laid, so that these hold the pasted boxes as all others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.batches.batch import NOT_TRAINED_ON
from headstart.batches.chips.pasting import Chances, Objects, hull_of, paste, places
from headstart.data import rle
from headstart.data.annotations import Annotations
from headstart.data.flags import OCCLUDED, TRUNCATED
from headstart.data.masks import outline_runs
from headstart.errors import DataError, UsageError


@dataclass(frozen=True)
class SmallObjects:
    """What is done for small objects: boxes with a square root of the area below `below` pixels of the original image.

    Raises UsageError for values that mean nothing.
    """

    below: float = 32.0
    repeats: int = 1
    """How often the chips of an image with a small object come in an epoch."""
    copies: int = 0
    """How often each small object with an outline is pasted, in an image that has pastes in this epoch."""
    share: float = 0.5
    """Of the images with such objects, drawn anew in every epoch: these have pastes. Where all have, the paper measured
    no gain (Sec. 6.2); its best setting is half."""
    scale: tuple[float, float] = (0.8, 1.2)
    """Sides of pastes are multiplied by a number from here to here."""
    turn: float = 15.0
    """Degrees, at most, by which pastes are turned, either way."""
    at_most: int = 30
    """Pastes in an image."""

    def __post_init__(self) -> None:
        low, high = self.scale
        for good, what in (
            (self.below > 0, f"below = {self.below}: a size in pixels, above 0"),
            (self.repeats >= 1, f"repeats = {self.repeats}: 1 (as often as other images) or more"),
            (self.copies >= 0, f"copies = {self.copies}: 0 (none) or more"),
            (0 < self.share <= 1, f"share = {self.share}: above 0, at most 1"),
            (0 < low <= high < math.inf, f"scale = {self.scale}: two factors above 0, the smaller one first"),
            (0 <= self.turn <= 180, f"turn = {self.turn}: 0 to 180 degrees"),
            (self.at_most >= 1, f"at_most = {self.at_most}: 1 or more"),
        ):
            if not good:
                raise UsageError(f"small objects: {what} is needed.")

    def repeated(self, images: NDArray[np.integer], small: NDArray[np.bool_]) -> tuple[NDArray, NDArray]:
        """Chips of an epoch (c',), and of which image in which repetition each is (c',), ascending, numbered so that
        the repetitions of an image are arranged as other images are: far from each other.

        images (c,): row of each chip's image. small (n,): images with a small object.
        """
        again = np.flatnonzero(small[images])
        chips = np.concatenate([np.arange(len(images)), *[again] * (self.repeats - 1)]).astype(np.int32)
        times = np.concatenate([np.zeros(len(images), np.int64), np.repeat(np.arange(1, self.repeats), len(again))])
        return chips, images[chips] + times * len(small)


@dataclass(frozen=True, eq=False)
class Pastes:
    """The p pastes of an epoch, by image."""

    offsets: NDArray[np.int64]
    """(n + 1,)"""
    rows: NDArray[np.int64]
    """(p,) row of the box that is copied, in the table of annotations."""
    labels: NDArray[np.int64]
    """(p,)"""
    affines: NDArray[np.float64]
    """(p, 6) a b c d e f: (x, y) of the object is pasted at (a x + b y + c, d x + e y + f)."""
    xyxy: NDArray[np.float64]
    """(p, 4) around the pasted object, pixels of the original image."""


def small_rows(annotations: Annotations, below: float) -> NDArray[np.int64]:
    """Rows of the small boxes that are trained on, clipped to their images. Raises DataError when there is none."""
    image = np.repeat(np.arange(len(annotations)), np.diff(annotations.box_offsets))
    clipped = np.clip(annotations.boxes_xyxy, 0, annotations.sizes_hw[image][:, [1, 0, 1, 0]])
    root = np.sqrt((clipped[:, 2:] - clipped[:, :2]).prod(1))
    trained = (root > 0) & ((annotations.box_flags & NOT_TRAINED_ON) == 0)
    rows = np.flatnonzero(trained & (root < below))
    if not len(rows):
        least = f"the smallest is {root[trained].min():.4g}" if trained.any() else "there is none at all"
        raise DataError(
            f"{annotations.root}: no box is small, below {below:g} pixels (square root of the area); {least}. "
            "Set `below` to suit these images, or leave small-object augmentation out."
        )
    return rows


def images_of(annotations: Annotations, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of the image of each of these boxes."""
    return np.searchsorted(annotations.box_offsets, rows, side="right") - 1


class CopyPaste:
    """Plans the pastes of every epoch, and draws them. rows: `small_rows`.

    Objects are copied that have an outline in one piece and are not flagged as occluded or truncated: parts with a gap
    between them look strange elsewhere (Sec. 4). Raises DataError when there is none, and for damaged outlines.
    """

    def __init__(self, annotations: Annotations, rows: NDArray[np.int64], settings: SmallObjects, seed: int) -> None:
        self.annotations, self.settings, self.seed = annotations, settings, seed
        whole = rows[(annotations.box_flags[rows] & (OCCLUDED | TRUNCATED)) == 0]
        where = zip(images_of(annotations, whole).tolist(), whole.tolist(), strict=True)
        hulls = [_hull(annotations, i, row) for i, row in where]
        outlined = np.array([len(hull) > 0 for hull in hulls], bool)
        if not outlined.any():
            raise DataError(
                f"{annotations.root}: none of {len(rows)} objects below {settings.below:g} pixels has an outline in "
                "one piece, so none can be copied. Use a data set with an outline for each object, such as COCO or "
                "LVIS, or set `copies` to 0."
            )
        self.rows = whole[outlined]
        """(s,)"""
        self.offsets = np.searchsorted(self.rows, annotations.box_offsets)
        self.hulls = np.concatenate(hulls)
        self.hull_offsets = np.concatenate([[0], np.cumsum([len(hull) for hull in hulls if len(hull)])])

    def plan(self, epoch: int) -> Pastes:
        """The pastes of an epoch: inside their images, over no box, a flagged one included, and not over each other."""
        settings, table = self.settings, self.annotations
        (low, high), turn = settings.scale, math.radians(settings.turn)
        often = settings.copies, settings.at_most, float(settings.share)
        state = np.uint64(np.random.SeedSequence([self.seed, 6, epoch]).generate_state(1, np.uint64)[0])
        objects, affines, xyxy, counts = places(
            Objects(self.offsets, self.hulls, self.hull_offsets),
            np.ascontiguousarray(table.boxes_xyxy),
            np.asarray(table.box_offsets, np.int64),
            table.sizes_hw.astype(np.float64),
            state,
            Chances(*often, low=float(low), high=float(high), turn=turn),
        )
        rows = self.rows[objects]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Pastes(offsets, rows, table.box_labels[rows].astype(np.int64), affines, xyxy)

    def drawn(self, image: NDArray[np.uint8], i: int, pastes: Pastes) -> NDArray[np.uint8]:
        """Image i (h, w, 3) with its pastes."""
        rows = range(int(pastes.offsets[i]), int(pastes.offsets[i + 1]))
        out = image.copy() if len(rows) else image
        size_hw = self.annotations.size_hw(i)
        for k in rows:
            mask = rle.union(outline_runs(self.annotations, i, int(pastes.rows[k]), size_hw), size_hw)
            paste(image, mask, np.array(pastes.affines[k]), np.array(pastes.xyxy[k]), out)
        return out


def _hull(annotations: Annotations, i: int, row: int) -> NDArray[np.float64]:
    """Corners (k, 2) of the hull of a box's outline; none where it has no outline in one piece."""
    if annotations.outline(row) is None:
        return np.zeros((0, 2))
    size = annotations.size_hw(i)
    return hull_of(rle.merge(outline_runs(annotations, i, row, size), size), size[0])
