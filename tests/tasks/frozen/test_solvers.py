"""Probes against scikit-learn at convergence, on five data sets: equal objectives, equal accuracies."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from headstart.tasks.frozen.solvers import LARGE, Logistic, Svm
from headstart.tasks.linear_probes import probe

SHARED = Path(__file__).parents[4] / "shared" / "data"
SETS = ("blobs", "wide", "long tail", "flowers17", "tiny_imagenet")
STRENGTH = 1e-2


@cache
def data(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features and labels to train and test on: drawn ones; of photographs colors and edges of a grid of cells."""
    if name in ("flowers17", "tiny_imagenet"):
        return photographs(name)
    rng = np.random.default_rng(len(name))
    n, c, k = {"blobs": (300, 12, 4), "wide": (80, 200, 7), "long tail": (240, 30, 9)}[name]
    share = 0.7 ** np.arange(k) if name == "long tail" else np.ones(k)
    y = np.concatenate([np.arange(k), rng.choice(k, 2 * n - k, p=share / share.sum())])
    x = 0.7 * rng.standard_normal((k, c))[y] + rng.standard_normal((2 * n, c))
    x = x * np.logspace(-2, 2, c) + 3
    return x[:n], y[:n], x[n:], y[n:]


def photographs(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    from PIL import Image

    if not (SHARED / name).is_dir():
        pytest.skip("the photographs are not staged")
    paths = sorted((SHARED / name / "train").glob("*/*.jpg" if name == "flowers17" else "*/images/*.JPEG"))
    paths = paths[:: 1 if name == "flowers17" else 4]
    names = [path.relative_to(SHARED / name / "train").parts[0] for path in paths]
    small = np.stack([np.asarray(Image.open(p).convert("RGB").resize((16, 16))) for p in paths]).astype(np.float64)
    cells = small.reshape(len(small), 4, 4, 4, 4, 3)
    x = np.concatenate([cells.mean((2, 4)).reshape(len(small), -1), cells.std((2, 4)).reshape(len(small), -1)], axis=1)
    y, tested = np.unique(names, return_inverse=True)[1], np.arange(len(x)) % 3 == 0
    return x[~tested], y[~tested], x[tested], y[tested]


def standard(train: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (other - train.mean(0)) / train.std(0)


def log_loss(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    log_p = log_softmax(x @ w + b, axis=1)
    return float(-log_p[np.arange(len(y)), y].mean() + STRENGTH / 2 * (w**2).sum())


def hinge(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    signs = np.where(np.arange(w.shape[1]) == y[:, None], 1, -1)
    return float((np.maximum(0, 1 - signs * (x @ w + b)) ** 2).sum(1).mean() + STRENGTH / 2 * (w**2).sum())


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("kind", ["logistic", "svm"])
def test_same_optimum(name, kind):
    x, y, test, test_y = data(name)
    z, k = standard(x, x), int(y.max()) + 1
    strong = 1 / (STRENGTH * len(x))
    if kind == "logistic":
        theirs = LogisticRegression(C=strong, tol=1e-9, max_iter=20_000).fit(z, y)
        found, objective = Logistic(x, y, k).fit(STRENGTH), log_loss
    else:
        # Its constant is penalized; as a feature of 1e3 the penalty is a millionth.
        theirs = LinearSVC(C=strong, tol=1e-8, max_iter=100_000, dual=False, intercept_scaling=1e3).fit(z, y)
        found, objective = Svm(x, y, k).fit(STRENGTH), hinge
    ours, other = objective(found.weight, found.bias, z, y), objective(theirs.coef_.T, theirs.intercept_, z, y)
    assert found.converged and ours == pytest.approx(other, rel=1e-5)
    right = [(s.argmax(1) == test_y).mean() for s in (found.predict(test), theirs.decision_function(standard(x, test)))]
    assert right[0] == pytest.approx(right[1], abs=0.002)


@pytest.mark.parametrize("name", SETS)
def test_same_ridge_and_neighbors(name):
    x, y, test, test_y = data(name)
    z, k = standard(x, x), int(y.max()) + 1
    theirs = Ridge(alpha=STRENGTH * len(x), solver="svd").fit(z, np.eye(k)[y]).predict(standard(x, test))
    np.testing.assert_allclose(probe(x, y, test, k, kind="ridge", strengths=[STRENGTH]).logits, theirs, atol=1e-6)
    for neighbors in (1, 5, 20):
        near = KNeighborsClassifier(
            neighbors, metric="cosine", algorithm="brute", weights=lambda d, of=neighbors: 1 + (2 - d) / (2 * (of + 1))
        ).fit(z, y)
        ours = probe(x, y, test, k, kind="knn", strengths=[neighbors]).logits.argmax(1)
        assert (ours == test_y).mean() == pytest.approx(near.score(standard(x, test), test_y), abs=0.002)


def test_weights_of_an_svm_by_hand():
    # x is +-1, two images a class: for class 1, w = v, b = 0: loss (1 - v)^2, derivative 2 (v - 1) + s v = 0.
    x, y = np.array([[-1.0], [-1.0], [1.0], [1.0]]), np.array([0, 0, 1, 1])
    found = Svm(x, y, 2).fit(0.5)
    np.testing.assert_allclose(found.weight, [[-0.8, 0.8]], atol=1e-6)
    np.testing.assert_allclose(found.bias, 0, atol=1e-6)


def test_single_precision_first_ends_at_the_same_optimum(monkeypatch):
    x, y, *_ = data("blobs")
    plain = Logistic(x, y, 4).fit(STRENGTH)
    monkeypatch.setattr("headstart.tasks.frozen.solvers.LARGE", 1)
    large = Logistic(x, y, 4)
    assert large.is_large and x.size * 4 < LARGE
    again = large.fit(STRENGTH)
    assert again.converged
    np.testing.assert_allclose(again.weight, plain.weight, atol=1e-5)
    coarse = Logistic(x, y, 4).fit(STRENGTH, 1e-3)
    z = standard(x, x)
    assert 0 < log_loss(coarse.weight, coarse.bias, z, y) / log_loss(plain.weight, plain.bias, z, y) - 1 < 1e-3
