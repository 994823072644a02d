"""Scores of frozen features against targets, from their papers. Higher is more promising for all of them.

Letters: n samples, c channels, K classes, V components of a mixture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

NEIGHBORS = 5
"""Of the k-NN score."""
COMPONENTS_A_CLASS = 5
"""Of NLEEP's mixture, as its paper has it."""
GBC_CHANNELS = 64
"""That GBC's features are reduced to by PCA, as its paper has it."""
LEEP_VARIANCE = 0.8
"""Share of the variance that NLEEP's PCA keeps."""
ROUNDS = 100
"""Of fixed-point and EM iterations, at most."""


def knn_accuracy(features: Floats, labels: Labels, groups: Labels, k: int = NEIGHBORS) -> float:
    """Share of samples whose k nearest others (cosine), none of their own group, vote for their class; ties go to the
    class of the nearest. features (n, c), labels (n,), groups (n,): images, so that boxes of one do not answer for each
    other."""
    x = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    similar = x @ x.T
    similar[groups[:, None] == groups[None]] = -np.inf
    right = 0
    for row, own in zip(similar, labels, strict=True):
        near = np.argsort(-row, kind="stable")[:k]
        near = near[np.isfinite(row[near])]
        votes = np.bincount(labels[near], minlength=1) if len(near) else np.zeros(1, int)
        best = np.flatnonzero(votes == votes.max())
        chosen = next((c for c in labels[near] if c in best), -1)
        right += int(chosen == own)
    return right / len(labels)


def log_evidence(features: Floats, targets: Floats) -> float:
    """Largest log evidence, a sample, of a Bayesian linear regression of one target on the features: LogME's core (You
    et al., ICML 2021, equation 2 and the fixed point of its follow-up).

    features (n, c), targets (n,). w ~ N(0, 1/alpha), y | f ~ N(w f, 1/beta); alpha and beta maximize.
    """
    n, c = features.shape
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    return _evidence(s**2, u.T @ targets, float(targets @ targets), n, c=c)


def _evidence(sigma: Floats, projected: Floats, square: float, n: int, *, c: int) -> float:
    """sigma: squared singular values; projected: targets on the left singular vectors; square: |y|^2."""
    rest = max(square - float((projected**2).sum()), 0.0)
    alpha = beta = 1.0
    for _ in range(ROUNDS):
        t = alpha / beta
        gamma = float((sigma / (sigma + t)).sum())
        weights = float((sigma * projected**2 / (sigma + t) ** 2).sum())
        residual = float((projected**2 / (1 + sigma / t) ** 2).sum()) + rest
        alpha, beta = gamma / (weights + 1e-12), (n - gamma) / (residual + 1e-12)
        if abs(alpha / beta - t) <= 1e-3 * t:
            break
    t = alpha / beta
    weights = float((sigma * projected**2 / (sigma + t) ** 2).sum())
    residual = float((projected**2 / (1 + sigma / t) ** 2).sum()) + rest
    determinant = float(np.log(alpha + beta * sigma).sum()) + (c - len(sigma)) * np.log(alpha)
    evidence = c * np.log(alpha) + n * np.log(beta) - determinant - beta * residual - alpha * weights
    return float(evidence - n * np.log(2 * np.pi)) / (2 * n)


def logme(features: Floats, labels: Labels) -> float:
    """LogME of a classification: the mean of the log evidence over one-hot classes."""
    return _logme_of(features, one_hot(labels))


def tlogme(features: Floats, labels: Labels, boxes: Floats) -> float:
    """LogME on features of objects, of their class and of their box, added (after Wang et al., arXiv 2311.17401).

    boxes (n, 4): center x, center y, width, height as shares of the image, standardized here.
    """
    spread = boxes.std(0)
    scaled = (boxes - boxes.mean(0)) / np.where(spread > 0, spread, 1.0)
    return logme(features, labels) + _logme_of(features, scaled)


def _logme_of(features: Floats, targets: Floats) -> float:
    n, c = features.shape
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    projected = u.T @ targets
    squares = (targets**2).sum(0)
    return float(np.mean([_evidence(s**2, p, float(q), n, c=c) for p, q in zip(projected.T, squares, strict=True)]))


def h_score(features: Floats, labels: Labels) -> float:
    """tr(cov(f)^-1 cov(E[f | y])) (Bao et al., ICIP 2019), with a pseudo-inverse."""
    centered = features - features.mean(0)
    means = np.stack([centered[labels == k].mean(0) for k in np.unique(labels)])[_places(labels)]
    inverse = np.linalg.pinv(centered.T @ centered / len(labels), rcond=1e-8, hermitian=True)
    return float(np.sum(inverse * (means.T @ means / len(labels))))


def gbc(features: Floats, labels: Labels, channels: int = GBC_CHANNELS) -> float:
    """Minus the sum over pairs of classes of exp(-Bhattacharyya distance) of Gaussians of diagonal covariance (Pandy et
    al., CVPR 2022), after PCA."""
    x = principal(features, channels)
    classes = np.unique(labels)
    means = np.stack([x[labels == k].mean(0) for k in classes])
    variances = np.stack([x[labels == k].var(0) for k in classes]) + 1e-6 * max(float(x.var()), 1e-12)
    middle = (variances[:, None] + variances[None]) / 2
    distance = ((means[:, None] - means[None]) ** 2 / middle).sum(2) / 8
    distance += (np.log(middle) - (np.log(variances)[:, None] + np.log(variances)[None]) / 2).sum(2) / 2
    return -float(np.exp(-distance)[~np.eye(len(classes), dtype=bool)].sum())


def nleep(features: Floats, labels: Labels, seed: int = 0) -> float:
    """LEEP with the components of a Gaussian mixture on PCA features as the source classes (Li et al., CVPR 2021)."""
    x = principal(features, _channels_for(features, LEEP_VARIANCE))
    components = min(COMPONENTS_A_CLASS * len(np.unique(labels)), max(1, len(x) // 2))
    return leep(mixture_posteriors(x, components, seed), labels)


def leep(posteriors: Floats, labels: Labels) -> float:
    """Mean log of sum_v p(y | v) p(v | x) (Nguyen et al., ICML 2020). posteriors (n, V), rows sum to 1."""
    joint = one_hot(labels).T @ posteriors / len(labels)
    given = joint / np.maximum(joint.sum(0), 1e-300)
    expected = posteriors @ given.T
    return float(np.log(np.maximum(expected[np.arange(len(labels)), _places(labels)], 1e-300)).mean())


def mixture_posteriors(x: Floats, components: int, seed: int = 0) -> Floats:
    """(n, V) of a mixture of Gaussians of diagonal covariance, fitted by EM from k-means++ centers."""
    rng = np.random.default_rng(seed)
    means = _centers(x, components, rng)
    floor = 1e-3 * max(float(x.var(0).mean()), 1e-12)
    variances = np.tile(x.var(0) + floor, (components, 1))
    shares = np.full(components, 1 / components)
    before = -np.inf
    posterior = np.empty((len(x), components))
    for _ in range(ROUNDS):
        logs = np.log(shares) - 0.5 * (
            (x**2 @ (1 / variances).T - 2 * x @ (means / variances).T + (means**2 / variances).sum(1))
            + np.log(2 * np.pi * variances).sum(1)
        )
        top = logs.max(1, keepdims=True)
        total = top[:, 0] + np.log(np.exp(logs - top).sum(1))
        posterior = np.exp(logs - total[:, None])
        if total.mean() - before < 1e-4:
            break
        before = float(total.mean())
        weight = posterior.sum(0) + 1e-12
        means = posterior.T @ x / weight[:, None]
        variances = np.maximum(posterior.T @ x**2 / weight[:, None] - means**2, 0) + floor
        shares = weight / weight.sum()
    return posterior


def _centers(x: Floats, count: int, rng: np.random.Generator) -> Floats:
    chosen = [int(rng.integers(len(x)))]
    far = ((x - x[chosen[0]]) ** 2).sum(1)
    for _ in range(count - 1):
        total = far.sum()
        chosen.append(int(rng.choice(len(x), p=far / total)) if total > 0 else int(rng.integers(len(x))))
        far = np.minimum(far, ((x - x[chosen[-1]]) ** 2).sum(1))
    return x[chosen].copy()


def principal(features: Floats, channels: int) -> Floats:
    """The first principal components (n, at most channels), centered."""
    centered = features - features.mean(0)
    u, s, _ = np.linalg.svd(centered, full_matrices=False)
    return (u * s)[:, :channels]


def _channels_for(features: Floats, share: float) -> int:
    s = np.linalg.svd(features - features.mean(0), compute_uv=False) ** 2
    return int(np.searchsorted(np.cumsum(s) / max(s.sum(), 1e-300), share)) + 1


def one_hot(labels: Labels) -> Floats:
    """(n, K) of the classes that there are."""
    return np.eye(len(np.unique(labels)))[_places(labels)]


def _places(labels: Labels) -> Labels:
    return np.asarray(np.unique(labels, return_inverse=True)[1], np.int64)
