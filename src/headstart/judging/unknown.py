"""What a table lacks, and what it cannot say."""

from __future__ import annotations

import math

import numpy as np

from headstart.judging.result import Judgement
from headstart.judging.scores import Scores
from headstart.stats.blocks import Pairs

FEW_DATASETS = 5
"""Below this many, intervals lean on models that vary alike (`benchmarks/judge.py`)."""
NAMED = 4


def holes_of(scores: Scores, pairs: Pairs) -> tuple[str, ...]:
    """Which data sets each model lacks, and which pairs share too few to be compared."""
    seen = ~np.isnan(scores.cells)
    out = []
    for m, model in enumerate(scores.models):
        lacking = [scores.datasets[d] for d in np.flatnonzero(~seen[:, m])]
        if lacking:
            out.append(f"no score of {model} on {_named(lacking)} ({len(lacking)} of {len(seen)})")
    apart = [
        f"{scores.models[i]} and {scores.models[j]}"
        for i, j in zip(*np.nonzero(np.triu(pairs.shared < 2, 1)), strict=True)
    ]
    if apart:
        out.append(f"not compared, since they share fewer than two data sets: {_named(apart)}")
    if out:
        whole = int(seen.all(1).sum())
        out.append(f"each pair is compared on the data sets that both have; {whole} of {len(seen)} have every model")
    return tuple(out)


def unknown_of(scores: Scores, judged: Judgement) -> tuple[str, ...]:
    """Sentences; what is not measured is said, and nothing is put in its place."""
    out = [
        f"Whether these {len(scores.datasets):,} data sets are like those that you care about: every statement is "
        "about "
        "data sets drawn as these were."
    ]
    if judged.repeats[1] == 1:
        out.append(
            "How far another training would move a score: there is one a cell. It lies within the differences from "
            "data set "
            "to data set, and so in the intervals, and cannot be told apart from them."
        )
    elif not scores.has_seeds:
        out.append("Which scores belong to one training: no column names the seed.")
    elif judged.repeats[0] == 1:
        out.append(
            "The seeds' part is told from the cells that have two seeds or more, and taken to be alike in the others."
        )
    if not (scores.images > 0).any():
        out.append("How far other test images would move a score: the table does not say how many there were.")
    elif math.isnan(judged.precision.image_share):
        known = scores.images[scores.images > 0]
        out.append(
            f"How far other test images would move a score: there were {known.min():,} to {known.max():,} a data set, "
            "but "
            f"only of a share of right answers (a column called accuracy) does this tell it, not of {scores.score!r}."
        )
    if not judged.precision.sd > 0:
        out.append(
            "How much differences vary: every one is the same on all data sets to the last digit, which no drawn data "
            "sets "
            "would give. Check the table; its intervals of no width mean nothing."
        )
    if len(scores.datasets) < FEW_DATASETS and len(scores.models) > 2:
        out.append(
            f"How differently pairs of models vary: {len(scores.datasets)} data sets say next to nothing of it, and "
            "the "
            "intervals lean on their varying about alike."
        )
    return tuple(out)


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED:,} more"
