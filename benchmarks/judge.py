"""How often what `headstart judge` says of tables whose truth is known holds, and how long it takes.

python benchmarks/judge.py --studies 1000
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import t

from headstart.stats.blocks import compare_pairs

ROOT = Path(__file__).parents[1]
TABLES = 400
"""Tables drawn for each critical value; the product draws 4,000, which only makes it steadier."""
GRID = [(3, d) for d in (3, 5, 10, 30)] + [(6, d) for d in (3, 5, 10, 30, 100)] + [(16, d) for d in (5, 10, 30)]
"""(models, data sets)."""

Draw = Callable[[np.random.Generator, int, int], np.ndarray]


def alike(rng: np.random.Generator, sets: int, models: int) -> np.ndarray:
    """Every model gains and loses independently, with the same standard deviation."""
    return rng.normal(size=(sets, models))


def unlike(rng: np.random.Generator, sets: int, models: int) -> np.ndarray:
    """The last model varies four times as much as the first."""
    return alike(rng, sets, models) * np.linspace(1, 4, models)


def families(rng: np.random.Generator, sets: int, models: int) -> np.ndarray:
    """Three families; models of one are correlated with 0.9."""
    own = np.sqrt(0.9) * rng.normal(size=(sets, 3))[:, np.arange(models) % 3]
    return own + np.sqrt(0.1) * rng.normal(size=(sets, models))


def odd(rng: np.random.Generator, sets: int, models: int) -> np.ndarray:
    """One model varies nine times as much as each of the others."""
    return alike(rng, sets, models) * np.where(np.arange(models) == 0, 2.0, 0.224)


def rough(rng: np.random.Generator, sets: int, models: int) -> np.ndarray:
    """Heavy tails (Student's t, 4 degrees of freedom), data sets of unlike spread (lognormal, 0.5), a tenth of the
    cells missing."""
    scores = rng.standard_t(4, (sets, models)) * np.exp(0.5 * rng.normal(size=(sets, 1)))
    scores[rng.random(scores.shape) < 0.1] = np.nan
    return scores


KINDS: tuple[Draw, ...] = (alike, unlike, families, odd, rough)


def share_held(draw: Draw, models: int, sets: int, studies: int) -> tuple[float, float]:
    """Share of tables of equal models in which no pair is told apart, and the mean width, in that of intervals by each
    pair's own variance and Bonferroni's correction."""
    rng = np.random.default_rng([models, sets])
    held, widths, done = 0, [], 0
    bonferroni = t.isf(0.025 / (models * (models - 1) / 2), sets - 1)
    while done < studies:
        table = draw(rng, sets, models)
        seen = (~np.isnan(table)).astype(float)
        if ((seen.T @ seen) < 2).any():  # a pair that is not compared: draw another table
            continue
        pairs = compare_pairs(table, draws=TABLES, seed=done)
        off = ~np.eye(models, dtype=bool)
        held += not (np.abs(pairs.difference[off]) > pairs.critical * pairs.se[off]).any()
        own = np.nanstd(table[:, :, None] - table[:, None, :], axis=0, ddof=1)[off] / np.sqrt(pairs.shared[off])
        widths.append(pairs.critical * pairs.se[off].mean() / (bonferroni * own.mean()))
        done += 1
    return held / studies, float(np.mean(widths))


def coverage(studies: int) -> None:
    """Print the table."""
    print(f"{'models':>6s} {'sets':>5s} " + " ".join(f"{kind.__name__:>9s}" for kind in KINDS) + f" {'width':>7s}")
    for models, sets in GRID:
        count = studies if models < 16 else max(1, studies // 3)
        found = [share_held(kind, models, sets, count) for kind in KINDS]
        shares = " ".join(f"{100 * share:9.1f}" for share, _ in found)
        print(f"{models:6d} {sets:5d} {shares} {found[0][1]:7.2f}", flush=True)


def times() -> None:
    """Print seconds of whole processes, page included."""
    print(f"{'data sets x models x seeds':28s} {'wall s':>7s} {'CPU s':>7s}")
    for sets, models, seeds in ((12, 5, 1), (100, 16, 3), (1000, 16, 3), (100, 100, 1)):
        with tempfile.TemporaryDirectory() as folder:
            drawn = [ROOT / "examples" / "drawn_leaderboard.py", "scores.csv", "--datasets", sets, "--models", models]
            subprocess.run([sys.executable, *map(str, [*drawn, "--seeds", seeds])], cwd=folder, check=True)
            command = [sys.executable, "-m", "headstart", "judge", "scores.csv", "--out", "page", "--quiet"]
            began, before = time.perf_counter(), os.times()
            subprocess.run(command, cwd=folder, check=True)
            wall, after = time.perf_counter() - began, os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            print(f"{f'{sets} x {models} x {seeds}':28s} {wall:7.2f} {cpu:7.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=200, help="tables of each cell")
    parser.add_argument("--times-only", action="store_true")
    given = parser.parse_args()
    times()
    if not given.times_only:
        print(f"\npercent of tables in which all pairs hold; {given.studies:,} tables a cell, a third for 16 models")
        coverage(given.studies)


if __name__ == "__main__":
    main()
