"""How often a candidate is set aside that would have equaled the best, simulated (`headstart.stats.reach`).

    python benchmarks/set_aside.py [--studies N]

Two candidates are trained with the first seed, at lengths of 1, 2, 4 and 8, while one of them still moves by the rule
of `headstart.stats.convergence`. The best scores 60 points at any length. The other one learns slowly, along curves of
several families over updates t: power laws 1 - (1 + t / T)^-p, exponentials 1 - exp(-t / T), logistic curves of log t,
1 / (1 + (T / t)^p), which start late and rise steeply; T follows from what it scores at length 8. A training's scores
spread by `sd` points, six tenths of the variance common to all its scores. Percent of the studies in which it is set
aside at some length, or mean lengths:

- equal: it scores 60 points at length 8 and goes on to 61, 72 and 90;
- half, 70 %: it scores so much of 60 points at length 8. `to`: the mean length that trainings come to with the rule and
  without;
- later: it comes to 60 points, but has only seven tenths of them at length 8: it cannot win within the budget.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from headstart.stats.convergence import convergence
from headstart.stats.reach import reach

Curve = Callable[[np.ndarray, float], np.ndarray]
"""Share of its plateau after t updates, with the time constant T."""
BEST, MARGIN, DOUBLINGS = 0.6, 0.01, 3
THIRDS = np.array([1 / 3, 2 / 3, 1])


def power(p: float) -> Curve:
    return lambda t, constant: 1 - (1 + t / constant) ** -p


def logistic(p: float) -> Curve:
    return lambda t, constant: 1 / (1 + (constant / t) ** p)


FAMILIES: dict[str, Curve] = {
    "power .5": power(0.5),
    "power 1": power(1),
    "power 2": power(2),
    "exponential": lambda t, constant: 1 - np.exp(-t / constant),
    "logistic 1": logistic(1),
    "logistic 2": logistic(2),
    "logistic 3": logistic(3),
    "logistic 4": logistic(4),
}


def constant_of(curve: Curve, share: float) -> float:
    """The constant with which this share of the plateau is there at the longest length; by bisection of its log."""
    low, high = -14.0, 14.0
    for _ in range(60):
        middle = (low + high) / 2
        more = float(curve(np.array(2.0**DOUBLINGS), 2.0**middle)) > share
        low, high = (middle, high) if more else (low, middle)
    return 2.0**low


def study(curve: Curve, constant: float, plateau: float, sd: float, rng: np.random.Generator, rule: bool = True):
    """Whether the slow candidate was set aside, and the length that trainings came to."""
    luck = np.sqrt(0.6) * sd * rng.normal(size=(2, 1))
    for doubled in range(DOUBLINGS + 1):
        noise = luck + np.sqrt(0.4) * sd * rng.normal(size=(2, 3))
        slow = (plateau * curve(THIRDS * 2.0**doubled, constant) + noise[0])[:, None]
        best = (BEST + noise[1])[:, None]
        moving = convergence({"slow": slow, "best": best}, {"slow": [True], "best": [False]}, MARGIN).moving
        if doubled == DOUBLINGS or not moving:
            break
        if rule and "slow" in moving and slow[2] < best[2]:
            forecast = reach(slow, best, DOUBLINGS - doubled)
            if forecast is not None and forecast.is_out:
                return True, 2**doubled
    return False, 2**doubled


def row(curve: Curve, sd: float, studies: int) -> str:
    def of(share: float, plateau: float, rule: bool = True) -> np.ndarray:
        """Of a candidate that scores `share` of the best at the longest length: percent set aside, and length."""
        rng, constant = np.random.default_rng(0), constant_of(curve, share * BEST / plateau)
        return np.mean([study(curve, constant, plateau, sd, rng, rule) for _ in range(studies)], axis=0) * [100, 1]

    equal = [of(1.0, rise * BEST)[0] for rise in (61 / 60, 1.2, 1.5)]
    shown = "".join(f"{value:6.1f}" for value in equal)
    for share in (0.5, 0.7):
        aside, length = of(share, 1.1 * share * BEST)
        shown += f"{aside:8.0f} {length:4.1f} {of(share, 1.1 * share * BEST, rule=False)[1]:4.1f}"
    return f"{shown}{of(0.7, BEST)[0]:8.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies of each cell; 100 for a glance")
    given = parser.parse_args()
    print(f"{given.studies} studies a cell")
    print("curve        sd   equal: 61    72    90    half   to  not    70 %   to  not   later")
    for sd in (1.5, 3.0):
        for name, curve in FAMILIES.items():
            print(f"{name:12s} {sd:3.1f}     {row(curve, sd / 100, given.studies)}", flush=True)


if __name__ == "__main__":
    main()
