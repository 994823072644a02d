"""Linear classifiers of standardized features, each fitted to its optimum at one strength after another.

Letters: n training images, c features, K classes, r = min(n, c).

All three are strictly convex in the weights, so that there is one optimum and nothing is drawn. The minimum lies in the
span of the images (the penalty sees to that), so fewer images than features are turned onto that span first: exact, and
as fast as the images are few.

Logistic regression and the SVM run L-BFGS (`headstart.tasks.frozen.descent`) in coordinates in which curvature is about
1: those of the Cholesky factor of `curvature * second moments + strength`. The curvature is that at zero weights for a
few updates, then what it has come down to by then (images that are right with certainty have none). Large problems
descend in single precision first and are finished in double.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.special import log_softmax

from headstart.tasks.frozen.descent import minimized

Floats = NDArray[np.floating]
GRADIENT_TOLERANCE = 1e-6
"""Largest entry of the gradient of the mean loss in preconditioned coordinates, where curvature is about 1."""
COARSE_TOLERANCE = 3e-5
"""That the descent in single precision ends at."""
LARGE = 1 << 26
"""Features of all images (n r) times classes from which on single precision comes first."""
FIRST = 10
"""Updates at the curvature of zero weights."""
LEAST_CURVATURE = 1e-3
"""Of what it is at zero weights."""
ROUNDING = 1e-4
"""Of the second moments of standardized features in single precision, as a part of their diagonal, and more."""
_MAX_UPDATES = 2000


@dataclass(frozen=True)
class Linear:
    """x -> (x - mean) / scale @ weight + bias. weight (c, K), bias (K,)."""

    mean: Floats
    scale: Floats
    weight: Floats
    bias: Floats
    converged: bool = True

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Scores (m, K) of images x (m, c)."""
        return (x - self.mean) / self.scale @ self.weight + self.bias


def standardizing(x: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation (c,) of features (n, c); of a constant feature infinity, which divides it to 0."""
    mean, deviation = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    return mean, np.where(deviation > 1e-7 * np.abs(x).max(axis=0), deviation, np.inf)


class _Standardized:
    """Training features with mean 0 and deviation 1, on the span of the images where these are the fewer."""

    def __init__(self, x: np.ndarray, y: np.ndarray, num_classes: int) -> None:
        self.y, self.num_classes = np.asarray(y, dtype=np.int64), num_classes
        self.mean, self.scale = standardizing(np.asarray(x, dtype=np.float64) if x.dtype != np.float32 else x)
        standard = (x - self.mean) / self.scale
        self.turn = _span(standard) if len(standard) < standard.shape[1] else None
        self.x: Floats = standard if self.turn is None else standard @ self.turn

    def linear(self, weight: Floats, bias: Floats, converged: bool = True) -> Linear:
        """The classifier of the features as they came."""
        whole = weight if self.turn is None else self.turn @ weight
        return Linear(self.mean, self.scale, whole, bias, converged=converged)


def _span(standard: Floats) -> Floats:
    """(c, r) orthonormal directions that hold all rows (n, c), n < c."""
    values, vectors = np.linalg.eigh(standard @ standard.T)
    kept = values > 1e-12 * max(values[-1], 1e-300)
    return standard.T @ (vectors[:, kept] / np.sqrt(values[kept]))


class Ridge(_Standardized):
    """(1/n) sum |y - x W - b|^2 + strength |W|^2 with y one-hot; closed form."""

    def fit(self, strength: float) -> Linear:
        """The optimum."""
        one_hot = np.eye(self.num_classes)[self.y]
        second = self.x.T @ self.x / len(self.x)
        moments = self.x.T @ one_hot / len(self.x)  # the features' mean is 0: no need to center y
        factor = cho_factor(second + strength * np.eye(len(second)))
        return self.linear(cho_solve(factor, moments), one_hot.mean(axis=0))

    def validation_loss(self, scores: np.ndarray, y: np.ndarray) -> float:
        """Mean squared error of scores (m, K)."""
        return float(np.square(scores - np.eye(scores.shape[1])[y]).sum(axis=1).mean())


class _Descended(_Standardized):
    """Mean loss + strength / 2 |W|^2, by L-BFGS. Consecutive fits start from one another's optimum, so a path over
    strengths costs little more than one fit."""

    at_zero: float
    """Second derivative of an image's loss by a score, at zero weights."""

    def __init__(self, x: np.ndarray, y: np.ndarray, num_classes: int) -> None:
        super().__init__(x, y, num_classes)
        self.weight: Floats = np.zeros((self.x.shape[1], num_classes))
        self.bias: Floats = np.zeros(num_classes)
        self.curvature = 0.0
        self.is_large = self.x.size * num_classes >= LARGE
        self.coarse: Floats = self.x.astype(np.float32) if self.is_large else self.x
        self.second = (self.coarse.T @ self.coarse / len(self.x)).astype(np.float64)
        if self.is_large:
            self.second.flat[:: len(self.second) + 1] += ROUNDING  # it shapes the way down, not where it ends

    def losses(self, scores: Floats) -> tuple[float, Floats, float]:
        """Mean loss; its gradient by the scores (n, K), which are written over; mean second derivative."""
        raise NotImplementedError

    def fit(self, strength: float, tolerance: float = GRADIENT_TOLERANCE) -> Linear:
        """The optimum, to the tolerance on the gradient."""
        x = self.coarse
        coarse = max(tolerance, COARSE_TOLERANCE) if self.is_large else tolerance
        if not self.curvature:
            self.curvature = self.at_zero
            self._descend(x, strength, coarse, FIRST)
        converged = self._descend(x, strength, coarse)
        if coarse > tolerance:
            converged = self._descend(self.x, strength, tolerance)
        return self.linear(self.weight, self.bias, converged)

    def _descend(self, x: Floats, strength: float, tolerance: float, updates: int = _MAX_UPDATES) -> bool:
        """Minimize in the precision of x; whether the tolerance was met."""
        c, k = self.weight.shape
        factor = cholesky(self.curvature * self.second + strength * np.eye(c), lower=True).astype(x.dtype)
        stretch, now = 1 / np.sqrt(self.curvature), 0.0

        def loss_and_gradient(flat: Floats) -> tuple[float, Floats]:
            nonlocal now
            turned = flat[: c * k].reshape(c, k)
            weight = solve_triangular(factor, turned, lower=True, trans=1, check_finite=False)
            scores = x @ weight
            scores += x.dtype.type(stretch) * flat[c * k :]
            loss, error, now = self.losses(scores)
            gradient = x.T @ error
            gradient += x.dtype.type(strength) * weight
            turned = solve_triangular(factor, gradient, lower=True, check_finite=False)
            penalty = strength / 2 * float(np.vdot(weight, weight))
            return loss + penalty, np.concatenate([turned.ravel(), x.dtype.type(stretch) * error.sum(axis=0)])

        start = np.concatenate([(factor.T @ self.weight).ravel(), self.bias / stretch]).astype(x.dtype)
        found = minimized(loss_and_gradient, start, tolerance, updates)
        turned = found.x[: c * k].reshape(c, k).astype(np.float64)
        self.weight = solve_triangular(factor.astype(np.float64), turned, lower=True, trans=1, check_finite=False)
        self.bias = stretch * found.x[c * k :].astype(np.float64)
        self.curvature = max(now, LEAST_CURVATURE * self.at_zero)
        # The search along the line can end at the last bit before the tolerance is met: that is converged, too.
        return found.gradient <= 10 * tolerance


class Logistic(_Descended):
    """Multinomial log-loss, nats."""

    def __init__(self, x: np.ndarray, y: np.ndarray, num_classes: int) -> None:
        super().__init__(x, y, num_classes)
        self.at_zero = (1 - 1 / num_classes) / num_classes

    def losses(self, scores: Floats) -> tuple[float, Floats, float]:
        """See `_Descended`."""
        rows = np.arange(len(self.y))
        scores -= scores.max(axis=1, keepdims=True)
        of_truth = scores[rows, self.y].astype(np.float64)
        np.exp(scores, out=scores)
        total = scores.sum(axis=1)
        scores /= total[:, None]
        curvature = float((1 - np.einsum("nk,nk->n", scores, scores)).mean()) / self.num_classes
        scores[rows, self.y] -= 1
        scores /= len(scores)
        return float((np.log(total.astype(np.float64)) - of_truth).mean()), scores, curvature

    def validation_loss(self, scores: np.ndarray, y: np.ndarray) -> float:
        """Mean log-loss of scores (m, K)."""
        return float(-log_softmax(scores, axis=1)[np.arange(len(y)), y].mean())


class Svm(_Descended):
    """One class against the rest, all classes: sum over classes of max(0, 1 - t s)^2, t = 1 for the image's class and
    -1 for others, s the score. The squared hinge is LIBLINEAR's default; here the constant carries no penalty."""

    at_zero = 2.0

    def losses(self, scores: Floats) -> tuple[float, Floats, float]:
        """See `_Descended`."""
        loss, error = _squared_hinge(scores, self.y)
        return loss, error, 2 * float(np.count_nonzero(error)) / error.size

    def validation_loss(self, scores: np.ndarray, y: np.ndarray) -> float:
        """Mean loss of scores (m, K)."""
        return _squared_hinge(scores.copy(), y)[0]


def _squared_hinge(scores: Floats, y: NDArray[np.int64]) -> tuple[float, Floats]:
    """Mean over images, and its gradient by the scores, which are written over."""
    rows = np.arange(len(y))
    scores[rows, y] *= -1
    scores += 1
    np.maximum(scores, 0, out=scores)
    loss = float(np.einsum("nk,nk->", scores, scores, dtype=np.float64) / len(y))
    scores *= 2 / len(y)
    scores[rows, y] *= -1
    return loss, scores
