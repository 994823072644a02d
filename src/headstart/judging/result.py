"""What a table of scores says, as values and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.stats.intervals import finite


@dataclass(frozen=True)
class Lead:
    """A model minus the leader, in the score's unit. All pairs of a verdict hold at once, so choosing the leader by its
    score is paid for. p: adjusted for all pairs. shared: data sets that both have. detectable: the smallest true
    difference that this pair would have shown with 80 % power."""

    effect: float
    lo: float
    hi: float
    p: float
    shared: int
    detectable: float

    def to_json(self) -> dict[str, Any]:
        """Flat names; numbers that do not exist are null."""
        return {name: finite(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Standing:
    """One model. mean: over data sets, as if it had every one of them; rank: mean rank over the data sets that have all
    models, nan where there are none; datasets: on which it has a score. behind: how far it is at least and at most
    behind the best, whichever that is; both at least 0, whether more or less is better. to_leader: None for the leader
    itself, and for a model that shares fewer than two data sets with it."""

    model: str
    mean: float
    rank: float
    datasets: int
    in_best_set: bool
    behind: tuple[float, float]
    to_leader: Lead | None

    def to_json(self) -> dict[str, Any]:
        """Flat names; numbers that do not exist are null."""
        return vars(self) | {
            "mean": finite(self.mean),
            "rank": finite(self.rank),
            "behind": [*map(finite, self.behind)],
            "to_leader": self.to_leader and self.to_leader.to_json(),
        }


@dataclass(frozen=True)
class Verdict:
    """Models over the data sets of a table, or of one group of it. standings: best first. level: with which all of its
    statements hold together. detectable: the median over pairs. apart: models that no chain of shared data sets joins
    to these, left out. pooling: how far variances of pairs were drawn together, 0 to 1."""

    of: str
    datasets: int
    standings: tuple[Standing, ...]
    level: float
    critical: float
    pooling: float
    detectable: float
    apart: tuple[str, ...]

    @property
    def leader(self) -> str:
        """The model of the best mean."""
        return self.standings[0].model

    @property
    def best_set(self) -> tuple[str, ...]:
        """Models that are not shown to be worse than any other."""
        return tuple(s.model for s in self.standings if s.in_best_set)

    def to_json(self) -> dict[str, Any]:
        """Flat names; numbers that do not exist are null."""
        return vars(self) | {
            "leader": self.leader,
            "best_set": list(self.best_set),
            "standings": [s.to_json() for s in self.standings],
            "detectable": finite(self.detectable),
            "apart": list(self.apart),
        }


@dataclass(frozen=True)
class Precision:
    """What the differences of a typical pair are made of, and what more would buy.

    sd: standard deviation of a difference from data set to data set; seed_sd: of a score from seed to seed; seed_share:
    part of sd^2 that the seeds are (nan where there is one score a cell); image_share: the same of the images' own
    sampling, at most (nan where it cannot be told). detectable: of the typical pair, now; with twice the seeds, with
    twice the data sets, at about the same critical value.
    """

    sd: float
    seed_sd: float
    seed_share: float
    image_share: float
    detectable: float
    with_twice_seeds: float
    with_twice_datasets: float

    def to_json(self) -> dict[str, Any]:
        """Flat names; numbers that do not exist are null."""
        return {name: finite(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Otherwise:
    """The same table read in another way: its leader and best set. scale: what was compared, in words."""

    scale: str
    leader: str
    best_set: tuple[str, ...]
    datasets: int

    def to_json(self) -> dict[str, Any]:
        """Flat names."""
        return vars(self) | {"best_set": list(self.best_set)}


@dataclass(frozen=True, repr=False)
class Judgement:
    """A table of scores, judged. `verdict` is the answer.

    groups: a verdict for each group with two data sets or more; together they hold with 95 %. interaction_p: of models
    that differ alike in all groups; nan without groups. otherwise: other readings. movers: data sets without which
    another model would lead, with that model. holes: which models lack which data sets. unknown: what the table cannot
    say. notes: how it was read. table: data sets and what each model has there. lines: all of it in words. page: the
    HTML page, None where none was asked for.
    """

    path: str
    score: str
    unit: str
    scale: str
    higher_is_better: bool
    datasets: int
    models: int
    repeats: tuple[int, int]
    verdict: Verdict
    groups: tuple[Verdict, ...]
    interaction_p: float
    otherwise: tuple[Otherwise, ...]
    movers: tuple[tuple[str, str], ...]
    precision: Precision
    holes: tuple[str, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]
    table: tuple[tuple[str, dict[str, float]], ...]
    lines: tuple[str, ...] = ()
    page: Path | None = None

    @property
    def leader(self) -> str:
        """The model of the best mean."""
        return self.verdict.leader

    @property
    def best_set(self) -> tuple[str, ...]:
        """Models that are not shown to be worse than any other."""
        return self.verdict.best_set

    def __repr__(self) -> str:
        best = ", ".join(self.best_set[:4]) + (", ..." if len(self.best_set) > 4 else "")
        return f"<judgement of {self.models} models on {self.datasets:,} data sets; best set: {best}>"

    def text(self) -> str:
        """As `headstart judge` prints it."""
        return "\n".join([*self.lines, *([] if self.page is None else ["", f"page: {self.page}"])])

    def to_json(self) -> dict[str, Any]:
        """Flat names; numbers that do not exist are null."""
        return {
            "table": {
                "path": self.path,
                "datasets": self.datasets,
                "models": self.models,
                "scores_a_cell": list(self.repeats),
                "score": self.score,
                "unit": self.unit,
                "scale": self.scale,
                "higher_is_better": self.higher_is_better,
                "holes": list(self.holes),
                "notes": list(self.notes),
            },
            "verdict": self.verdict.to_json(),
            "groups": [group.to_json() for group in self.groups],
            "interaction_p": finite(self.interaction_p),
            "otherwise": [other.to_json() for other in self.otherwise],
            "movers": [{"without": dataset, "leader": model} for dataset, model in self.movers],
            "precision": self.precision.to_json(),
            "unknown": list(self.unknown),
            "page": None if self.page is None else str(self.page),
        }
