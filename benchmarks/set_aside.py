"""How often a candidate is set aside that would have equaled the best, simulated (`headstart.study.durations`).

    python benchmarks/set_aside.py [--studies N]

Two candidates are trained with the first seed, at lengths of 1, 2, 4 and 8, by the rule of `compare`. The best scores
60 points at any length. The other one learns slowly, along curves of several families over updates t: power laws
1 - (1 + t / T)^-p, exponentials 1 - exp(-t / T), logistic curves of log t, 1 / (1 + (T / t)^p), which start late and
rise steeply; T follows from what it scores at length 8. A training's scores spread by `sd` points, six tenths of the
variance common to all its scores. Percent of the studies in which it is set aside, or mean lengths:

- equal: it scores 60 points at length 8 and would go on to 61, 72 and 90;
- half, 70 %: it scores so much of 60 points at length 8. `to`: the mean length of the trainings of the best, whose
  further seeds are as long, with the rule and without;
- later: it comes to 60 points, but has only seven tenths of them at length 8: it cannot win within the budget.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np

from headstart.config.study import Task
from headstart.names import validation
from headstart.recipes.schema import recipe_of
from headstart.study.durations import duration
from headstart.study.jobs import Job

Curve = Callable[[np.ndarray, float], np.ndarray]
"""Share of its plateau after t updates, with the time constant T."""
BEST, MARGIN, DOUBLINGS = 0.6, 0.01, 3
METRIC = "seg/miou"
RECIPE = recipe_of({"name": "r", "updates": 1, "batch_size": 1, "lr": 0.1, "head": "pixel"})
TASK = Task(name="t", kind="segment", train=("a",), test=("b",), recipe=RECIPE, most_updates=2**DOUBLINGS)
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


def study(
    curve: Curve, constant: float, plateau: float, *, sd: float, rng: np.random.Generator, rule: bool
) -> tuple[bool, int]:
    """Whether the slow candidate was set aside, and the length that trainings of the other came to."""
    luck = np.sqrt(0.6) * sd * rng.normal(size=(2, 1))
    noise = luck + np.sqrt(0.4) * sd * rng.normal(size=(DOUBLINGS + 1, 2, 3))

    def found(job: Job) -> dict[str, float | None]:
        name, doubled = job.settings
        shown = plateau * curve(THIRDS * 2.0**doubled, constant) if name == "slow" else BEST
        scores = shown + noise[doubled, int(name == "best")]
        falling = {"train/not_converged": float(name == "slow")}
        return falling | {validation(METRIC, thirds): scores[thirds - 1] for thirds in (1, 2, 3)}

    def trained(name: str, doubled: int) -> tuple[Job, ...]:
        return (Job("transfer", (name, doubled)),)

    arms = {name: partial(trained, name) for name in ("best", "slow")}
    ranked = set(arms) if rule else set[str]()
    told = duration(TASK, arms, found, margin=MARGIN, lost=lambda job: False, ranked=ranked)
    assert told.doublings is not None
    return bool(told.aside), 2**told.doublings


def row(curve: Curve, sd: float, studies: int) -> str:
    def of(share: float, plateau: float, rule: bool = True) -> np.ndarray:
        """Of a candidate that scores `share` of the best at the longest length: percent set aside, and length."""
        rng, constant = np.random.default_rng(0), constant_of(curve, share * BEST / plateau)
        return np.mean([study(curve, constant, plateau, sd=sd, rng=rng, rule=rule) for _ in range(studies)], axis=0) * [
            100,
            1,
        ]

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
