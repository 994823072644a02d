"""Linear probes: how much of a task can a linear classifier read off frozen features?

Letters: n training images, m test images, c features, K classes, B bootstrap resamples.

Features are standardized with the training images' mean and deviation (a constant feature becomes 0). The strength
of the regularization is chosen on a stratified quarter of the training images, near-duplicates together; then the
probe is fitted again on all of them. Strengths are per image, so that they mean the same for any n:

- ridge: (1/n) sum |y - x W - b|^2 + strength |W|^2 with y one-hot; closed form, chosen by the validation part's
  mean squared error.
- logistic: (1/n) sum of multinomial log-losses (nats) + strength / 2 |W|^2; convex, L-BFGS until no entry of the
  preconditioned gradient exceeds `GRADIENT_TOLERANCE`; chosen by the validation part's log-loss.

The constant b is not regularized. Nothing is drawn at random but the split. Oracle in the tests: scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from headstart.errors import DataError, UsageError
from headstart.metrics.accuracy import accuracy, log_losses
from headstart.names import metric

Kind = Literal["logistic", "ridge"]
VALIDATION_SHARE = 0.25
GRADIENT_TOLERANCE = 1e-6
"""Largest entry of the gradient of the mean loss (nats) in preconditioned coordinates, where curvature is about 1."""
RIDGE_STRENGTH = 0.1
"""Of the ridge probe in `measure`: fixed, so that one of the two probes depends on no choice, split or seed."""
MAX_EXTENSIONS = 6
"""Strengths that are added beyond each end of the grid while the best stands at it."""
_MAX_UPDATES = 2000


def default_strengths(kind: Kind) -> tuple[float, ...]:
    """Strengths tried, ascending by half decades: 1e-6 to 1 (logistic), 1e-4 to 100 (ridge)."""
    low, high = (-6, 0) if kind == "logistic" else (-4, 2)
    return tuple(float(s) for s in np.logspace(low, high, 2 * (high - low) + 1))


@dataclass(frozen=True)
class ProbeResult:
    """One probe. `logits` (m, K) float64 of the test images (ridge: regression scores).

    scores: validation loss per strength, lower is better, extensions included, by rising strength.
    edge: the best strength is still at an end of the extended grid. converged: False when the updates ran out.
    """

    kind: Kind
    logits: np.ndarray = field(repr=False)
    strength: float
    edge: bool
    converged: bool
    scores: dict[float, float]


def probe(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    num_classes: int,
    *,
    kind: Kind = "logistic",
    seed: int = 0,
    strengths: Sequence[float] | None = None,
    clusters: np.ndarray | None = None,
) -> ProbeResult:
    """Fit on train_x (n, c) and train_y (n,) in 0..K-1, predict test_x (m, c); see the module's docstring.

    clusters (n,): images of one cluster (near-duplicates) are validated or fitted together; None: each stands alone.
    strengths: ascending; extended by the last ratio while the best is at an end. A single one is taken as given.
    Raises DataError for labels out of range or features that are not finite, UsageError for unusable strengths.
    """
    train_y = _checked(train_x, train_y, test_x, num_classes)
    grid = [float(s) for s in (default_strengths(kind) if strengths is None else strengths)]
    if not grid or grid[0] <= 0 or grid != sorted(set(grid)):
        raise UsageError(f"probe: strengths {grid} must be positive, different and ascending.")
    solver: type[_Ridge] | type[_Logistic] = _Ridge if kind == "ridge" else _Logistic
    scores: dict[float, float] = {}
    if len(grid) == 1:
        best = grid[0]
    else:
        held_out = validation_part(train_y, seed, clusters=clusters)
        part = solver(train_x[~held_out], train_y[~held_out], num_classes)
        x, y = train_x[held_out], train_y[held_out]
        best, scores = _search(lambda s: part.validation_loss(part.fit(s).predict(x), y), grid)
    final = solver(train_x, train_y, num_classes).fit(best)
    edge = bool(scores) and best in (min(scores), max(scores))
    return ProbeResult(
        kind, final.predict(test_x), best, edge, converged=final.converged, scores=dict(sorted(scores.items()))
    )


def validation_part(
    labels: np.ndarray, seed: int, share: float = VALIDATION_SHARE, clusters: np.ndarray | None = None
) -> np.ndarray:
    """(n,) bool: a stratified part that holds whole clusters (n,), each dealt with the class that most of it has.

    Of a class with two or more clusters at least one is in and one is out.
    """
    rng = np.random.default_rng(seed)
    _, first, cluster = np.unique(
        np.arange(len(labels)) if clusters is None else clusters, return_index=True, return_inverse=True
    )
    sizes = np.bincount(cluster)
    classes, label_of = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(first), len(classes)), np.int64)
    np.add.at(counts, (cluster, label_of), 1)
    mostly = counts.argmax(axis=1)
    chosen = np.zeros(len(first), dtype=bool)
    for k in range(len(classes)):
        members = np.flatnonzero(mostly == k)
        dealt = rng.permutation(members[np.argsort(first[members])])
        wanted = max(int(np.floor(share * sizes[dealt].sum() + 0.5)), 1)
        if len(dealt) < 2:
            continue
        fits = [c for c, total in zip(dealt, np.cumsum(sizes[dealt]), strict=True) if total <= wanted]
        chosen[fits[: len(dealt) - 1] or dealt[np.argmin(sizes[dealt])]] = True
    return chosen[cluster]


@dataclass(frozen=True)
class ProbeFold:
    """Features and labels of one fold: train_x (n, c), train_y (n,), test_x (m, c), test_y (m,)."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    clusters: np.ndarray | None = None
    """(n,) of the training images, see `probe`."""


def measure(
    folds: Sequence[ProbeFold], num_classes: int, weights: np.ndarray, seed: int = 0
) -> tuple[dict[str, float], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Both probes, fitted in every fold, on the test images of all folds together (m in all), under weights (B, m).

    The logistic probe's strength is searched, ridge has a fixed one.
    Metrics with replicates (B,): `probe/{kind}/top1`, `probe/{kind}/mean_class_accuracy`, `probe/logistic/log_loss`
    (nats);
    without: `probe/{kind}/strength` (geometric mean over folds), `probe/{kind}/edge` (a fold's search ended at an
    end of its grid), `probe/logistic/not_converged`. Predictions: the logistic probe's `log_loss` (m,), `correct`
    (m,) bool, `label`, `predicted` (m,), and `correct_ridge`.
    """
    for fold in folds:
        labels = np.asarray(fold.test_y)
        if len(labels) != len(fold.test_x) or (len(labels) and not 0 <= labels.min() <= labels.max() < num_classes):
            raise DataError(f"probe: needs {len(fold.test_x)} test labels in 0..{num_classes - 1}. Check the test set.")
    kinds: tuple[Kind, ...] = ("logistic", "ridge")
    grids: dict[Kind, Sequence[float] | None] = {"logistic": None, "ridge": (RIDGE_STRENGTH,)}
    results = {
        k: [
            probe(
                f.train_x, f.train_y, f.test_x, num_classes, kind=k, seed=seed, strengths=grids[k], clusters=f.clusters
            )
            for f in folds
        ]
        for k in kinds
    }
    truth = np.concatenate([f.test_y for f in folds])
    logits = {kind: np.concatenate([r.logits for r in of_kind]) for kind, of_kind in results.items()}
    losses = {"logistic": log_losses(logits["logistic"], truth), "ridge": None}
    scored = {k: accuracy(truth, logits[k].argmax(axis=1), num_classes, losses[k]) for k in kinds}
    metrics = {_name(kind, "top1"): scored[kind].top1 for kind in kinds}
    metrics |= {_name(kind, "mean_class_accuracy"): scored[kind].mean_class_accuracy for kind in kinds}
    metrics[_name("logistic", "log_loss")] = scored["logistic"].log_loss
    for kind, of_kind in results.items():
        metrics[_name(kind, "strength")] = float(np.exp(np.mean([np.log(r.strength) for r in of_kind])))
        metrics[_name(kind, "edge")] = float(any(r.edge for r in of_kind))
    metrics[_name("logistic", "not_converged")] = float(not all(r.converged for r in results["logistic"]))
    drawn = {kind: scored[kind].replicates(weights) for kind in kinds}
    of_accuracy = ("top1", "mean_class_accuracy")
    replicates = {_name(kind, name): drawn[kind][name] for kind in kinds for name in of_accuracy}
    replicates[_name("logistic", "log_loss")] = drawn["logistic"]["log_loss"]
    predictions = {"log_loss": losses["logistic"], "label": truth, "predicted": logits["logistic"].argmax(axis=1)}
    hits = {"correct": scored["logistic"].correct, "correct_ridge": scored["ridge"].correct}
    return metrics, replicates, predictions | hits


def _name(kind: Kind, measure: str) -> str:
    return metric("probe", measure, by=kind)


@dataclass(frozen=True)
class _Linear:
    """x -> (x - mean) / scale @ weight + bias."""

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    converged: bool = True

    def predict(self, x: np.ndarray) -> np.ndarray:
        return (x - self.mean) / self.scale @ self.weight + self.bias


class _Standardized:
    """Training features with mean 0, deviation 1, turned onto the eigenvectors of their second moments.

    The turn makes every strength's ridge solution a division, and gives logistic regression its preconditioner.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, num_classes: int) -> None:
        wide = np.asarray(x, dtype=np.float64)
        self.mean = wide.mean(axis=0)
        deviation = wide.std(axis=0)
        alive = deviation > 1e-7 * np.abs(wide).max(axis=0)
        self.scale = np.where(alive, deviation, np.inf)  # a constant feature is divided to 0
        standard = (wide - self.mean) / self.scale
        values, self.vectors = np.linalg.eigh(standard.T @ standard / len(wide))
        self.values = np.maximum(values, 0.0)
        self.turned = standard @ self.vectors
        self.one_hot = np.eye(num_classes)[y]

    def linear(self, turned_weight: np.ndarray, bias: np.ndarray, converged: bool = True) -> _Linear:
        return _Linear(self.mean, self.scale, self.vectors @ turned_weight, bias, converged=converged)


class _Ridge(_Standardized):
    def fit(self, strength: float) -> _Linear:
        moments = self.turned.T @ self.one_hot / len(self.turned)  # the features' mean is 0: no need to center y
        return self.linear(moments / (self.values + strength)[:, None], self.one_hot.mean(axis=0))

    def validation_loss(self, scores: np.ndarray, y: np.ndarray) -> float:
        return float(np.square(scores - np.eye(scores.shape[1])[y]).sum(axis=1).mean())


class _Logistic(_Standardized):
    """Consecutive fits start from one another's optimum, so a path over strengths costs little more than one fit."""

    def __init__(self, x: np.ndarray, y: np.ndarray, num_classes: int) -> None:
        super().__init__(x, y, num_classes)
        self.y = y
        self.weight = np.zeros((self.turned.shape[1], num_classes))
        self.bias = np.zeros(num_classes)

    def fit(self, strength: float) -> _Linear:
        n, c = self.turned.shape
        k = self.one_hot.shape[1]
        # Curvature at equal probabilities 1/K, by eigenvector: eigenvalue / K + strength (1/K for the constant).
        # Working in coordinates divided by its root makes all directions about equally steep.
        step = 1 / np.sqrt(self.values / k + strength)[:, None]
        bias_step = np.sqrt(k)

        def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weight = flat[: c * k].reshape(c, k) * step
            log_p = log_softmax(self.turned @ weight + bias_step * flat[c * k :], axis=1)
            error = (np.exp(log_p) - self.one_hot) / n
            loss = -log_p[np.arange(n), self.y].mean() + strength / 2 * np.square(weight).sum()
            gradient = (self.turned.T @ error + strength * weight) * step
            return float(loss), np.concatenate([gradient.ravel(), bias_step * error.sum(axis=0)])

        start = np.concatenate([(self.weight / step).ravel(), self.bias / bias_step])
        options = {"gtol": GRADIENT_TOLERANCE, "ftol": 0.0, "maxiter": _MAX_UPDATES, "maxfun": 2 * _MAX_UPDATES}
        minimum = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options | {"maxcor": 20})
        self.weight, self.bias = minimum.x[: c * k].reshape(c, k) * step, bias_step * minimum.x[c * k :]
        # The search along the line can end at the last bit before the tolerance is met: that is converged, too.
        converged = float(np.abs(minimum.jac).max()) <= 10 * GRADIENT_TOLERANCE
        return self.linear(self.weight, self.bias, converged)

    def validation_loss(self, scores: np.ndarray, y: np.ndarray) -> float:
        return float(-log_softmax(scores, axis=1)[np.arange(len(y)), y].mean())


def _search(loss: Callable[[float], float], grid: list[float]) -> tuple[float, dict[float, float]]:
    """Best strength (the greatest of equals) and the losses, from strong to weak, going on beyond an end that wins.

    Weaker and weaker strengths take longer and longer to fit, so three rises in a row end the way down.
    """
    scores: dict[float, float] = {}
    for strength in reversed(grid):
        scores[strength] = loss(strength)
        last = list(scores.values())[-4:]
        if len(last) == 4 and last == sorted(set(last)):
            break

    def best() -> float:
        return min(scores, key=lambda s: (scores[s], -s))

    for end, ratio in ((min, grid[0] / grid[1]), (max, grid[-1] / grid[-2])):
        for _ in range(MAX_EXTENSIONS):
            if best() != end(scores):
                break
            beyond = end(scores) * ratio
            scores[beyond] = loss(beyond)
    return best(), scores


def _checked(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, num_classes: int) -> np.ndarray:
    y = np.asarray(y, dtype=np.int64)
    if len(x) != len(y):
        raise DataError(f"probe: {len(x)} rows of features but {len(y)} labels. Give one label per image.")
    if np.unique(y).size < 2:
        raise DataError("probe: the training images are all of one class. Give images of at least two classes.")
    if y.min() < 0 or y.max() >= num_classes:
        i = int(np.flatnonzero((y < 0) | (y >= num_classes))[0])
        raise DataError(
            f"probe: training image {i} has label {y[i]}, not in 0..{num_classes - 1}. Leave out unlabeled images."
        )
    for name, features in (("training", x), ("test", test_x)):
        if not np.isfinite(features).all():
            i = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
            raise DataError(f"probe: features of {name} image {i} are not finite. Check the weights and preprocessing.")
    return y
