"""Accuracy, log-loss and calibration of classifications, and average precision where images have several labels.

Letters: n images, K classes, B resamples. Labels are 0..K-1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import DataError
from headstart.metrics.averages import mean_of_present


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Share of images whose highest-scoring class is right, fractions 0..1; log-loss in nats.

    class_accuracy (K,): nan for a class without an image. mean_class_accuracy: mean over the other classes. counts (K,)
    int64: images of each class. log_loss: nan where no probabilities were given.
    """

    top1: float
    mean_class_accuracy: float
    log_loss: float
    class_accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]
    labels: NDArray[np.int64] = field(repr=False)
    correct: NDArray[np.bool_] = field(repr=False)
    losses: NDArray[np.float64] | None = field(repr=False)
    """(n,) log-loss of every image."""

    def replicates(self, weights: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """`top1`, `mean_class_accuracy` and, where known, `log_loss` (B,) with image i counted weights[b, i] times."""
        rows = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        if rows.shape[1] != len(self.labels):
            raise ValueError(f"weights have shape {rows.shape}; they must be (resamples, {len(self.labels)} images)")
        per_class = _class_accuracy(rows, self.labels, self.correct, len(self.counts))
        out = {"top1": _mean(rows, self.correct), "mean_class_accuracy": mean_of_present(per_class)}
        if self.losses is not None:
            out["log_loss"] = _mean(rows, self.losses)
        return out


def accuracy(labels: ArrayLike, predicted: ArrayLike, num_classes: int, losses: ArrayLike | None = None) -> Accuracy:
    """Accuracy of predicted classes.

    labels, predicted (n,): 0..K-1, n at least 1. losses (n,): log-loss of every image (`log_losses`), optional.
    Raises DataError, naming the first few records, for labels out of range and losses that are not a number.
    """
    true, chosen = np.asarray(labels), np.asarray(predicted)
    if true.ndim != 1 or true.shape != chosen.shape or not len(true):
        raise ValueError(f"labels have shape {true.shape}, predicted {chosen.shape}; both must be (images,), not empty")
    _in_range("label", true, num_classes)
    _in_range("predicted class", chosen, num_classes)
    true = true.astype(np.int64)
    correct = true == chosen
    values = None if losses is None else np.asarray(losses, dtype=np.float64)
    if values is not None and values.shape != true.shape:
        raise ValueError(f"losses have shape {values.shape}, labels {true.shape}; they must be equally long")
    if values is not None and np.isnan(values).any():
        where = np.flatnonzero(np.isnan(values))
        raise DataError(
            f"{len(where)} of {len(values)} log-losses are not a number, first of images "
            f"{where[:3].tolist()}; the classifier's scores are not finite there"
        )
    ones = np.ones((1, len(true)))
    per_class = _class_accuracy(ones, true, correct, num_classes)[0]
    return Accuracy(
        top1=float(correct.mean()),
        mean_class_accuracy=float(mean_of_present(per_class)),
        log_loss=float("nan") if values is None else float(values.mean()),
        class_accuracy=per_class,
        counts=np.bincount(true, minlength=num_classes),
        labels=true,
        correct=correct,
        losses=values,
    )


def log_losses(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """(n,) negative log-probability, nats, of the true class. logits (n, K) before the softmax (log-probabilities are
    such logits); labels (n,) 0..K-1, DataError where not."""
    scores, true = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if scores.ndim != 2 or true.shape != scores.shape[:1]:
        raise ValueError(f"logits have shape {scores.shape}, labels {true.shape}; expected (n, K) and (n,)")
    _in_range("label", true, scores.shape[1])
    highest = scores.max(1)
    total = np.log(np.exp(scores - highest[:, None]).sum(1)) + highest
    return total - scores[np.arange(len(true)), true.astype(np.int64)]


def top_k_correct(scores: ArrayLike, labels: ArrayLike, k: int) -> NDArray[np.bool_]:
    """(n,) whether the true class is among the k highest-scoring ones; the mean is the top-k accuracy.

    scores (n, K): higher is surer. Of equal scores the lower class comes first, as in `argmax`. Raises ValueError
    unless 1 <= k <= K, DataError for labels out of range and scores that are not a number.
    """
    table, true = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if table.ndim != 2 or true.shape != table.shape[:1] or not 1 <= k <= table.shape[1]:
        raise ValueError(
            f"scores have shape {table.shape}, labels {true.shape}, k is {k}; expected (n, K), (n,) and 1 <= k <= K"
        )
    _in_range("label", true, table.shape[1])
    _known(table)
    of_label = np.take_along_axis(table, true.astype(np.int64)[:, None], 1)
    before = (table > of_label) | ((table == of_label) & (np.arange(table.shape[1]) < true[:, None]))
    return before.sum(1) < k


@dataclass(frozen=True, eq=False)
class MultilabelAP:
    """Average precision of every class over images that may have several labels, fractions 0..1.

    ap (K,): nan for a class that no image has. map: mean over the other classes. counts (K,) int64: images with it.
    """

    ap: NDArray[np.float64]
    map: float
    counts: NDArray[np.int64]
    scores: NDArray[np.float64] = field(repr=False)
    present: NDArray[np.int8] = field(repr=False)

    def replicates(self, weights: ArrayLike) -> NDArray[np.float64]:
        """(B,) mean average precision with image i counted weights[b, i] times."""
        rows = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        if rows.shape[1] != len(self.scores):
            raise ValueError(f"weights have shape {rows.shape}; they must be (resamples, {len(self.scores)} images)")
        return mean_of_present(_label_ap(rows, self.scores, self.present))


def multilabel_ap(scores: ArrayLike, present: ArrayLike) -> MultilabelAP:
    """AP of ranking the images by each class's score.

    scores (n, K): higher is surer. present (n, K): 1 the image has the class, 0 it has not, -1 nobody knows, which
    leaves the image out for that class. AP is the sum over distinct scores, falling, of the step in recall times the
    precision there: images of equal score enter together (scikit-learn's `average_precision_score`). Raises DataError
    for scores that are not a number.
    """
    table, known = np.asarray(scores, dtype=np.float64), np.asarray(present)
    if table.ndim != 2 or known.shape != table.shape or not np.isin(known, (-1, 0, 1)).all():
        raise ValueError(
            f"scores have shape {table.shape}, present {known.shape}; both must be (n, K), present 1, 0, -1"
        )
    _known(table)
    flags = known.astype(np.int8)
    ap = _label_ap(np.ones((1, len(table))), table, flags)[0]
    return MultilabelAP(ap, float(mean_of_present(ap)), (flags == 1).sum(0), table, present=flags)


@dataclass(frozen=True, eq=False)
class Calibration:
    """How far confidence and accuracy lie apart, fractions 0..1.

    error: expected calibration error, the mean over images of |accuracy - confidence| of their bin. confidence,
    accuracy (bins,): means of each bin, nan where it is empty; counts (bins,) int64. Bins are equally wide.
    """

    error: float
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]


def calibration(confidence: ArrayLike, correct: ArrayLike, num_bins: int = 15) -> Calibration:
    """Expected calibration error (Guo et al., ICML 2017, Eq. 3) with equally wide bins, which own their lower edge.

    confidence (n,): probability that the classifier gives to the class that it chose; correct (n,): whether it is
    right. 1 belongs to the last bin. Raises DataError for confidences outside 0..1, naming the first images.
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if sure.ndim != 1 or sure.shape != right.shape or not len(sure) or num_bins < 1:
        raise ValueError(f"confidence has shape {sure.shape}, correct {right.shape}; both must be (images,), not empty")
    where = np.flatnonzero(~((sure >= 0) & (sure <= 1)))
    if len(where):
        named = ", ".join(f"image {i}: {sure[i]}" for i in where[:3])
        raise DataError(
            f"{len(where)} of {len(sure)} confidences are outside 0..1 ({named}); give probabilities, as "
            "softmax makes them of scores"
        )
    edges = np.arange(1, num_bins) / num_bins
    bins = np.searchsorted(edges, sure, side="right")
    counts = np.bincount(bins, minlength=num_bins)
    means = [
        np.divide(np.bincount(bins, values, num_bins), counts, out=np.full(num_bins, np.nan), where=counts > 0)
        for values in (sure, right)
    ]
    return Calibration(float(np.nansum(np.abs(means[1] - means[0]) * counts) / len(sure)), means[0], means[1], counts)


def _known(scores: NDArray[np.float64]) -> None:
    where = np.flatnonzero(np.isnan(scores).any(1))
    if len(where):
        raise DataError(
            f"{len(where)} of {len(scores)} images have a score that is not a number, first images "
            f"{where[:3].tolist()}; leave them out, or look at the classifier's inputs"
        )


def _label_ap(rows: NDArray[np.float64], scores: NDArray[np.float64], present: NDArray[np.int8]) -> NDArray[np.float64]:
    """(B, K) under image weights rows (B, n)."""
    out = np.full((len(rows), scores.shape[1]), np.nan)
    for k in range(scores.shape[1]):
        order = np.argsort(-scores[:, k], kind="stable")
        order = order[present[order, k] >= 0]
        ends = np.flatnonzero(np.append(np.diff(scores[order, k]) != 0, True)) if len(order) else order
        weight = rows[:, order]
        hits = np.cumsum(weight * (present[order, k] == 1), axis=1)[:, ends]
        shown = np.cumsum(weight, axis=1)[:, ends]
        precision = np.divide(hits, shown, out=np.zeros(hits.shape), where=shown > 0)
        total = hits[:, -1] if len(ends) else np.zeros(len(rows))
        gains = (np.diff(hits, axis=1, prepend=0.0) * precision).sum(1)
        np.divide(gains, total, out=out[:, k], where=total > 0)
    return out


def _in_range(what: str, values: NDArray, num_classes: int) -> None:
    where = np.flatnonzero((values < 0) | (values >= num_classes) | (values != np.floor(values)))
    if len(where):
        named = ", ".join(f"image {i}: {values[i]}" for i in where[:3])
        raise DataError(
            f"{len(where)} of {len(values)} images have a {what} outside 0..{num_classes - 1} ({named}"
            f"{', ..' if len(where) > 3 else ''}); labels start at 0 and are whole numbers"
        )


def _class_accuracy(
    rows: NDArray[np.float64], labels: NDArray[np.int64], correct: NDArray[np.bool_], num_classes: int
) -> NDArray[np.float64]:
    """(B, K); nan where no image of the class has weight."""
    of_class = (labels[:, None] == np.arange(num_classes)).astype(np.float64)
    images = rows @ of_class
    return np.divide(rows @ (of_class * correct[:, None]), images, out=np.full(images.shape, np.nan), where=images > 0)


def _mean(rows: NDArray[np.float64], values: NDArray) -> NDArray[np.float64]:
    total = rows.sum(1)
    return np.divide(rows @ values.astype(np.float64), total, out=np.full(len(rows), np.nan), where=total > 0)
