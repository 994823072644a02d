"""Accuracy and log-loss of classifications, from one value per image.

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
    true, given = np.asarray(labels), np.asarray(predicted)
    if true.ndim != 1 or true.shape != given.shape or not len(true):
        raise ValueError(f"labels have shape {true.shape}, predicted {given.shape}; both must be (images,), not empty")
    _in_range("label", true, num_classes)
    _in_range("predicted class", given, num_classes)
    true = true.astype(np.int64)
    correct = true == given
    values = None if losses is None else np.asarray(losses, dtype=np.float64)
    if values is not None and values.shape != true.shape:
        raise ValueError(f"losses have shape {values.shape}, labels {true.shape}; they must be equally long")
    if values is not None and np.isnan(values).any():
        where = np.flatnonzero(np.isnan(values))
        raise DataError(f"{len(where)} of {len(values)} log-losses are not a number, first of images "
                        f"{where[:3].tolist()}; the classifier's scores are not finite there")  # fmt: skip
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


def _in_range(what: str, values: NDArray, num_classes: int) -> None:
    where = np.flatnonzero((values < 0) | (values >= num_classes) | (values != np.floor(values)))
    if len(where):
        named = ", ".join(f"image {i}: {values[i]}" for i in where[:3])
        raise DataError(f"{len(where)} of {len(values)} images have a {what} outside 0..{num_classes - 1} ({named}"
                        f"{', ..' if len(where) > 3 else ''}); labels start at 0 and are whole numbers")  # fmt: skip


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
