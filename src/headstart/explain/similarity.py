"""How alike are the stages of two networks, whatever their widths? CKA and Procrustes of pooled features.

Letters: n images, c and d channels, K and L the (n, n) inner products of the images in both spaces.

**CKA** (Kornblith, Norouzi, Lee, Hinton, ICML 2019), linear kernel, is HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)). Of few
images and many channels the usual estimate is near 1 for any two networks; here HSIC is the unbiased one (Song, Smola,
Gretton, Bedo, Borgwardt, JMLR 2012, eq. 5), so independent spaces have CKA 0 on average, and a value below 0 is noise.
It weighs directions by their variance: a few strong ones decide it.

**Procrustes** (Williams, Kunz, Kornblith, Linderman, NeurIPS 2021): of centered features of unit size, how well the one
fits the other after the best rotation: the sum of the singular values of the product of both, 1 for spaces that are
equal up to rotation, translation and scale. Independent spaces do not have 0: `chance` is what images in another order
give.

**Hubness** (Radovanovic, Nanopoulos, Ivanovic, JMLR 2010): skewness of how often an image is among another's k nearest.
Large values say that a few images are near to most, so that neighbors mean less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST = 4
"""Images that the unbiased HSIC needs."""
MOST = 512
"""Images, at most, that Procrustes is computed on: its work grows with their cube."""


@dataclass(frozen=True)
class StageSimilarity:
    """Between the stages of two networks: (stages of a, stages of b)."""

    cka: NDArray[np.float64]
    procrustes: NDArray[np.float64]
    chance: NDArray[np.float64]
    """Procrustes with the images of b in another order."""


def stage_similarity(
    a: Sequence[NDArray[np.floating]], b: Sequence[NDArray[np.floating]], seed: int = 0
) -> StageSimilarity:
    """a, b: of each stage (n, channels), the same images. nan for a stage that is the same for every image, and
    everywhere with fewer than four images. Raises ValueError for unequal numbers of images."""
    counts = {len(stage) for stage in (*a, *b)}
    if len(counts) != 1:
        raise ValueError(f"the stages are of {sorted(counts)} images; they must be of the same ones")
    grams_a, grams_b = ([_u_centered(stage) for stage in stages] for stages in (a, b))
    shape = (len(a), len(b))
    cka = np.array([[_cosine(k, m) for m in grams_b] for k in grams_a]).reshape(shape)
    order = np.random.default_rng(seed).permutation(min(counts.pop(), MOST))
    parts_a, parts_b = ([_unit_basis(stage[:MOST]) for stage in stages] for stages in (a, b))
    fit, chance = np.full(shape, np.nan), np.full(shape, np.nan)
    for i, left in enumerate(parts_a):
        for j, right in enumerate(parts_b):
            if left is not None and right is not None:
                fit[i, j] = np.linalg.norm(left.T @ right, "nuc")
                chance[i, j] = np.linalg.norm(left.T @ right[order], "nuc")
    return StageSimilarity(cka, fit, chance)


def debiased_cka(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """CKA of (n, c) and (n, d), from -1 to 1; nan where one is the same for every image, or n < 4."""
    return _cosine(_u_centered(a), _u_centered(b))


def hubness(nearest: NDArray[np.integer], k: int) -> tuple[float, float]:
    """(skewness of how often an image is one of the k nearest of another, share of images that never are).

    nearest (n, at least k): neighbors of each image, nearest first. Skewness is nan where all are named equally often.
    """
    named = np.bincount(nearest[:, :k].ravel(), minlength=len(nearest)).astype(np.float64)
    apart = named - named.mean()
    deviation = apart.std()
    skewness = float((apart**3).mean() / deviation**3) if deviation > 0 else float("nan")
    return skewness, float((named == 0).mean())


def _u_centered(features: NDArray[np.floating]) -> NDArray[np.float64] | None:
    """Inner products (n, n) such that the mean product of two of these is the unbiased HSIC (Szekely, Rizzo, 2014);
    None where there is nothing to compare."""
    wide = np.asarray(features, np.float64)
    n = len(wide)
    centered = wide - wide.mean(0) if n else wide
    if n < FEWEST or not (np.abs(centered).max(initial=0) > 1e-7 * np.abs(wide).max(initial=0)):
        return None
    gram = centered @ centered.T
    np.fill_diagonal(gram, 0)
    rows = gram.sum(1)
    gram -= (rows[:, None] + rows[None, :]) / (n - 2) - rows.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(gram, 0)
    return gram


def _cosine(k: NDArray[np.float64] | None, m: NDArray[np.float64] | None) -> float:
    if k is None or m is None:
        return float("nan")
    size = np.linalg.norm(k) * np.linalg.norm(m)
    return float(np.vdot(k, m) / size) if size > 0 else float("nan")


def _unit_basis(features: NDArray[np.floating]) -> NDArray[np.float64] | None:
    """(n, at most n): centered features of unit size, rotated into as few channels as they need."""
    wide = np.asarray(features, np.float64)
    centered = wide - wide.mean(0)
    size = np.linalg.norm(centered)
    if len(wide) < FEWEST or not size > 1e-7 * np.linalg.norm(wide):
        return None
    left, values, _ = np.linalg.svd(centered / size, full_matrices=False)
    return left * values
