"""What about an image makes one network's probe wrong more often than the other's? (findings F4b and F4c)

Letters: n images, m objects, K classes, B bootstrap resamples.

For each arm the log-odds that its probe is right (`headstart.explain.log_odds`) are a linear function of the number of
instances of the image's main class and of the log of their area (share of the image), with one constant per class. The
arms are compared by these slopes. At equal *total* area, does one more instance cost the boxes arm more (its slope on
the count is lower, F4b)? At equal count, does a smaller instance (its slope on log area is higher, F4c)? Total area
must be held fixed for the former: more instances of one size are more evidence. Images take part when their class has
images of more than one count and of more than one area; where there is no such class, as in data of one object an
image, those of one count do, for F4c alone: at equal count they are.

A constant number of log-odds is not all that an arm can lack: features with more noise flatten every slope. So each
arm is measured a second time, `odds_matched`, with both equally often right: the probe of the arm that is right more
often is fitted on fewer images (`headstart.explain.matching`), and its slopes are interpolated between the two numbers
of images whose probes stand on either side. An interaction must be seen there, too; `benchmarks/interactions.py` has
what either comparison says of arms that are weaker, noisier, wider or less trained, and of true interactions.

Alternatives, listed beforehand: `odds_p`, matched likewise, with the probability of the true class in place of right or
wrong. Beside: `odds_same_size/count`, the slope on the count where the area of one instance is held fixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from headstart.errors import DataError
from headstart.explain.log_odds import slopes
from headstart.explain.matching import Answers, mixture, share_right
from headstart.explain.smooth import smooth

COUNT_EDGES = (1.0, 2.0, 3.0, 4.0, 5.0, np.inf)
AREA_EDGES = (0.0, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, np.inf)
"""Bins own their lower edge."""


@dataclass(frozen=True)
class Composition:
    """What is in each image, each (n,): instances of the main class, their mean and total area (share of the image)."""

    counts: np.ndarray
    mean_area: np.ndarray
    total_area: np.ndarray


@dataclass(frozen=True)
class BinnedCurve:
    """A mean per bin, None where a bin is empty. edges (bins + 1), n (bins,) images, low included, high not."""

    edges: tuple[float, ...]
    n: tuple[int, ...]
    mean: tuple[float | None, ...]


def main_class_composition(
    image_labels: np.ndarray, box_labels: np.ndarray, box_offsets: np.ndarray, box_areas: np.ndarray
) -> Composition:
    """Count and area of the objects of each image's own class.

    image_labels (n,); box_labels (m,); box_offsets (n + 1); box_areas (m,): share of the image, 0 to 1. An image
    without an object of its class has count 0 and areas 0.
    """
    owner = np.repeat(np.arange(len(image_labels)), np.diff(box_offsets))
    main = box_labels == np.asarray(image_labels)[owner]
    counts = np.bincount(owner[main], minlength=len(image_labels))
    total = np.bincount(owner[main], weights=box_areas[main], minlength=len(image_labels))
    return Composition(counts, total / np.maximum(counts, 1), total)


def visible_areas(instances: np.ndarray, box_offsets: np.ndarray) -> np.ndarray:
    """Share of the image that each object shows: instances (n, H, W), value k = the image's k-th box -> (m,)."""
    areas = np.zeros(int(box_offsets[-1]))
    pixels = instances.shape[1] * instances.shape[2]
    for image, (start, stop) in enumerate(pairwise(box_offsets)):
        counts = np.bincount(np.asarray(instances[image]).ravel(), minlength=stop - start + 1)
        areas[start:stop] = counts[1 : stop - start + 1] / pixels
    return areas


def usable_images(classes: np.ndarray, counts: np.ndarray, areas: np.ndarray, *, counted: bool = True) -> np.ndarray:
    """(n,) bool: images with an object, of a class whose such images differ in area, and if `counted` in count."""
    usable = (counts >= 1) & (areas > 0) & (classes >= 0)
    for label in np.unique(classes[usable]):
        members = usable & (classes == label)
        if (counted and np.ptp(counts[members]) == 0) or np.ptp(areas[members]) == 0:
            usable &= ~members
    return usable


def binned(values: np.ndarray, by: np.ndarray, edges: tuple[float, ...]) -> BinnedCurve:
    """Mean of values (n,) per bin of by (n,); values outside all bins are left out."""
    place = np.searchsorted(edges, by, side="right") - 1
    members = [place == b for b in range(len(edges) - 1)]
    means = tuple(float(values[m].mean()) if m.any() else None for m in members)
    return BinnedCurve(tuple(edges), tuple(int(m.sum()) for m in members), means)


def measure(
    arms: Mapping[str, Sequence[Answers]], classes: np.ndarray, composition: Composition, *, weights: np.ndarray
) -> tuple[dict[str, float], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Everything that F4b and F4c need.

    arms: "boxes" and "labels" -> answers of the arm's probe, then of its probes fitted on fewer and fewer images (as
    many as `headstart.explain.matching.weakened` made). classes (n,) image labels (-1: none); weights (B, n).
    Metrics with replicates, each after `{arm}/`: `odds/count` (log-odds an instance), `odds/log_area` (log-odds per
    e-fold of instance area), `odds_matched/...`, `odds_p/...` of both, `odds_same_size/count`; absent when they cannot
    be told apart, or matched (a replicate is NaN where that is so in its resample). Without replicates:
    `odds/n_images`, `odds/top1`, `odds_matched/top1` (of both), `odds_matched/train_images`.
    Examples: `curve/{count|area}/edges`, `.../n`, `.../top1_{arm}`, `.../log_loss_{arm}` (NaN: empty bin); smooth
    curves (`headstart.explain.smooth`); `table/{mean|total}/{n|arm}`, share right by count (rows) and by the mean area
    of an instance, or by their total area (columns); and the regressors per image, `count`, `mean_area`, `used`.
    Raises DataError when the arrays are not of one length.
    """
    n = len(classes)
    lengths = {len(a.correct) for ladder in arms.values() for a in ladder} | {len(composition.counts)}
    if lengths != {n} or np.shape(weights)[1] != n:
        raise DataError(f"composition: {n} classes but arrays of {sorted(lengths)} images. Use one set for all.")
    counts, classes = np.asarray(composition.counts, dtype=np.float64), np.asarray(classes)
    used = usable_images(classes, counts, composition.mean_area)
    counted = bool(used.any())
    if not counted:
        used = usable_images(classes, counts, composition.mean_area, counted=False)
    target = min(share_right(ladder[0]) for ladder in arms.values())
    metrics: dict[str, float] = {}
    replicates: dict[str, np.ndarray] = {}
    for arm, ladder in arms.items():
        metrics |= {f"{arm}/odds/n_images": float(used.sum()), f"{arm}/odds/top1": share_right(ladder[0])}
        if not used.any():
            continue
        one = _Slopes(classes[used], counts[used] if counted else None, composition, used, weights=weights[:, used])
        found = {"odds": one.of(ladder[0].correct)}
        if counted:
            found["odds_same_size"] = {"count": one.at_same_size(ladder[0].correct)}
        if parts := mixture(ladder, target):
            metrics[f"{arm}/odds_matched/top1"] = target
            metrics[f"{arm}/odds_matched/train_images"] = sum(share * a.train_images for share, a in parts)
            found["odds_matched"] = _mixed([(share, one.of(a.correct)) for share, a in parts])
            found["odds_p"] = _mixed([(share, one.of(np.exp(-a.log_loss))) for share, a in parts])
        for prefix, named in found.items():
            for name, (point, drawn) in named.items():
                if np.isfinite(point):
                    metrics[f"{arm}/{prefix}/{name}"] = float(point)
                    replicates[f"{arm}/{prefix}/{name}"] = drawn
    examples = _curves({arm: ladder[0] for arm, ladder in arms.items()}, counts, composition.mean_area)
    if counted and len(arms) > 1:
        right = {arm: np.asarray(ladder[0].correct)[used] for arm, ladder in arms.items()}
        areas = composition.mean_area[used], composition.total_area[used]
        examples |= smooth(right, classes[used], counts[used], areas, weights=weights[:, used])
    examples |= _tables({arm: ladder[0] for arm, ladder in arms.items()}, counts, composition)
    examples |= {"count": counts, "mean_area": np.asarray(composition.mean_area), "used": used}
    return metrics, replicates, examples


_Slope = tuple[float, np.ndarray]
"""A slope and its replicates (B,)."""


class _Slopes:
    """Slopes of answers to the same images in use. counts: None where they are the same within every class."""

    def __init__(
        self, classes: np.ndarray, counts: np.ndarray | None, of: Composition, used: np.ndarray, *, weights: np.ndarray
    ) -> None:
        self.classes, self.weights, self.used, self.counted = classes, weights, used, counts is not None
        by_count = [] if counts is None else [counts]
        self.at_total = np.column_stack([*by_count, np.log(of.total_area[used])])
        self.at_mean = np.column_stack([*by_count, np.log(of.mean_area[used])])

    def of(self, right: np.ndarray) -> dict[str, _Slope]:
        """On the count at equal total area, where it varies, and on log area at equal count."""
        if not self.counted:
            return {"log_area": self._slope(right, self.at_mean, 0)}
        return {"count": self._slope(right, self.at_total, 0), "log_area": self._slope(right, self.at_mean, 1)}

    def at_same_size(self, right: np.ndarray) -> _Slope:
        """On the count at equal area of an instance."""
        return self._slope(right, self.at_mean, 0)

    def _slope(self, right: np.ndarray, x: np.ndarray, column: int) -> _Slope:
        point, drawn = slopes(right[self.used], self.classes, x, self.weights)
        return float(point[column]), drawn[:, column]


def _mixed(parts: Sequence[tuple[float, dict[str, _Slope]]]) -> dict[str, _Slope]:
    return {
        name: (
            sum(share * named[name][0] for share, named in parts),
            np.sum([share * named[name][1] for share, named in parts], axis=0),
        )
        for name in parts[0][1]
    }


def _tables(answers: Mapping[str, Answers], counts: np.ndarray, of: Composition) -> dict[str, np.ndarray]:
    """Two-way, (counts, areas): images, and share right of each arm, nan in an empty cell."""
    arrays: dict[str, np.ndarray] = {}
    shape = len(COUNT_EDGES) - 1, len(AREA_EDGES) - 1
    row = np.searchsorted(COUNT_EDGES, counts, side="right") - 1
    for name, areas in (("mean", of.mean_area), ("total", of.total_area)):
        column = np.searchsorted(AREA_EDGES, areas, side="right") - 1
        known = (row >= 0) & (row < shape[0]) & (column < shape[1])
        cell = (row * shape[1] + column)[known]
        n = np.bincount(cell, minlength=shape[0] * shape[1])
        arrays[f"table/{name}/n"] = n.reshape(shape)
        for arm, answered in answers.items():
            right = np.bincount(cell, np.asarray(answered.correct, np.float64)[known], minlength=len(n))
            arrays[f"table/{name}/{arm}"] = np.divide(right, n, out=np.full(len(n), np.nan), where=n > 0).reshape(shape)
    return arrays


def _curves(answers: Mapping[str, Answers], counts: np.ndarray, areas: np.ndarray) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    has_object = counts >= 1
    for name, by, edges in (("count", counts, COUNT_EDGES), ("area", areas, AREA_EDGES)):
        for arm, answered in answers.items():
            for measure_name, values in (("top1", answered.correct), ("log_loss", answered.log_loss)):
                curve = binned(np.asarray(values, dtype=np.float64)[has_object], by[has_object], edges)
                means = [np.nan if mean is None else mean for mean in curve.mean]
                arrays[f"curve/{name}/{measure_name}_{arm}"] = np.array(means)
                arrays |= {f"curve/{name}/edges": np.array(edges), f"curve/{name}/n": np.array(curve.n)}
    return arrays
