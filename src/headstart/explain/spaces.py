"""Does it matter how nearness is measured? Information imbalance under two distances and three scalings of channels.

Letters: n images, c channels, B resamples. The imbalance is that of `headstart.explain.neighbors`, of first neighbors.

    raw            channels as they are: those that vary most decide
    standardized   every channel with mean 0 and deviation 1: what is said elsewhere
    whitened       every direction with deviation 1, so that channels that say the same count once: the first principal
                   components, which hold 90 % of the variance of the standardized channels, but no more than a quarter
                   as many as images: with as many, all images would be equally far from one another

under the cosine and the Euclidean distance. Raw cosine is taken from the origin, as features come.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from headstart.explain.neighbors import PCA_VARIANCE, principal, standardize
from headstart.stats.bootstrap import weighted_mean_replicates

DISTANCES = ("cosine", "euclidean")
SCALINGS = ("raw", "standardized", "whitened")
WAYS = ("a_to_b", "b_to_a", "a_less_b")
IMAGES_PER_COMPONENT = 4
ROWS = 512

Floats = NDArray[np.float64]


def scaled(features: NDArray[np.floating], scaling: str) -> Floats:
    """(n, d) features under one of `SCALINGS`."""
    if scaling == "raw":
        return np.asarray(features, np.float64)
    standard = standardize(features).astype(np.float64)
    return standard if scaling == "standardized" else whiten(standard)


def whiten(features: NDArray[np.floating]) -> Floats:
    """(n, d) scores on the first principal components, each with deviation 1."""
    scores, share = principal(features)
    kept = int(np.searchsorted(share, PCA_VARIANCE)) + 1
    kept = max(1, min(kept, len(features) // IMAGES_PER_COMPONENT, scores.shape[1]))
    return scores[:, :kept] / np.maximum(scores[:, :kept].std(0), 1e-12)


def nearness(space: Floats, rows: slice, distance: str) -> Floats:
    """(r, n): of each row the greater the nearer an image is; the image itself -inf."""
    product = space[rows] @ space.T
    if distance == "cosine":
        norms = np.maximum(np.linalg.norm(space, axis=1), 1e-12)
        product /= norms[rows, None] * norms
    else:
        product -= np.square(space).sum(1) / 2  # falls with the squared distance: |x - y|^2 = |x|^2 - 2 product
    product[np.arange(len(product)), np.arange(len(space))[rows]] = -np.inf
    return product


def first_ranks(a: Floats, b: Floats, distance: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each image (n,) the rank in b of its first neighbor in a, and the rank in a of that in b; 1 is the nearest, of
    equal ones the first."""
    n = len(a)
    ranks = np.empty((2, n), np.int64)
    for start in range(0, n, ROWS):
        rows = slice(start, min(start + ROWS, n))
        near = [nearness(space, rows, distance) for space in (a, b)]
        for k, (own, other) in enumerate((near, near[::-1])):
            first = own.argmax(1)[:, None]
            at = np.take_along_axis(other, first, 1)
            before = (other > at) | ((other == at) & (np.arange(n) < first))
            ranks[k, rows] = 1 + before.sum(1)
    return ranks[0], ranks[1]


def imbalances(
    a: Mapping[str, NDArray[np.floating]], b: Mapping[str, NDArray[np.floating]], weights: NDArray[np.integer]
) -> tuple[dict[str, float], dict[str, Floats]]:
    """`choice/STAGE/SCALING/DISTANCE/WAY` of every stage that both have, and replicates under image weights (B, n).

    a, b: stage -> (n, channels), finite, of the same three images or more. A stage that is the same for every image in
    one of them is left out.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for stage in [name for name in a if name in b]:
        if not all(standardize(of[stage]).any() for of in (a, b)):
            continue
        for scaling in SCALINGS:
            spaces = scaled(a[stage], scaling), scaled(b[stage], scaling)
            for distance in DISTANCES:
                there, back = (2.0 / len(spaces[0]) * of for of in first_ranks(*spaces, distance))
                values = zip(WAYS, (there, back, there - back), strict=True)
                found |= {f"choice/{stage}/{scaling}/{distance}/{way}": of for way, of in values}
    metrics = {name: float(values.mean()) for name, values in found.items()}
    return metrics, {name: weighted_mean_replicates(values, weights) for name, values in found.items()}
