"""Which images does each of two trained models get right, by what is in the images?

Letters: n images, N those of all folds, S seeds, B resamples. Scores are those of the task
(`headstart.tasks.protocol.TrainedTask.score`), of one image alone, or of all images of a bin together: average
precision of detections, mean IoU, right or wrong. They describe these models on these images; whether one kind of
pre-training is worse on small or many objects than its general weakness explains is another question
(`headstart.explain.composition`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.batches.image_sets import ImageSet
from headstart.stats.bootstrap import weighted_mean_replicates
from headstart.tasks.folds import errors_of_folds, score_folds
from headstart.tasks.protocol import Arrays, Task, TrainedTask

BINS = 5
"""By number and by size of objects, each with about as many images: what is many, and small, is up to the data."""
RESAMPLES = 100
"""Of the images of a bin, for the interval of the difference; percentiles need no more to be read as a picture."""
TIE = 1e-6
"""Scores that differ by less are level."""


@dataclass(frozen=True)
class Contents:
    """Of each image (n,): number of its objects, their mean share of the image (0 without), and its class.

    label: of the image itself; else the class that most of its objects have (the first of several); -1: none.
    """

    counts: np.ndarray
    mean_area: np.ndarray
    label: np.ndarray
    classes: tuple[str, ...]


def contents_of(images: ImageSet, most: int) -> Contents:
    """Of the first `most` images of a set; boxes of every kind count, difficult ones and crowds, too."""
    n = min(len(images), most)
    offsets = np.asarray(images.box_offsets[: n + 1])
    boxes = np.asarray(images.boxes_xyxy[: offsets[-1]], np.float64)
    shown = np.full((n, 2), images.images.shape[1:3]) if images.shown_hw is None else images.shown_hw[:n]
    owner = np.repeat(np.arange(n), np.diff(offsets))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / shown.prod(1)[owner]
    counts = np.bincount(owner, minlength=n)
    mean_area = np.bincount(owner, areas, minlength=n) / np.maximum(counts, 1)
    labels = np.asarray(images.image_labels[:n], np.int64)
    if (labels >= 0).any() or not len(images.box_classes):
        return Contents(counts, mean_area, labels, tuple(map(str, images.image_classes)))
    table = np.zeros((n, len(images.box_classes)), np.int64)
    np.add.at(table, (owner, np.asarray(images.box_labels[: offsets[-1]])), 1)
    return Contents(counts, mean_area, np.where(counts > 0, table.argmax(1), -1), tuple(map(str, images.box_classes)))


class Answers:
    """What the models of one candidate said with one seed, of the images of all folds, one fold after the other."""

    def __init__(self, task: Task, predictions: Sequence[Arrays], sets: Sequence[ImageSet], protocol: str) -> None:
        """predictions: one a fold; of a probe one of all folds together."""
        self._task, self._predictions, self._sets, self._protocol = task, predictions, sets, protocol
        self._metric = task.ranked_by(protocol)[0]

    def under(self, weights: np.ndarray) -> np.ndarray:
        """(R,) the task's first metric under image weights (R, N); nan where it has no value."""
        if not isinstance(self._task, TrainedTask):
            return weighted_mean_replicates(self._predictions[0]["correct"], weights)
        _, drawn = score_folds(self._task, self._predictions, self._sets, weights, protocol=self._protocol)
        return drawn[self._metric]

    def errors(self, weights: np.ndarray) -> Arrays:
        """(R,) what errors of each kind come to under image weights (R, N); empty where kinds are not told apart."""
        if not isinstance(self._task, TrainedTask):
            return {}
        return errors_of_folds(self._task, self._predictions, self._sets, weights, protocol=self._protocol)

    def of_each(self) -> np.ndarray:
        """(N,) of each image by itself; nan where an image alone has no value."""
        if not isinstance(self._task, TrainedTask):
            return np.asarray(self._predictions[0]["correct"], np.float64)
        parts = []
        for said, images in zip(self._predictions, self._sets, strict=True):
            alone = np.eye(len(images), dtype=np.uint16)
            parts.append(self._task.score([said], [images], alone, self._protocol)[1][self._metric])
        return np.concatenate(parts)

    def in_bins(self, bins: np.ndarray, num_bins: int, weights: np.ndarray) -> np.ndarray:
        """(num_bins, 1 + B) of the images of each bin together, then its replicates: bins (N,), weights (B, N)."""
        members = bins == np.arange(num_bins)[:, None]
        rows = np.concatenate([np.concatenate([m[None], weights * m]) for m in members]).astype(np.uint16)
        return self.under(rows).reshape(num_bins, -1)


def bins_of(contents: Contents) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By `count` and by `area`: the edges (bins + 1,) of at most `BINS` bins, at quantiles of the images with objects,
    the last without end, and the bin (n,) of each image, -1 for those without objects; nothing where none has any. A
    bin owns its lower edge."""
    has = contents.counts > 0
    found = {}
    for name, values in (("count", contents.counts), ("area", contents.mean_area)) if has.any() else ():
        inner = np.quantile(values[has], np.arange(BINS) / BINS, method="higher")
        edges = np.append(np.unique(inner.astype(np.float64)), np.inf)
        found[name] = edges, np.where(has, np.searchsorted(edges, values, side="right") - 1, -1)
    return found


def curves(a: np.ndarray, b: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Of the scores (S, bins, 1 + B) of both: `n`, `a`, `b` (bins,) means over seeds, and `lo`, `hi` of the difference
    (percentiles over resamples of the images; models are as they are). counts (bins,): images."""
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a bin may have no value in any seed or resample
        means = [np.nanmean(of, axis=0) for of in (a, b)]
        lo, hi = np.nanpercentile((means[0] - means[1])[:, 1:], [2.5, 97.5], axis=1)
    return {"n": counts, "a": means[0][:, 0], "b": means[1][:, 0], "lo": lo, "hi": hi}


def outcomes(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """From the scores (S, n) of both: mean over the images that both have a score of, and who is ahead in how many."""
    of_a, of_b = mean_of_seeds(a), mean_of_seeds(b)
    both = np.isfinite(of_a) & np.isfinite(of_b)
    difference = (of_a - of_b)[both]
    if not both.any():
        return {"images/scored": 0.0}
    return {
        "images/scored": float(both.sum()),
        "images/mean_a": float(of_a[both].mean()),
        "images/mean_b": float(of_b[both].mean()),
        "images/ahead_a": float((difference > TIE).sum()),
        "images/ahead_b": float((difference < -TIE).sum()),
    }


def mean_of_seeds(scores: np.ndarray) -> np.ndarray:
    """(n,) means of (S, n) over the seeds that have a value, nan where none has."""
    present = np.isfinite(scores)
    total = np.where(present, scores, 0.0).sum(0)
    return np.divide(total, present.sum(0), out=np.full(scores.shape[1], np.nan), where=present.any(0))


def strongest(predictions: Arrays, canvases_hw: np.ndarray, most: int, least: float) -> Mapping[str, np.ndarray]:
    """The surest detections of every image, at most `most` each with scores of at least `least`, for pictures.

    canvases_hw (n, 2): size of the prepared images in pixels of the originals (`ImageSet.canvases_hw`).

    Returns `index` (d,), `boxes` (d, 4) uint16 in thousandths of width and height, `scores` (d,), `labels` (d,).
    """
    order = np.lexsort((-predictions["scores"], predictions["image_index"]))
    index = np.asarray(predictions["image_index"])[order]
    starts = np.searchsorted(index, index, side="left")
    kept = order[(np.arange(len(order)) - starts < most) & (predictions["scores"][order] >= least)]
    index = np.asarray(predictions["image_index"])[kept]
    scale = np.asarray(canvases_hw, np.float64)[index][:, [1, 0, 1, 0]]
    boxes = np.clip(np.asarray(predictions["boxes_xyxy"], np.float64)[kept] / scale, 0, 1)
    return {
        "index": index.astype(np.int32),
        "boxes": np.round(1000 * boxes).astype(np.uint16),
        "scores": np.asarray(predictions["scores"])[kept].astype(np.float32),
        "labels": np.asarray(predictions["labels"])[kept].astype(np.int32),
    }
