"""Draw a table of scores whose truth is known: python examples/drawn_leaderboard.py scores.csv

Each data set has a difficulty, each model a mean gain and what it gains on one data set and not on another, each seed a
deviation. `--means` writes one score a cell, as papers do.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

DOMAINS = ("aerial", "medical", "street")


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--datasets", type=int, default=24)
    parser.add_argument("--models", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--step", type=float, default=1.0, help="points between a model and the next better one")
    parser.add_argument("--between", type=float, default=2.0, help="standard deviation of a gain over data sets")
    parser.add_argument("--within", type=float, default=1.0, help="standard deviation over seeds")
    parser.add_argument("--holes", type=int, default=0, help="cells without a score")
    parser.add_argument("--means", action="store_true", help="one score a cell, the mean over seeds")
    parser.add_argument("--number", type=int, default=0, help="number of the draw")
    given = parser.parse_args()
    rng = np.random.default_rng(given.number)
    shape = (given.datasets, given.models, given.seeds)
    scores = rng.normal(60, 8, shape[0])[:, None, None] - given.step * np.arange(shape[1])[None, :, None]
    scores = scores + rng.normal(0, given.between, shape[:2])[:, :, None] + rng.normal(0, given.within, shape)
    holes = set(rng.permutation(shape[0] * shape[1])[: given.holes].tolist())
    with given.out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["data set", "domain", "model", *([] if given.means else ["seed"]), "mAP"])
        for d, m in np.ndindex(shape[:2]):
            if d * shape[1] + m in holes:
                continue
            values = [scores[d, m].mean()] if given.means else scores[d, m]
            for seed, value in enumerate(values):
                letter = chr(ord("a") + m) if shape[1] <= 26 else m + 1
                named = [f"set-{d + 1:02d}", DOMAINS[d % len(DOMAINS)], f"model-{letter}"]
                table.writerow([*named, *([] if given.means else [seed]), f"{value:.1f}"])


if __name__ == "__main__":
    main()
