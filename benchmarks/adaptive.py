"""Whole comparisons, simulated: all seeds of all candidates against the sequential rule (`headstart.stats.sequential`).

    python benchmarks/adaptive.py [--studies N]

A score has variance 1 over trainings: 60 % of it is of the seed, the rest of 500 test images, half of that common to
all seeds. Seeds of a short training spread by about 1.5 points, so a gap of 1 is about 2 points. A rate costs a
training something, too: three rates (more where the best is at an edge) have scores on a parabola, and the best by one
noisy training each is taken. A full study searches in every fold: with five seeds for every seed, with three for all
of them (`compare`'s normal and quick budgets). Else a candidate's rate is searched once, at half the updates.

A row is a kind of study: candidates with gaps to the best, seeds at most. Percent of the studies, or means in percent:

- same: the same winner set (the best, and all not shown to be worse) as where every seed and search is run; twice: as
  often two such full studies have the same that differ in their searches alone;
- updates, updates 3: of those that the full study makes, with one fold and with three;
- seeds: trainings of seeds that are run, of all;
- covered: the sequential intervals of all candidates to the best hold the truth, all of them; the truth at the rates
  that were found, and (`again`) that of a repetition that would search again;
- lost: the candidate that is truly the best at the rates found is not in the winner set; again: one that equals the
  best on average is not; full: the same of the full study, whose seeds or folds search for themselves.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from one_arm_coverage import means

from headstart.stats.arms import Arms
from headstart.stats.sequential import judge, levels
from headstart.stats.simultaneous import Simultaneous

DRAWS = 1000
SHARE = 0.6
CURVATURE = 0.6
"""What a rate three times too high or too low costs, in standard deviations of a training."""
RATES = 3
MOST_EXTENSIONS = 2
OPTIMA = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""The best rate, in steps of the grid from its middle; one is drawn for each candidate."""


def searched(optimum: float, curvature: float, rng: np.random.Generator) -> tuple[float, int]:
    """What the chosen rate costs in score, and how many rates were tried. optimum: in steps of the grid from its
    middle."""
    tried = list(range(-(RATES // 2), RATES // 2 + 1))
    scores = {x: -curvature * (x - optimum) ** 2 + rng.normal() for x in tried}
    for _ in range(MOST_EXTENSIONS):
        best = max(scores, key=lambda x: scores[x])
        if best not in (min(scores), max(scores)):
            break
        beyond = best + (1 if best == max(scores) else -1)
        scores[beyond] = -curvature * (beyond - optimum) ** 2 + rng.normal()
    best = max(scores, key=lambda x: scores[x])
    return -curvature * (best - optimum) ** 2, len(scores)


@dataclass(frozen=True, eq=False)
class Drawn:
    """One study with all its trainings. values, replicates: name -> (S,), (S, B); costs: name -> mean cost of the rates
    that were found; tried: name -> rates tried in each search."""

    values: dict[str, np.ndarray]
    replicates: dict[str, np.ndarray]
    costs: dict[str, float]
    tried: dict[str, list[int]]


def drawn(
    gaps: np.ndarray, optima: np.ndarray, noise: np.ndarray, searches: int, curvature: float, rng: np.random.Generator
) -> Drawn:
    """gaps, optima (K,); noise (K, S, 1 + B): scores and replicates without gap and cost. searches: 1 or S."""
    study = Drawn({}, {}, {}, {})
    for k, optimum in enumerate(optima):
        found = [searched(optimum, curvature, rng) for _ in range(searches)]
        costs = np.array([cost for cost, _ in found])
        scores = noise[k] + costs[:, None] - gaps[k]
        study.values[f"{k}"], study.replicates[f"{k}"] = scores[:, 0], scores[:, 1:]
        study.costs[f"{k}"], study.tried[f"{k}"] = float(costs.mean()), [number for _, number in found]
    return study


def winner_set(study: Drawn) -> set[str]:
    together = Simultaneous.of(Arms(study.values, study.replicates), list(study.values), draws=DRAWS)
    best = list(study.values)[int(together.means.argmax())]
    return {n for n in study.values if n == best or not together.difference(n, best)[0].excludes_zero}


@dataclass(frozen=True)
class Ended:
    """How a study by the rule ended. spent: name -> seeds; intervals: (name, best, lo, hi) of all the others."""

    spent: dict[str, int]
    winners: set[str]
    intervals: list[tuple[str, str, float, float]]

    def holds(self, truths: dict[str, float]) -> bool:
        """Whether all intervals hold the truth."""
        return all(lo <= truths[name] - truths[best] <= hi for name, best, lo, hi in self.intervals)


def adaptive(study: Drawn, seeds: int) -> Ended:
    """The same trainings, looked at after every seed."""
    left, spent, intervals = list(study.values), {}, []
    for now, alpha in levels(seeds).items():
        values = {n: study.values[n][:now] for n in left}
        replicates = {n: study.replicates[n][:now] for n in left}
        verdict = judge(values, replicates, seeds, draws=DRAWS)
        spent |= dict.fromkeys(left, now)
        kept = [n for n in left if n not in verdict.dropped]
        last = now == seeds or verdict.decided or len(kept) == 1
        together = (
            Simultaneous.of(Arms(values, replicates), left, 1 - alpha, DRAWS) if last or verdict.dropped else None
        )
        for name in left if last else verdict.dropped:
            assert together
            of = together.difference(name, verdict.best)[0]
            intervals += [(name, verdict.best, of.lo, of.hi)] if name != verdict.best else []
        left = kept
        if last:
            break
    return Ended(spent, set(left), intervals)


def row(gaps: np.ndarray, seeds: int, each: bool, studies: int, curvature: float = CURVATURE) -> dict[str, float]:
    """One row of the table."""
    rng, count, draw = np.random.default_rng([seeds, *(100 * gaps).astype(int)]), len(gaps), means(500, 200)
    columns = ("same", "twice", "updates", "updates 3", "seeds", "covered", "again", "lost", "lost again", "full")
    tally: dict[str, list[float]] = {name: [] for name in columns}
    on_average = {optimum: np.mean([searched(optimum, curvature, rng)[0] for _ in range(2000)]) for optimum in OPTIMA}
    equal = {f"{k}" for k in np.flatnonzero(gaps == 0)}
    for _ in range(studies):
        optima = rng.choice(OPTIMA, size=count)
        optima[gaps == 0] = optima[0]
        luck = np.sqrt(SHARE) * rng.normal(size=(count, seeds, 1))
        of_images = np.sqrt((1 - SHARE) / 2) * (draw(rng, (count,))[:, None] + draw(rng, (count, seeds)))
        full = drawn(gaps, optima, luck + of_images, seeds if each else 1, curvature, rng)
        once = drawn(gaps, optima, luck + of_images, 1, curvature, rng)
        other = drawn(gaps, optima, luck + of_images, seeds if each else 1, curvature, rng)
        reference, ended = winner_set(full), adaptive(once, seeds)
        truths = {name: once.costs[name] - gap for name, gap in zip(once.costs, gaps, strict=True)}
        again = {f"{k}": on_average[optima[k]] - gaps[k] for k in range(count)}
        for folds, column in ((1, "updates"), (3, "updates 3")):
            of_full = sum(folds * (sum(tried) + seeds - len(tried)) for tried in full.tried.values())
            used = sum(0.5 * once.tried[n][0] + 0.5 + folds * number - 1 for n, number in ended.spent.items())
            tally[column].append(used / of_full)
        tally["same"].append(ended.winners == reference)
        tally["twice"].append(winner_set(other) == reference)
        tally["seeds"].append(sum(ended.spent.values()) / (count * seeds))
        tally["covered"].append(ended.holds(truths))
        tally["again"].append(ended.holds(again))
        tally["lost"].append(max(truths, key=lambda name: truths[name]) not in ended.winners)
        tally["lost again"].append(not equal <= ended.winners)
        tally["full"].append(not equal <= reference)
    return {name: 100 * float(np.mean(column)) for name, column in tally.items()}


GAPS = ((0, 0, 0), (0, 0, 15), (0, 0, 4), (0, 1, 15), (0, 2, 15), (0, 4, 15), (0, 8, 20), (0, 0, 1, 6, 15))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=1000, help="of each row; 100 for a glance")
    given = parser.parse_args()
    print(f"{'gaps':12s} seeds    same twice  updates    3 seeds  covered again  lost again full")
    for seeds, each in ((3, False), (5, True)):
        rows = []
        for gaps in GAPS:
            rows.append(row(np.array(gaps, float), seeds, each, given.studies))
            print(_line(" ".join(map(str, gaps)), seeds, rows[-1]), flush=True)
        print(_line("all", seeds, {name: float(np.mean([one[name] for one in rows])) for name in rows[0]}))
    print("rates that do not matter: the looks alone")
    for seeds in (3, 5):
        for gaps in GAPS[:3]:
            found = row(np.array(gaps, float), seeds, False, given.studies, curvature=0.0)
            print(_line(" ".join(map(str, gaps)), seeds, found), flush=True)


def _line(what: str, seeds: int, of: dict[str, float]) -> str:
    agree = f"{of['same']:6.1f} {of['twice']:5.1f}"
    spent = f"{of['updates']:7.0f} {of['updates 3']:4.0f} {of['seeds']:5.0f}"
    rest = " ".join(f"{of[name]:5.1f}" for name in ("again", "lost", "lost again", "full"))
    return f"{what:12s} {seeds:5d}  {agree}  {spent}  {of['covered']:7.1f} {rest}"


if __name__ == "__main__":
    main()
