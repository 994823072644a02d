"""What about an image makes one network's probe worse than the other's? (findings F4b and F4c)

Letters: n images, m objects, K classes, B bootstrap resamples.

For every image, d is the loss of the boxes arm's probe less that of the labels arm's. It is regressed on the number
of instances of the image's main class and on the log of their mean area (share of the image), jointly, with one
constant per class: at equal area, does one more instance cost the boxes arm more (count > 0, F4b), and at equal
count, does a smaller instance (log area < 0, F4c)? Area must be in the model: more instances also mean more evidence.
Images take part when their class has images of more than one count and of more than one area.

Alternatives, listed beforehand: `coef_total`, the total area of the instances in place of their mean area;
`coef_top1`, the 0/1 error in place of the log-loss (the signs predicted are the same).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from headstart.errors import DataError

COUNT_EDGES = (1.0, 2.0, 3.0, 4.0, 5.0, np.inf)
AREA_EDGES = (0.0, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, np.inf)
"""Bins own their lower edge."""
_CHUNK_RESAMPLES = 256


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


def usable_images(classes: np.ndarray, counts: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """(n,) bool: images with an object, of a class whose such images differ in count and in area."""
    usable = (counts >= 1) & (areas > 0) & (classes >= 0)
    for label in np.unique(classes[usable]):
        members = usable & (classes == label)
        if np.ptp(counts[members]) == 0 or np.ptp(areas[members]) == 0:
            usable &= ~members
    return usable


def coefficients(d: np.ndarray, classes: np.ndarray, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted least squares of d on p regressors and one constant per class, for every row of weights.

    d (n,), classes (n,) int, x (n, p), weights (B, n) >= 0. Returns (B, p), NaN where the regressors do not vary
    independently within classes. Class constants are taken out exactly (Frisch, Waugh, Lovell): per resample only
    p x p normal equations of class-centered sums are solved.
    """
    _, group = np.unique(classes, return_inverse=True)
    one_hot = np.eye(int(group.max()) + 1)[group]
    table = np.column_stack([x, d]).astype(np.float64)
    # Centering first changes nothing in exact arithmetic and keeps the differences of sums below well conditioned.
    table -= (one_hot.T @ table / one_hot.sum(axis=0)[:, None])[group]
    q = table.shape[1]
    products = np.einsum("ni,nj->nij", table, table).reshape(len(d), q * q)
    sums_of = np.concatenate([(one_hot[:, :, None] * table[:, None, :]).reshape(len(d), -1), one_hot], axis=1)
    slopes = np.empty((len(weights), q - 1))
    for start in range(0, len(weights), _CHUNK_RESAMPLES):
        w = np.asarray(weights[start : start + _CHUNK_RESAMPLES], dtype=np.float64)
        sums = w @ sums_of
        of_class = sums[:, : -one_hot.shape[1]].reshape(len(w), -1, q)
        size = np.maximum(sums[:, -one_hot.shape[1] :], 1e-300)
        between = np.einsum("bki,bkj->bij", of_class / size[:, :, None], of_class)
        within = (w @ products).reshape(-1, q, q) - between
        slopes[start : start + len(w)] = _solve(within[:, :-1, :-1], within[:, :-1, -1])
    return slopes


def binned(values: np.ndarray, by: np.ndarray, edges: tuple[float, ...]) -> BinnedCurve:
    """Mean of values (n,) per bin of by (n,); values outside all bins are left out."""
    place = np.searchsorted(edges, by, side="right") - 1
    members = [place == b for b in range(len(edges) - 1)]
    means = tuple(float(values[m].mean()) if m.any() else None for m in members)
    return BinnedCurve(tuple(edges), tuple(int(m.sum()) for m in members), means)


def measure(
    loss: dict[str, np.ndarray],
    correct: dict[str, np.ndarray],
    classes: np.ndarray,
    composition: Composition,
    *,
    weights: np.ndarray,
) -> tuple[dict[str, float], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Everything that F4b and F4c need.

    loss, correct: "boxes" and "labels" -> (n,), log-loss (nats) and whether the first class was right; classes (n,)
    image labels (-1: none); weights (B, n).
    Metrics with replicates: `coef/count` (nats an instance), `coef/log_area` (nats per e-fold of mean instance
    area), `coef_total/...`, `coef_top1/...`; absent when they cannot be told apart (a replicate is NaN where that is so
    in its resample). Without replicates: `coef/n_images`.
    Examples: `curve/{count|area}/edges`, `.../n`, `.../top1_{arm}`, `.../log_loss_{arm}` (NaN: empty bin), and the
    regressors and differences per image, `count`, `mean_area`, `d_log_loss`, `d_error`, `used`.
    Raises DataError when the arrays are not of one length.
    """
    n = len(classes)
    lengths = {len(a) for a in (*loss.values(), *correct.values(), composition.counts, composition.mean_area)}
    if lengths != {n} or np.shape(weights)[1] != n:
        raise DataError(f"composition: {n} classes but arrays of {sorted(lengths)} images. Use one set for all.")
    counts, classes = np.asarray(composition.counts, dtype=np.float64), np.asarray(classes)
    d_loss = np.asarray(loss["boxes"], dtype=np.float64) - loss["labels"]
    d_error = np.asarray(correct["labels"], dtype=np.float64) - np.asarray(correct["boxes"], dtype=np.float64)
    used = usable_images(classes, counts, composition.mean_area)
    metrics: dict[str, float] = {"coef/n_images": float(used.sum())}
    replicates: dict[str, np.ndarray] = {}
    variants = {
        "coef": (d_loss, composition.mean_area),
        "coef_total": (d_loss, composition.total_area),
        "coef_top1": (d_error, composition.mean_area),
    }
    for prefix, (d, area) in variants.items() if used.any() else ():
        x = np.column_stack([counts[used], np.log(area[used])])
        point = coefficients(d[used], classes[used], x, np.ones((1, int(used.sum()))))[0]
        resampled = coefficients(d[used], classes[used], x, weights[:, used])
        if np.isfinite(point).all():
            for column, name in enumerate(("count", "log_area")):
                metrics[f"{prefix}/{name}"] = float(point[column])
                replicates[f"{prefix}/{name}"] = resampled[:, column]
    examples = _curves(loss, correct, counts, composition.mean_area)
    examples |= {"count": counts, "mean_area": np.asarray(composition.mean_area)}
    return metrics, replicates, examples | {"d_log_loss": d_loss, "d_error": d_error, "used": used}


def _curves(
    loss: dict[str, np.ndarray], correct: dict[str, np.ndarray], counts: np.ndarray, areas: np.ndarray
) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    has_object = counts >= 1
    for name, by, edges in (("count", counts, COUNT_EDGES), ("area", areas, AREA_EDGES)):
        for measure_name, arms in (("top1", correct), ("log_loss", loss)):
            for arm, values in arms.items():
                curve = binned(np.asarray(values, dtype=np.float64)[has_object], by[has_object], edges)
                means = [np.nan if mean is None else mean for mean in curve.mean]
                arrays[f"curve/{name}/{measure_name}_{arm}"] = np.array(means)
                arrays |= {f"curve/{name}/edges": np.array(edges), f"curve/{name}/n": np.array(curve.n)}
    return arrays


def _solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (B, p, p) symmetric, b (B, p) -> (B, p); NaN where a is singular for practical purposes."""
    scale = np.sqrt(np.maximum(np.einsum("bii->bi", a), 0.0))
    safe = np.where(scale > 0, scale, 1.0)
    correlation = a / (safe[:, :, None] * safe[:, None, :])
    singular = (scale == 0).any(axis=1) | (np.linalg.det(correlation) < 1e-9)
    correlation[singular] = np.eye(a.shape[1])
    solution = np.linalg.solve(correlation, (b / safe)[:, :, None])[:, :, 0] / safe
    solution[singular] = np.nan
    return solution
