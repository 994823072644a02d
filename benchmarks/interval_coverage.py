"""How often intervals, verdicts and rankings are right, simulated.

    python benchmarks/interval_coverage.py [--studies N] [--tables arms families rankings detectors one]

Tables, each in percent of the simulated studies:

- arms: the difference of two arms among three (`headstart.stats.arms`), measured on the same 500 images. Grid: seeds an
  arm; share of the variance of a value that its seed makes (of the rest, half is interaction of image and seed); how
  many times as far the second arm's seeds spread; correlation of runs of different arms that share a seed's number.
  covered: 95 % intervals that hold the truth; width: mean width in widths of an interval that knows the standard error;
  power: of finding a difference of 8 standard errors at the first step of a family of three; printed: power at the
  effect that the median study prints as detectable (80 wanted).
- families: three tests of one family (Holm) without any difference. any: a verdict; supported: of the predicted sign.
  Then a difference of 4 standard errors in all three, found in the first and in the second by gatekeeping (a before b
  and c) and in the first by Holm; and found by Holm where only the second is there, where gatekeeping finds nothing.
- rankings: K equal arms. dropped: an arm is said to be worse; said and is: how far the best score is said to be, and
  is, too high, in standard deviations of a value. inadequate: a cheap arm just over the margin behind all others is
  called adequate, the margin being 3 standard errors of a difference; adequate: just as cheap, and equal to them.
- detectors: mAP of drawn detectors, which is skewed and no mean: a difference of two arms, and one arm.
- one: one arm alone, beside percentile bootstraps (`benchmarks/one_arm_coverage.py`).

Goals: covered at least 93; power at 3 seeds, share 60 %, at least 90; supported at most 5; dropped and inadequate at
most 5.5. The standard error of a percentage of 95 is 0.5 from 2,000 studies, 1.0 from 500. Matrices are small: with
OPENBLAS_NUM_THREADS=1 it is faster.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from one_arm_coverage import QUALITIES, detectors, means, single_map, table_of_means
from scipy.special import ndtri

from headstart.metrics.average_precision import average_precision
from headstart.stats.arms import Arms
from headstart.stats.bootstrap import image_weights
from headstart.stats.contrasts import holm
from headstart.stats.intervals import crossed_interval
from headstart.stats.power import detectable
from headstart.stats.simultaneous import Simultaneous

SEEDS = (2, 3, 5, 10)
SHARES = (0.0, 0.3, 0.6, 0.9)
RATIOS = (1.0, 2.0, 3.0, 10.0)
EFFECT = 8.0
FIRST_STEP = 0.05 / 3
WIDTHS = 100
"""Studies of a cell of which widths and printed effects are computed; they take longer than coverage and power."""
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def drawn(draw: Draw, spreads: np.ndarray, seeds: int, of_images: float, correlation: float, rng: np.random.Generator):
    """Values and replicates, name -> (S,), (S, B), of arms with truth 0. spreads (K,): standard deviations of seeds."""
    count = len(spreads)
    luck = np.sqrt(1 - correlation) * rng.normal(size=(count, seeds)) + np.sqrt(correlation) * rng.normal(size=seeds)
    both = np.sqrt(of_images / 2) * (draw(rng, (count,))[:, None] + draw(rng, (count, seeds)))
    found = spreads[:, None, None] * luck[:, :, None] + both
    names = [f"{k}" for k in range(count)]
    return {n: found[k, :, 0] for k, n in enumerate(names)}, {n: found[k, :, 1:] for k, n in enumerate(names)}


def cell(draw: Draw, seeds: int, share: float, ratio: float, correlation: float, studies: int) -> dict[str, float]:
    """One row of the table of arms."""
    rng = np.random.default_rng([seeds, round(10 * share), round(ratio), round(10 * correlation)])
    # The two arms that are compared have variance 1 on average; the third spreads as the first.
    unit = np.sqrt(share * 2 / (1 + ratio**2))
    spreads, of_images = unit * np.array([1, ratio, 1]), 1 - share
    of_seeds = (spreads[:2] ** 2).sum() - 2 * correlation * spreads[:2].prod()
    known = np.sqrt(of_seeds / seeds + of_images * (1 + 1 / seeds))
    hits, found, widths, printed, errors = [], [], [], [], []
    for study in range(studies):
        values, draws = drawn(draw, spreads, seeds, of_images, correlation, rng)
        error, parts = Arms(values, draws).error({"0": 1, "1": -1})
        gap = values["0"].mean() - values["1"].mean()
        hits.append(error.p(gap) >= 0.05)
        found.append(error.p(gap + EFFECT * known) < FIRST_STEP)
        if study < WIDTHS:
            widths.append(error.half_width(0.95) / (1.959964 * known))
            printed.append(detectable(parts, FIRST_STEP))
            errors.append((error, gap))
    seen = [error.p(gap + np.median(printed)) < FIRST_STEP for error, gap in errors]
    columns = {"covered": hits, "power": found, "width": widths, "printed": seen}
    return {name: float(np.mean(column)) for name, column in columns.items()}


def table_of_arms(studies: int) -> None:
    draw = means(500, 200)
    print("seeds share spread corr.  covered width power printed")
    lowest, grid = [], itertools.product(SEEDS, SHARES, RATIOS, (0.0, 0.5))
    for seeds, share, ratio, correlation in grid:
        if share == 0 and (ratio > 1 or correlation):
            continue
        row = cell(draw, seeds, share, ratio, correlation, studies)
        lowest.append((row["covered"], seeds, share, ratio, correlation))
        print(
            f"{seeds:5d} {share:5.0%} {ratio:6.0f} {correlation:5.1f}  {100 * row['covered']:7.1f} {row['width']:5.2f} "
            f"{100 * row['power']:5.0f} {100 * row['printed']:7.0f}",
            flush=True,
        )
    print("lowest:", ", ".join(f"{100 * c:.1f} at {rest}" for c, *rest in sorted(lowest)[:3]))


def table_of_families(studies: int) -> None:
    draw = means(500, 200)
    print("seeds share    any supported  gate a gate b Holm a b only")
    for seeds, share in itertools.product((2, 3, 5), (0.3, 0.6, 0.9)):
        rng = np.random.default_rng([seeds, round(10 * share)])
        known = np.sqrt(2 * share / seeds + (1 - share) * (1 + 1 / seeds))
        tally = dict.fromkeys(("any", "supported", "gate a", "gate b", "Holm a", "b only"), 0)
        for _ in range(studies):
            tests = []
            for _ in range(3):
                values, draws = drawn(draw, np.sqrt(share) * np.ones(3), seeds, 1 - share, 0.0, rng)
                error, _ = Arms(values, draws).error({"0": 1, "1": -1})
                tests.append((error, values["0"].mean() - values["1"].mean()))
            null = holm([error.p(gap) for error, gap in tests])
            tally["any"] += min(null) < 0.05
            tally["supported"] += any(p < 0.05 and gap > 0 for p, (_, gap) in zip(null, tests, strict=True))
            effect = EFFECT / 2 * known
            there = [error.p(gap + effect) for error, gap in tests]
            first = there[0] < 0.05
            tally["gate a"] += first
            tally["gate b"] += first and holm(there[1:])[0] < 0.05
            tally["Holm a"] += holm(there)[0] < 0.05
            tally["b only"] += holm([tests[0][0].p(tests[0][1]), there[1], tests[2][0].p(tests[2][1])])[1] < 0.05
        shown = [100 * count / studies for count in tally.values()]
        rest = " ".join(f"{value:6.0f}" for value in shown[2:])
        print(f"{seeds:5d} {share:5.0%}  {shown[0]:5.1f} {shown[1]:9.1f}  {rest}", flush=True)


def table_of_rankings(studies: int) -> None:
    draw, share = means(500, 200), 0.6
    print("arms seeds  dropped  said    is  inadequate adequate")
    for count, seeds in itertools.product((3, 6, 10), (3, 5, 10)):
        rng, spreads = np.random.default_rng([count, seeds]), np.sqrt(share) * np.ones(count)
        margin = 3 * np.sqrt(2 * share / seeds + (1 - share) * (1 + 1 / seeds))
        dropped, wrong, right, said, true = 0, 0, 0, [], []
        for _ in range(studies):
            values, draws = drawn(draw, spreads, seeds, 1 - share, 0.0, rng)
            together = Simultaneous.of(Arms(values, draws), list(values), draws=2000)
            order = np.argsort(together.means)
            dropped += together.difference(f"{order[0]}", f"{order[-1]}")[0].excludes_zero
            said.append(together.overstated(list(values)))
            true.append(together.means.max())
            # The errors do not know the means: the same study with the first arm just over the margin behind.
            behind = replace(together, means=together.means - 1.0001 * margin * (np.arange(count) == 0))
            right += together.behind_at_most()["0"] <= margin
            wrong += behind.behind_at_most()["0"] <= margin
        print(
            f"{count:4d} {seeds:5d}  {100 * dropped / studies:7.1f} {np.mean(said):5.2f} {np.mean(true):5.2f}  "
            f"{100 * wrong / studies:10.1f} {100 * right / studies:8.1f}",
            flush=True,
        )


def table_of_detectors(studies: int) -> None:
    print(f"{'of':10s} {'seeds':>5s} {'share':>5s} {'images':>6s}  {'covered':>7s} {'width':>5s}")
    for spread, (num_images, num_seeds) in itertools.product((0.05, 0.2), ((60, 3), (500, 3), (500, 5))):
        rows_of_detectors(spread, num_images, num_seeds, studies)


def rows_of_detectors(spread: float, num_images: int, num_seeds: int, studies: int) -> None:
    """The truth is the mean over seeds that lie as a normal's quantiles do: a mean over as many drawn ones is off by a
    third of a standard error of five seeds, which would count as intervals that miss."""
    rng, normal = np.random.default_rng(round(100 * spread)), ndtri((np.arange(60) + 0.5) / 60)
    large = [[single_map(8000, q + spread * e, rng) for e in normal] for q in QUALITIES]
    truths = np.mean(large, 1)
    alone = [single_map(num_images, QUALITIES[0] + spread * rng.normal(), rng) for _ in range(300)]
    share = f"{min(1.0, np.var(large[0]) / np.var(alone)):5.0%}"
    weights, gaps, ones = image_weights(np.arange(num_images), 200), [], []
    for _ in range(studies):
        qualities = np.repeat(QUALITIES, num_seeds) + spread * rng.normal(size=2 * num_seeds)
        truth, sides = detectors(num_images, qualities, rng)
        results = [average_precision(truth, side, "voc-area", (0.5,)) for side in sides]
        values = np.array([r.map[0] for r in results]).reshape(2, -1)
        draws = np.stack([r.replicates(weights)[:, 0] for r in results]).reshape(2, num_seeds, -1)
        both = Arms({"a": values[0], "b": values[1]}, {"a": draws[0], "b": draws[1]})
        gaps.append(both.difference("b", "a"))
        ones.append(crossed_interval(values[0], draws[0]))
    for name, found, right in (("difference", gaps, truths[1] - truths[0]), ("one arm", ones, truths[0])):
        covered = np.mean([i.lo <= right <= i.hi for i in found])
        width = np.mean([i.hi - i.lo for i in found]) / (2 * 1.959964 * np.std([i.effect for i in found]))
        print(f"{name:10s} {num_seeds:5d} {share} {num_images:6d}  {100 * covered:7.1f} {width:5.2f}", flush=True)


TABLES = {
    "arms": table_of_arms,
    "families": table_of_families,
    "rankings": table_of_rankings,
    "detectors": lambda studies: table_of_detectors(studies // 4),
    "one": lambda studies: table_of_means(studies, 1000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies of each row; 100 for a glance")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=["arms", "families", "rankings", "detectors"])
    given = parser.parse_args()
    for name in given.tables:
        began = time.perf_counter()
        print(f"{name}; {given.studies:,} studies a row")
        TABLES[name](given.studies)
        print(f"({time.perf_counter() - began:.0f} s)\n", flush=True)


if __name__ == "__main__":
    main()
