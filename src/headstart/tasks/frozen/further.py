"""Further probes of one trial: other classifiers, every stage, few images of each class.

Letters: n training images, m test images, c features, K classes, B bootstrap resamples. Names are those of the probe
with what it was fitted on at the end: `probe/svm/top1`, `probe/svm/top1/C4`, `probe/svm/top1/4-a-class`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headstart.config.probes import FurtherProbes
from headstart.names import metric
from headstart.progress import Progress
from headstart.tasks.linear_probes import MEASURED, ProbeFold, accuracies, fitted_in, mean_strength


@dataclass(frozen=True)
class Stages:
    """Of one fold: its labels, the pooled features of every stage, the last one last, and an order of its training
    images, whose beginnings are what few images of each class are drawn as."""

    fold: ProbeFold
    """With the features of the last stage."""
    train: Mapping[str, np.ndarray]
    test: Mapping[str, np.ndarray]
    order: NDArray[np.int64]


def few(labels: NDArray[np.int64], order: NDArray[np.int64], per_class: int) -> NDArray[np.int64]:
    """Rows, ascending, of the first `per_class` images of each class in an order of all rows; all of a smaller class.

    labels, order (n,).
    """
    of = labels[order]
    by_class = np.argsort(of, kind="stable")
    first = np.searchsorted(of[by_class], of[by_class], side="left")
    place = np.empty(len(order), dtype=np.int64)
    place[by_class] = np.arange(len(order)) - first
    return np.sort(order[place < per_class])


def further(
    wanted: FurtherProbes,
    folds: Sequence[Stages],
    num_classes: int,
    weights: np.ndarray,
    *,
    seed: int,
    progress: Progress,
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Metrics, and replicates of those that are accuracies, under image weights (B, m) of the test images of all folds
    together; of the last stage those that `headstart.tasks.linear_probes.measure` leaves out."""
    metrics: dict[str, float] = {}
    replicates: dict[str, np.ndarray] = {}
    truth = np.concatenate([s.fold.test_y for s in folds])
    places = [(of, fold, kind) for of, fold in _places(wanted, folds) for kind in wanted.kinds]
    places = [(of, fold, kind) for of, fold, kind in places if of or kind not in MEASURED]
    for k, (of, fitted_on, kind) in enumerate(places):
        progress(k / len(places), f"{kind} probe, {of or 'last stage'}")
        results = fitted_in(fitted_on, num_classes, kind, seed)
        found, drawn = accuracies(kind, of, truth, np.concatenate([r.logits for r in results]), weights=weights)
        chosen = metric("probe", "neighbors" if kind == "knn" else "strength", by=kind, of=of)
        metrics |= found | {chosen: mean_strength(results)}
        replicates |= drawn
        if not all(r.converged for r in results):
            metrics[metric("probe", "not_converged", by=kind, of=of)] = 1.0
    return metrics, replicates


def _places(wanted: FurtherProbes, folds: Sequence[Stages]) -> Iterator[tuple[str | None, list[ProbeFold]]]:
    """What probes are fitted on: its name, None for all images and the last stage, and the folds."""
    yield None, [s.fold for s in folds]
    for stage in [*folds[0].train][:-1] if wanted.stages else ():
        yield stage, [replace(s.fold, train_x=s.train[stage], test_x=s.test[stage]) for s in folds]
    most = min(int(np.bincount(s.fold.train_y).max()) for s in folds)
    for count in wanted.per_class:
        if count <= most:
            yield f"{count}-a-class", [_part(s.fold, few(s.fold.train_y, s.order, count)) for s in folds]


def _part(fold: ProbeFold, rows: NDArray[np.int64]) -> ProbeFold:
    clusters = None if fold.clusters is None else fold.clusters[rows]
    return replace(fold, train_x=fold.train_x[rows], train_y=fold.train_y[rows], clusters=clusters)
