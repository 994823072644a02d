"""Are images that are near in one network's features near in another's? (finding F3)

Letters: n images, c channels, k neighbors, B bootstrap resamples.

Features are average-pooled maps of the last stage (C5), one row an image, the same images for every network.
Channels are standardized with the images' own mean and standard deviation; the distance is the cosine distance;
an image is left out of its own neighbors; ties go to the lower image index.

The *information imbalance* from space A to space B (Glielmo, Zeni, Cheng, Csanyi, Laio, PNAS Nexus 2022) is
2/n times the mean rank, in B, of each image's first neighbor in A. 1 is chance, 2/n says that A's neighbors are
B's neighbors. The imbalance depends on n, so only numbers of equal n compare. Image weights re-weight the images
whose neighbors are asked for; the neighbors themselves stay those of all n images, so that a resample never makes
an image its own neighbor.

Unequal networks are asymmetric without any difference in kind: noise, which is near to nothing, has no neighbors to
give. So the arm whose neighbors share their image's class more often is compared with itself, made as poor by noise
(`made_as_poor`): a control for arms that are merely weaker, noisier or wider (`benchmarks/asymmetry.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from headstart.errors import DataError
from headstart.stats.bootstrap import weighted_mean_replicates
from headstart.tasks.frozen.nearest import nearest_others, unit_rows

MANY = 50
"""Neighbors of the k-neighbor variant. At small k the overlap of two spaces says little about which holds more."""
AGREEMENT = 10
"""Neighbors whose class and count are compared with the image's own."""
PCA_VARIANCE = 0.9
"""Both spaces keep as many principal components as the narrower one needs for this share of its variance."""
MATCHED_ON = 1000
"""Images, at most, on which the noise of `made_as_poor` is chosen."""
MOST_NOISE = 16.0
"""Standard deviations of a channel."""
_CHUNK_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class Neighbors:
    """Neighbors of n images in several spaces.

    nearest[space] (n, k) int64: indices, nearest first.
    ranks[(a, b)] (n, k) int64: rank in space b (1 = nearest, up to n - 1) of the image's neighbors in space a.
    """

    nearest: dict[str, np.ndarray]
    ranks: dict[tuple[str, str], np.ndarray]


def standardize(features: np.ndarray) -> np.ndarray:
    """(n, c) with mean 0 and standard deviation 1 per channel, float32; a constant channel becomes 0."""
    wide = np.asarray(features, dtype=np.float64)
    centered = wide - wide.mean(axis=0)
    deviation = centered.std(axis=0)
    alive = deviation > 1e-7 * np.abs(wide).max(axis=0)  # what is left of a constant is rounding
    scaled = np.divide(centered, deviation, out=np.zeros_like(centered), where=alive[None, :])
    return scaled.astype(np.float32)


def find_neighbors(spaces: Mapping[str, np.ndarray], pairs: Iterable[tuple[str, str]], k: int = 1) -> Neighbors:
    """The k nearest images (cosine) of every image in each space, and their ranks in the other space of each pair.

    spaces: name -> (n, c) features, used as they come (see `standardize`). k <= n - 1.
    Rows are worked through in chunks: memory grows with n, not with its square.
    Raises DataError when the spaces do not hold the same number of images, or fewer than k + 1.
    """
    pairs = list(pairs)
    units = {name: unit_rows(features, name) for name, features in spaces.items()}
    counts = {name: len(unit) for name, unit in units.items()}
    n = next(iter(counts.values()))
    if len(set(counts.values())) != 1:
        raise DataError(f"neighbors: the networks saw different numbers of images ({counts}). Give the same images.")
    if n < k + 1:
        raise DataError(f"neighbors: {n} images cannot have {k} neighbors each. Give at least {k + 1} images.")
    if not pairs:
        return Neighbors({name: nearest_others(unit, k)[0] for name, unit in units.items()}, {})
    nearest = {name: np.empty((n, k), dtype=np.int64) for name in units}
    ranks = {pair: np.empty((n, k), dtype=np.int64) for pair in pairs}
    targets = {b for _, b in pairs}
    rows_per_chunk = max(1, _CHUNK_ELEMENTS // n)
    for start in range(0, n, rows_per_chunk):
        rows = np.arange(start, min(start + rows_per_chunk, n))
        rank_in = {}
        for name, unit in units.items():
            order = _order(unit, rows)
            nearest[name][rows] = order[:, :k]
            if name in targets:
                rank_in[name] = _ranks_of(order)
        for a, b in pairs:
            ranks[a, b][rows] = np.take_along_axis(rank_in[b], nearest[a][rows], axis=1)
    return Neighbors(nearest, ranks)


def information_imbalance(ranks: np.ndarray) -> float:
    """2/n times the mean rank. ranks (n,) or (n, k): ranks in B of the first (k) neighbors in A. Chance is 1."""
    return float(2.0 / len(ranks) * np.mean(ranks))


def equal_dimension(a: np.ndarray, b: np.ndarray, variance: float = PCA_VARIANCE) -> tuple[np.ndarray, np.ndarray]:
    """Both (standardized) feature sets on their first d principal components, not whitened.

    d is the number of components that keep `variance` in the set that needs fewer: a control for unequal width.
    """
    (scores_a, share_a), (scores_b, share_b) = principal(a), principal(b)
    d = min(int(np.searchsorted(share, variance)) + 1 for share in (share_a, share_b))
    d = max(2, min(d, scores_a.shape[1], scores_b.shape[1]))
    return scores_a[:, :d].astype(np.float32), scores_b[:, :d].astype(np.float32)


def made_as_poor(better: np.ndarray, poorer: np.ndarray, classes: np.ndarray, seed: int = 0) -> np.ndarray:
    """`better` (standardized, (n, c)) with as much noise that its neighbors share their image's class as rarely.

    The noise is normal and equal in all channels; its size is found by halving, on the first `MATCHED_ON` images. None
    is added where the neighbors of `poorer` share the class at least as often.
    """
    part = slice(0, MATCHED_ON)
    noise = np.random.default_rng(seed).standard_normal(better.shape).astype(np.float32)

    def shares(features: np.ndarray) -> float:
        near = find_neighbors({"": features[part]}, [], min(AGREEMENT, len(better) - 1)).nearest[""]
        return float((classes[part][near] == classes[part][:, None]).mean())

    target, low, high = shares(poorer), 0.0, MOST_NOISE
    if shares(better) <= target:
        return better
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if shares(standardize(better + middle * noise)) > target else (low, middle)
    return standardize(better + low * noise)


def measure(
    boxes: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    *,
    classes: np.ndarray,
    counts: np.ndarray,
    random: np.ndarray | None = None,
    early: np.ndarray | None = None,
    queries: int = 6,
    seed: int = 0,
) -> tuple[dict[str, float], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Everything that F3 needs from pooled C5 features of the same images.

    boxes, labels, random, early (n, c): the arms; `early` is the labels arm after a part of its training (control).
    weights (B, n): image weights. classes, counts (n,): main class and its number of instances, for agreement.
    Returns metrics, replicates (B,) under the same names, and examples: `queries` (q,), `nearest/{arm}` (q, 5)
    and `ranks/{a}_to_{b}` (n,), the per-image ranks of first neighbors.

    Names: `imbalance/{a}_to_{b}` (first neighbor, standardized; a, b among boxes, labels and, against labels, random
    and early), `imbalance_noisy/{noisy_to_clean|clean_to_noisy}` (see `made_as_poor`), `imbalance_pca/...` (equal
    dimension), `imbalance_raw/...` (not standardized), `imbalance_k50/...`
    (mean rank of 50 neighbors; only with more than 100 images), `agreement/{class|count}/{arm}` and
    `agreement/{class|count}/chance`; `imbalance/n_images` has no replicates.
    """
    n = len(boxes)
    arms = {"boxes": boxes, "labels": labels, "random": random, "early": early}
    spaces = {name: standardize(features) for name, features in arms.items() if features is not None}
    pairs = [(name, "labels") for name in spaces if name != "labels"]
    pairs += [(b, a) for a, b in pairs]
    k = min(n - 1, MANY if n > 2 * MANY else AGREEMENT)
    main = find_neighbors(spaces, pairs, k)
    both = [("boxes", "labels"), ("labels", "boxes")]
    pca = dict(zip(("boxes", "labels"), equal_dimension(spaces["boxes"], spaces["labels"]), strict=True))
    raw = {"boxes": boxes, "labels": labels}
    per_image = {f"imbalance/{a}_to_{b}": ranks[:, 0] * 2.0 / n for (a, b), ranks in main.ranks.items()}
    for prefix, variant in (("imbalance_pca", pca), ("imbalance_raw", raw)):
        ranks_of = find_neighbors(variant, both).ranks
        per_image |= {f"{prefix}/{a}_to_{b}": ranks_of[a, b][:, 0] * 2.0 / n for a, b in both}
    if k == MANY:
        per_image |= {f"imbalance_k50/{a}_to_{b}": main.ranks[a, b].mean(axis=1) * 2.0 / n for a, b in both}
    for what, values in (("class", np.asarray(classes)), ("count", np.asarray(counts))):
        per_image |= _agreement(what, values, main.nearest)
    per_image |= _with_noise(spaces, np.asarray(classes), per_image, seed)
    metrics = {name: float(np.mean(values)) for name, values in per_image.items()}
    replicates = {name: weighted_mean_replicates(values, weights) for name, values in per_image.items()}
    metrics["imbalance/n_images"] = float(n)
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[:queries])
    examples = {"queries": chosen} | {f"nearest/{name}": near[chosen, :5] for name, near in main.nearest.items()}
    examples |= {f"ranks/{a}_to_{b}": main.ranks[a, b][:, 0] for a, b in main.ranks}
    return metrics, replicates, examples


def _with_noise(
    spaces: Mapping[str, np.ndarray], classes: np.ndarray, agreement: Mapping[str, np.ndarray], seed: int
) -> dict[str, np.ndarray]:
    """Imbalances of the arm with the better neighbors and itself with noise."""
    better, poorer = sorted(("boxes", "labels"), key=lambda arm: -float(agreement[f"agreement/class/{arm}"].mean()))
    noisy = made_as_poor(spaces[better], spaces[poorer], classes, seed)
    pairs = [("noisy", "clean"), ("clean", "noisy")]
    found = find_neighbors({"noisy": noisy, "clean": spaces[better]}, pairs, min(AGREEMENT, len(noisy) - 1))
    arrays = {f"imbalance_noisy/{a}_to_{b}": found.ranks[a, b][:, 0] * 2.0 / len(noisy) for a, b in pairs}
    return arrays | {
        k: v for k, v in _agreement("class", classes, {"noisy": found.nearest["noisy"]}).items() if "noisy" in k
    }


def _order(unit: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """All other images of each row, nearest first (r, n - 1); ties by index, the image itself left out."""
    distance = -(unit[rows] @ unit.T)
    distance[np.arange(len(rows)), rows] = np.inf
    return np.argsort(distance, axis=1, kind="stable")[:, :-1]


def _ranks_of(order: np.ndarray) -> np.ndarray:
    """Rank (1 = nearest) of every image by its index (r, n); the image itself gets 0."""
    ranks = np.zeros((len(order), order.shape[1] + 1), dtype=np.int64)
    np.put_along_axis(ranks, order, np.arange(1, order.shape[1] + 1)[None, :], axis=1)
    return ranks


def principal(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores on all principal components, by falling variance, and the running share of the variance."""
    wide = np.asarray(features, dtype=np.float64)
    centered = wide - wide.mean(axis=0)
    values, vectors = np.linalg.eigh(centered.T @ centered)
    values = np.maximum(values[::-1], 0.0)
    return centered @ vectors[:, ::-1], np.cumsum(values) / max(values.sum(), 1e-30)


def _agreement(what: str, values: np.ndarray, nearest: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Share of an image's neighbors whose class (or count) is its own, per arm, and the share of all other images."""
    _, inverse, sizes = np.unique(values, return_inverse=True, return_counts=True)
    shares = {
        f"agreement/{what}/{name}": (values[near[:, :AGREEMENT]] == values[:, None]).mean(axis=1)
        for name, near in nearest.items()
    }
    return shares | {f"agreement/{what}/chance": (sizes[inverse] - 1.0) / (len(values) - 1.0)}
