"""Are images that are near for one network near for another, whichever two networks these are?

Letters: n images, c channels, B resamples. Pooled features of the last stage, channels standardized, cosine distance,
exact, as in `headstart.explain.neighbors`, which says what the information imbalance is. Here neither network has a
role: they are `a` and `b`, and may have different widths and architectures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from headstart.errors import DataError
from headstart.explain.neighbors import AGREEMENT, find_neighbors, standardize
from headstart.explain.similarity import hubness
from headstart.stats.bootstrap import weighted_mean_replicates

FEWEST = 3
"""Images that an image can have a nearer and a farther neighbor among."""
SHOWN = 8
"""Neighbors of each image that are kept for the report."""
KS = (1, 2, 5, 10, 20, 50)
"""Numbers of neighbors whose overlap is measured, where there are twice as many images."""
POINTS = 24
"""Of the curve of ranks, evenly spaced in the logarithm of the rank."""


@dataclass(frozen=True)
class Likeness:
    """metrics; their replicates (B,); arrays for the report; `said`: what could not be measured, in sentences."""

    metrics: dict[str, float] = field(default_factory=dict)
    replicates: dict[str, np.ndarray] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def likeness(a: np.ndarray, b: np.ndarray, weights: np.ndarray, classes: np.ndarray) -> Likeness:
    """Neighbors of the same images in the features a (n, c) and b (n, c').

    weights (B, n): how often each image is asked for in a resample; neighbors stay those among all images. classes (n,)
    int: the class of each image, -1 where it has none.

    Metrics with replicates: `imbalance/a_to_b`, `imbalance/b_to_a` (1 is chance, 2/n the least), and their difference
    `imbalance/a_less_b`; `overlap/k5`, ..: share of the k nearest that both have in common; `agreement/class/a`,
    `.../b`, `.../chance`: share of the 10 nearest that have the image's class. Without: `imbalance/n_images`,
    `overlap_chance/k5`, ..; `hubness/skewness/a`, `hubness/never/a`, `.../b`: see `headstart.explain.similarity`, of
    the 10 nearest, where there are twice as many images.
    Raises DataError for features that are not finite.
    Arrays: `nearest_a`, `nearest_b` (n, 8) images, nearest first; `ranks_a` (n, 8): rank in b of a's neighbors, and
    `ranks_b`; `curve/rank` (p,), `curve/a_to_b` (p,): share of images whose first neighbor in a has at most this rank
    in b, and `curve/b_to_a`.
    """
    n = len(a)
    for name, features in (("a", a), ("b", b)):  # standardizing would make a constant of such a channel
        if len(bad := np.flatnonzero(~np.isfinite(features).all(axis=1))):
            raise DataError(
                f"neighbors: features of {name!r} are not finite (first at image {bad[0]}). Check these weights."
            )
    if n < FEWEST:
        return Likeness(said=[f"Neighbors need {FEWEST} images or more, and there are {n}: nothing is said of them."])
    spaces = {name: standardize(features) for name, features in (("a", a), ("b", b))}
    still = [name for name, space in spaces.items() if not space.any()]
    if still:
        return Likeness(
            said=[
                f"The last stage of {{{name}}} gives every image the same features, so no image is nearer than another."
                for name in still
            ]
        )
    pairs = [("a", "b"), ("b", "a")]
    ks = [k for k in KS if 2 * k < n]
    found = find_neighbors(spaces, pairs, min(n - 1, max(SHOWN, AGREEMENT, *ks)))
    per_image = {f"imbalance/{x}_to_{y}": found.ranks[x, y][:, 0] * 2.0 / n for x, y in pairs}
    per_image["imbalance/a_less_b"] = per_image["imbalance/a_to_b"] - per_image["imbalance/b_to_a"]
    per_image |= {f"overlap/k{k}": (found.ranks["a", "b"][:, :k] <= k).mean(1) for k in ks}
    said = []
    known = np.asarray(classes) >= 0
    if len(np.unique(np.asarray(classes)[known])) > 1:
        per_image |= _agreement(found.nearest, np.asarray(classes), known)
    else:
        what = "all have one class" if known.any() else "no class of an image is known"
        said.append(f"Whether neighbors share a class cannot be said: {what}.")
    metrics = {name: float(np.nanmean(values)) for name, values in per_image.items()}
    metrics |= {f"overlap_chance/k{k}": k / (n - 1) for k in ks} | {"imbalance/n_images": float(n)}
    if AGREEMENT in ks:
        for name, near in found.nearest.items():
            skewness, never = hubness(near, AGREEMENT)
            metrics |= {f"hubness/never/{name}": never} | (
                {f"hubness/skewness/{name}": skewness} if np.isfinite(skewness) else {}
            )
    replicates = {name: weighted_mean_replicates(values, weights) for name, values in per_image.items()}
    arrays: dict[str, np.ndarray] = {f"nearest_{x}": found.nearest[x][:, :SHOWN].astype(np.int32) for x, _ in pairs}
    arrays |= {f"ranks_{x}": found.ranks[x, y][:, :SHOWN].astype(np.int32) for x, y in pairs}
    ranks = np.unique(np.round(np.geomspace(1, n - 1, POINTS))).astype(np.int64)
    arrays["curve/rank"] = ranks
    arrays |= {f"curve/{x}_to_{y}": (found.ranks[x, y][:, :1] <= ranks).mean(0) for x, y in pairs}
    return Likeness(metrics, replicates, arrays, said)


def _agreement(nearest: dict[str, np.ndarray], classes: np.ndarray, known: np.ndarray) -> dict[str, np.ndarray]:
    """Per image (n,), nan where its class is not known; chance: the share of all other images that have it."""
    shares = {
        f"agreement/class/{name}": (classes[near[:, :AGREEMENT]] == classes[:, None]).mean(1)
        for name, near in nearest.items()
    }
    sizes = np.bincount(classes[known])
    others = np.where(known, (sizes[np.maximum(classes, 0)] - 1.0) / (len(classes) - 1.0), np.nan)
    return {name: np.where(known, values, np.nan) for name, values in shares.items()} | {
        "agreement/class/chance": others
    }
