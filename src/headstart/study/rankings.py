"""The rankings of a finished study as values: what `metrics.json` has under `rankings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.study.answer import ranking_lines, time_of


@dataclass(frozen=True, repr=False)
class Standing:
    """One of the weights in a ranking. Scores are fractions.

    mean, lo, hi: over the seeds, with the interval. to_best: mean and interval of the difference to the best, 0 for the
    best itself; these intervals hold together. behind_at_most: how far behind the true best. not_distinguishable:
    whether it is not shown to be worse than the best. at_edge: whether its best rate lay at the edge of the search.
    """

    weights: str
    mean: float
    lo: float | None
    hi: float | None
    to_best: tuple[float | None, float | None, float | None]
    behind_at_most: float | None
    not_distinguishable: bool
    at_edge: bool
    not_converged: bool
    parameters: float | None
    gflops: float | None
    milliseconds: float | None = None
    """An image takes in the backbone, on the machine of the run; `Ranking.text` says how it was measured."""

    def __repr__(self) -> str:
        interval = "" if self.lo is None or self.hi is None else f" [{100 * self.lo:.1f}, {100 * self.hi:.1f}]"
        return f"<{self.weights}: {100 * self.mean:.1f}{interval}>"


@dataclass(frozen=True, repr=False)
class Ranking:
    """Weights on one task by one metric, best first.

    ranked: False with one seed, which shows none to be worse than another. best_set: the best, and all that are not
    shown to be worse. set_aside: weights of which nothing is said, and why (docs/adaptive.md). cheapest_adequate,
    cheapest_not_worse, overstated: see docs/statistics.md.
    """

    task: str
    kind: str
    metric: str
    test_images: int
    ranked: bool
    best: str
    best_set: tuple[str, ...]
    cheapest_adequate: str | None
    cheapest_not_worse: str | None
    overstated: float | None
    standings: tuple[Standing, ...]
    set_aside: Mapping[str, str]
    facts: dict[str, Any]
    """All of it as `metrics.json` has it."""
    run: Path | None = None
    """Its run directory, where times of networks lie."""

    @classmethod
    def from_json(cls, facts: dict[str, Any], run: Path | None = None) -> Ranking:
        """Of one entry of `rankings`."""
        return cls(
            task=facts["task"],
            kind=facts["kind"],
            metric=facts["metric"],
            test_images=facts["test_images"],
            ranked=facts["ranked"],
            best=facts["best"],
            best_set=tuple(facts["best_set"]),
            cheapest_adequate=facts["cheapest_adequate"],
            cheapest_not_worse=facts["cheapest_not_worse"],
            overstated=facts["overstated"],
            standings=tuple(_standing(row, facts, run) for row in facts["rows"]),
            set_aside=facts.get("set_aside", {}),
            facts=facts,
            run=run,
        )

    def __repr__(self) -> str:
        return f"<ranking of {self.task} by {self.metric}: {', '.join(map(repr, self.standings))}>"

    def text(self) -> str:
        """As the terminal shows it."""
        return "\n".join(ranking_lines(self.facts, self.run))


def _standing(row: dict[str, Any], facts: dict[str, Any], run: Path | None) -> Standing:
    best = row["weights"] == facts["best"]
    to_best = (0.0, 0.0, 0.0) if best else tuple(row["to_best"][key] for key in ("effect", "lo", "hi"))
    return Standing(
        weights=row["weights"],
        mean=row["mean"],
        lo=row["lo"],
        hi=row["hi"],
        to_best=to_best,
        behind_at_most=row["behind_at_most"],
        not_distinguishable=row["weights"] in facts["best_set"],
        at_edge=row["at_edge"],
        not_converged=row["not_converged"],
        parameters=row["cost"]["parameters"],
        gflops=row["cost"]["gflops"],
        milliseconds=timed.ms_per_image if (timed := time_of(row["cost"], run)) else None,
    )
