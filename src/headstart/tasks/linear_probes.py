"""Probes: how much of a task can a linear classifier, or a vote of neighbors, read off frozen features?

Letters: n training images, m test images, c features, K classes, B bootstrap resamples.

Features are standardized with the training images' mean and deviation (a constant feature becomes 0). The strength
of the regularization is chosen on a stratified quarter of the training images, near-duplicates together; then the
probe is fitted again on all of them; where no class has two, there is nothing to choose it on, and it is `UNCHOSEN`.
Strengths are per image, so that they mean the same for any n:

- ridge: (1/n) sum |y - x W - b|^2 + strength |W|^2 with y one-hot; closed form, chosen by the validation part's
  mean squared error.
- logistic: (1/n) sum of multinomial log-losses (nats) + strength / 2 |W|^2; convex, L-BFGS until no entry of the
  preconditioned gradient exceeds `GRADIENT_TOLERANCE`; chosen by the validation part's log-loss.
- svm: (1/n) sum of squared hinge losses, one class against the rest, + strength / 2 |W|^2; by L-BFGS as well, chosen by
  the same loss. C of scikit-learn's LinearSVC is 1 / (strength n).
- knn: votes of the nearest images by cosine (`headstart.tasks.frozen.voting`); what is chosen, by the share of images
  that are wrong, is their number.

The constant b is not regularized. Nothing is drawn at random but the split. Oracle in the tests: scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from headstart.errors import DataError, UsageError
from headstart.metrics.accuracy import accuracy, log_losses, top_k_correct
from headstart.names import metric
from headstart.stats.bootstrap import weighted_mean_replicates
from headstart.tasks.frozen.solvers import Logistic, Ridge, Svm
from headstart.tasks.frozen.voting import NEIGHBORS, Knn

Kind = Literal["logistic", "ridge", "svm", "knn"]
VALIDATION_SHARE = 0.25
UNCHOSEN: dict[Kind, float] = {"logistic": 1e-2, "ridge": 0.1, "svm": 1e-1, "knn": 1}
"""Strengths, and the number of neighbors, where no image can be held out."""
MEASURED: tuple[Kind, ...] = ("logistic", "ridge")
"""Of every trial; further ones (`headstart.tasks.frozen.further`) are asked for."""
TOP = 5
"""Classes of the top-5 accuracy; it is measured where there are more."""
RIDGE_STRENGTH = 0.1
"""Of the ridge probe in `measure`: fixed, so that one of the two probes depends on no choice, split or seed."""
MAX_EXTENSIONS = 6
"""Strengths that are added beyond each end of the grid while the best stands at it."""
_SOLVERS: dict[Kind, type[Logistic | Ridge | Svm | Knn]] = {
    "logistic": Logistic,
    "ridge": Ridge,
    "svm": Svm,
    "knn": Knn,
}


def default_strengths(kind: Kind) -> tuple[float, ...]:
    """Strengths tried, ascending by half decades: 1e-6 to 1 (logistic), 1e-4 to 100 (ridge, SVM); numbers of neighbors
    (k-NN)."""
    if kind == "knn":
        return tuple(map(float, NEIGHBORS))
    low, high = (-6, 0) if kind == "logistic" else (-4, 2)
    return tuple(float(s) for s in np.logspace(low, high, 2 * (high - low) + 1))


@dataclass(frozen=True)
class ProbeResult:
    """One probe. `logits` (m, K) float64 of the test images (ridge: regression scores).

    scores: validation loss per strength, lower is better, extensions included, by rising strength.
    strength: of k-NN the number of neighbors. edge: the best strength is still at an end of the extended grid.
    converged: False when the updates ran out.
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
    solver = _SOLVERS[kind]
    scores: dict[float, float] = {}
    held_out = validation_part(train_y, seed, clusters=clusters)
    if len(grid) == 1 or not held_out.any():
        best = grid[0] if len(grid) == 1 else UNCHOSEN[kind]
    else:
        part = solver(train_x[~held_out], train_y[~held_out], num_classes)
        x, y = train_x[held_out], train_y[held_out]
        best, scores = _search(lambda s: part.validation_loss(part.fit(s).predict(x), y), grid, kind != "knn")
    final = solver(train_x, train_y, num_classes).fit(best)
    edge = kind != "knn" and bool(scores) and best in (min(scores), max(scores))
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

    The logistic probe's strength is searched, ridge has a fixed one. Metrics with replicates (B,): see `accuracies`,
    and `probe/logistic/log_loss` (nats); without: `probe/{kind}/strength` (geometric mean over folds),
    `probe/{kind}/edge` (a fold's search ended at an end of its grid), `probe/logistic/not_converged`. Predictions: the
    logistic probe's `log_loss` (m,), `correct` (m,) bool, `label`, `predicted` (m,), and `correct_ridge`.
    """
    for fold in folds:
        labels = np.asarray(fold.test_y)
        if len(labels) != len(fold.test_x) or (len(labels) and not 0 <= labels.min() <= labels.max() < num_classes):
            raise DataError(f"probe: needs {len(fold.test_x)} test labels in 0..{num_classes - 1}. Check the test set.")
    truth = np.concatenate([f.test_y for f in folds])
    metrics: dict[str, float] = {}
    replicates: dict[str, np.ndarray] = {}
    logits: dict[Kind, np.ndarray] = {}
    for kind in MEASURED:
        results = fitted_in(folds, num_classes, kind, seed)
        logits[kind] = np.concatenate([r.logits for r in results])
        found, drawn = accuracies(kind, None, truth, logits[kind], weights=weights)
        metrics |= found | {_name(kind, "strength"): mean_strength(results)}
        metrics[_name(kind, "edge")] = float(any(r.edge for r in results))
        replicates |= drawn
        if kind == "logistic":
            metrics[_name(kind, "not_converged")] = float(not all(r.converged for r in results))
    losses = log_losses(logits["logistic"], truth)
    metrics[_name("logistic", "log_loss")] = float(losses.mean())
    replicates[_name("logistic", "log_loss")] = weighted_mean_replicates(losses, weights)
    predicted = {kind: of_kind.argmax(axis=1) for kind, of_kind in logits.items()}
    predictions = {"log_loss": losses, "label": truth, "predicted": predicted["logistic"]}
    hits = {"correct": predicted["logistic"] == truth, "correct_ridge": predicted["ridge"] == truth}
    return metrics, replicates, predictions | hits


def fitted_in(folds: Sequence[ProbeFold], num_classes: int, kind: Kind, seed: int) -> list[ProbeResult]:
    """One probe, fitted in every fold; of ridge with the fixed strength."""
    strengths = (RIDGE_STRENGTH,) if kind == "ridge" else None
    return [
        probe(
            f.train_x, f.train_y, f.test_x, num_classes, kind=kind, seed=seed, strengths=strengths, clusters=f.clusters
        )
        for f in folds
    ]


def mean_strength(results: Sequence[ProbeResult]) -> float:
    """Geometric mean over folds."""
    return float(np.exp(np.mean([np.log(r.strength) for r in results])))


def accuracies(
    kind: Kind, of: str | None, truth: np.ndarray, scores: np.ndarray, *, weights: np.ndarray
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Top-1, mean class accuracy and, of more than `TOP` classes, top-5 of scores (m, K), and replicates (B,) of all;
    of: what the probe was fitted on, as names say it."""
    found = accuracy(truth, scores.argmax(axis=1), scores.shape[1])
    drawn = found.replicates(weights)
    values = {"top1": found.top1, "mean_class_accuracy": found.mean_class_accuracy}
    if scores.shape[1] > TOP:
        hits = top_k_correct(scores, truth, TOP).astype(np.float64)
        values["top5"], drawn["top5"] = float(hits.mean()), weighted_mean_replicates(hits, weights)
    names = {measured: _name(kind, measured, of) for measured in values}
    return {name: values[m] for m, name in names.items()}, {name: drawn[m] for m, name in names.items()}


def _name(kind: Kind, measure: str, of: str | None = None) -> str:
    return metric("probe", measure, by=kind, of=of)


def _search(loss: Callable[[float], float], grid: list[float], extend: bool = True) -> tuple[float, dict[float, float]]:
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

    if not extend:
        return best(), scores
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
