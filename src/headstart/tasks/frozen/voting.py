"""k nearest neighbors as a classifier of frozen features.

Letters: n training images, m others, c features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.tasks.frozen.nearest import nearest, unit_rows
from headstart.tasks.frozen.solvers import Floats, standardizing

NEIGHBORS = (1, 3, 5, 10, 20, 50)
"""Numbers of neighbors that are tried."""


@dataclass
class Vote:
    """Votes of the k nearest training images (n, c), by cosine of standardized features."""

    of: Knn
    k: int
    converged: bool = True

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(m, K) votes for each class. Of classes with equal votes the one whose voters are nearer: a vote counts 1 and
        its cosine, 0..1, over k + 1, which in all is less than a vote."""
        index, similar = self.of.found(x)
        scores = np.zeros((len(x), self.of.num_classes))
        votes = 1 + (1 + similar[:, : self.k].astype(np.float64)) / (2 * (self.k + 1))
        rows = np.repeat(np.arange(len(x)), votes.shape[1])
        np.add.at(scores, (rows, self.of.y[index[:, : self.k]].ravel()), votes.ravel())
        return scores


class Knn:
    """Training images that vote. Neighbors of the images asked for last are kept, for all k."""

    def __init__(self, x: np.ndarray, y: np.ndarray, num_classes: int) -> None:
        self.y, self.num_classes = np.asarray(y), num_classes
        self.mean, self.scale = standardizing(np.asarray(x))
        self.unit = unit_rows((x - self.mean) / self.scale)
        self.asked: tuple[np.ndarray, tuple[np.ndarray, Floats]] | None = None

    def fit(self, k: float) -> Vote:
        """Nothing is fitted: the classifier by k neighbors, or by as many as there are images."""
        return Vote(self, min(int(k), len(self.unit)))

    def found(self, x: np.ndarray) -> tuple[np.ndarray, Floats]:
        """Indices of the nearest training images of x (m, c), and their cosines."""
        if self.asked is None or self.asked[0] is not x:
            queries = unit_rows((x - self.mean) / self.scale)
            self.asked = x, nearest(queries, self.unit, min(max(NEIGHBORS), len(self.unit)))
        return self.asked[1]

    def validation_loss(self, scores: np.ndarray, y: np.ndarray) -> float:
        """Share of images (m, K) that are wrong."""
        return float((scores.argmax(axis=1) != y).mean())
