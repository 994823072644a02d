"""How often a comparison is called not converged that is, and one that is not: by the rule of `headstart.stats`.

    python benchmarks/convergence.py [--studies 1000]

Arms score 40 points at a third of their updates; then 50 and 50, or a point below 50 for each point of `rise`, and 50.
`dip`: 50, 45 and 50, as may be where a training went on, and its rate was up again in between; its loss still falls.
Scores of a training on held-out images spread by 2 points. Percent of the studies in which a pair of arms is unsettled.
"""

from __future__ import annotations

import argparse

import numpy as np

from headstart.stats.convergence import convergence

SPREAD = 0.02
MARGIN = 0.01


CURVES = {"still": (0.4, 0.5, 0.5), "rise 6": (0.4, 0.44, 0.5), "rise 8": (0.4, 0.42, 0.5), "dip": (0.5, 0.45, 0.5)}


def unsettled(rng: np.random.Generator, curve: str, *, arms: int, seeds: int) -> bool:
    """Whether any pair of equal arms is called so."""
    true = np.array(CURVES[curve])[:, None]
    scores = {f"arm{k}": true + rng.normal(0, SPREAD, (3, seeds)) for k in range(arms)}
    return bool(convergence(scores, dict.fromkeys(scores, [curve == "dip"] * seeds), MARGIN).unsettled)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    print("arms  seeds  " + "  ".join(f"{curve:>6}" for curve in CURVES))
    for arms in (2, 3, 5, 9):
        for seeds in (3, 5):
            rng = np.random.default_rng(0)
            found = [
                np.mean([unsettled(rng, curve, arms=arms, seeds=seeds) for _ in range(studies)]) for curve in CURVES
            ]
            print(f"{arms:4d}  {seeds:5d}  " + "  ".join(f"{100 * share:6.1f}" for share in found))


if __name__ == "__main__":
    main()
