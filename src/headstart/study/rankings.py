"""The rankings of a finished study as values: what `metrics.json` has under `rankings`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.study.answer import ranking_lines, time_of


@dataclass(frozen=True, repr=False)
class Standing:
    """One of the weights in a ranking. Scores are fractions.

    mean, lo, hi: over the seeds, with the interval; a single seed has none. to_best: mean and interval of the
    difference to the best, 0 for the best itself. not_distinguishable: whether it may as well be the best.
    """

    weights: str
    mean: float
    lo: float | None
    hi: float | None
    to_best: tuple[float | None, float | None, float | None]
    not_distinguishable: bool
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

    best_set: the best, and all that cannot be told apart from it. cheapest_adequate: see docs/statistics.md.
    """

    task: str
    kind: str
    metric: str
    test_images: int
    best: str
    best_set: tuple[str, ...]
    cheapest_adequate: str | None
    standings: tuple[Standing, ...]
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
            best=facts["best"],
            best_set=tuple(facts["best_set"]),
            cheapest_adequate=facts["cheapest_adequate"],
            standings=tuple(_standing(row, facts, run) for row in facts["rows"]),
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
        not_distinguishable=row["weights"] in facts["best_set"],
        not_converged=row["not_converged"],
        parameters=row["cost"]["parameters"],
        gflops=row["cost"]["gflops"],
        milliseconds=timed.ms_per_image if (timed := time_of(row["cost"], run)) else None,
    )
