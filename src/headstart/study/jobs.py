"""Jobs: what a study is made of, and the keys under which their results are stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel

VERSIONS = {
    "draw": 1,
    "split": 2,
    "prepare": 2,
    "view": 1,
    "resize": 1,
    "proposals": 1,
    "pretrain": 3,
    "transfer": 6,
    "evaluate": 4,
    "decide": 1,
    "finetune": 1,
    "test_whole": 1,
    "features": 2,
    "probe": 5,
    "neighbors": 3,
    "activations": 1,
    "composition": 5,
    "look": 4,
    "pair": 4,
    "contents": 3,
    "screen": 1,
    "time": 1,
}
"""Raised by hand when the results of a kind of job change for the same settings (guarded by golden outputs)."""

WANTS_GPU = frozenset(
    {
        "proposals",
        "pretrain",
        "transfer",
        "evaluate",
        "finetune",
        "test_whole",
        "features",
        "screen",
        "activations",
        "look",
        "time",
    }
)
"""Kinds of jobs that run a network: they go to a GPU where there is one, and their numbers depend on its kind. All
others stay on the CPU."""


ALONE = frozenset({"time"})
"""Kinds of jobs that run when nothing else does, after all others: they measure time."""

SAVES_STATE = frozenset({"proposals", "pretrain", "transfer", "finetune"})
"""Kinds of jobs that look whether they are asked to stop, and save their state then."""


def as_json(value: Any) -> Any:
    """Settings as JSON has them: dataclasses and pydantic models as objects with all their fields, tuples as lists.

    What has an `identity()` is that: fields that only describe it are no part of a key, nor are those that came later
    (`headstart.study.settings.LATER`) and have their default.
    """
    if isinstance(value, BaseModel):
        identity = getattr(value, "identity", None)
        return identity() if callable(identity) else value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        told = [f for f in fields(value) if not (f.metadata.get("later") and getattr(value, f.name) == f.default)]
        return {f.name: as_json(getattr(value, f.name)) for f in told}
    if isinstance(value, Mapping):
        return {str(name): as_json(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [as_json(item) for item in value]
    return value


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 of the canonical JSON, 64 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Job:
    """One piece of work, stored under a key that hashes everything its result depends on.

    `settings` and the keys of `inputs` are hashed; `place` (paths, whether to stay offline) is not: a run directory
    or a data set may be moved.
    """

    kind: str
    settings: Any
    """The frozen dataclass of this kind, see `headstart.study.settings`."""
    inputs: dict[str, Job] = field(default_factory=dict)
    place: Any = None
    """The frozen dataclass of where this kind finds things on this machine, if it needs any."""
    label: str = ""
    """What the user reads while it runs."""
    cost: float = 1.0
    """Expected CPU seconds, for the order of work and the time left."""

    @cached_property
    def key(self) -> str:
        """64 hex digits."""
        return digest(
            {
                "kind": self.kind,
                "version": VERSIONS.get(self.kind, 1),
                "settings": as_json(self.settings),
                "inputs": {name: job.key for name, job in self.inputs.items()},
            }
        )

    @property
    def name(self) -> str:
        """Name of the directory in the store."""
        return f"{self.kind}-{self.key[:16]}"

    def info(self, seconds: float) -> dict[str, Any]:
        """What the store writes down of it beside its key."""
        return {
            "kind": self.kind,
            "version": VERSIONS.get(self.kind, 1),
            "settings": as_json(self.settings),
            "inputs": {role: needed.key for role, needed in self.inputs.items()},
            "label": self.label,
            "seconds": round(seconds, 3),
        }


@dataclass(frozen=True)
class Trial:
    """One (weights, task, recipe, seed): how it was trained and where it is evaluated."""

    weights: str
    task: str
    seed: int
    evaluate: Job
    transfers: tuple[Job, ...]
    """One a fold; empty for probes."""
    rates: tuple[float, ...]
    """Rate used in each fold; empty for probes."""
    at_edge: bool
    """The best rate is still the lowest or highest tried, after the search was extended."""


@dataclass(frozen=True)
class Pair:
    """Two candidates explained: `a` against `b`."""

    why: str
    """The task whose trainings are explained; the name of the set of images where there is none."""
    a: str
    b: str
    images: Job
    looks: tuple[Job, Job]
    pair: Job
    contents: Job | None
    """None where no model was trained or fitted."""

    @property
    def jobs(self) -> list[Job]:
        """Those that explain, not those that they need."""
        return [*self.looks, self.pair, *([self.contents] if self.contents else [])]


@dataclass(frozen=True)
class Expansion:
    """What is known of a study at one moment: rates that are still being searched hide the jobs that follow."""

    known: list[Job]
    ready: list[Job]
    """Not done, and all their inputs are."""
    complete: bool
    """Every job of the study is known and done."""
    trials: list[Trial] = field(default_factory=list)
    explain: list[tuple[str, int, Job]] = field(default_factory=list)
    """(kind, seed, job) of the explanations."""
    pairs: list[Pair] = field(default_factory=list)
    aside: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Task -> candidates that were set aside, and why (`headstart.stats.reach`)."""
    times: Mapping[tuple[str, str], Job] = field(default_factory=dict)
    """By weights and task, the job that times their network; one for all of the same architecture and size."""
    hidden: int = 0
    """Jobs that will follow once rates are chosen, at least."""
    done: frozenset[str] = frozenset()
    """Keys of finished jobs."""
    again: frozenset[str] = frozenset()
    """Names of jobs that were finished and are made again, since files of theirs were dropped that are needed."""

    @cached_property
    def to_the_end(self) -> Mapping[str, float]:
        """Key of a known job -> CPU seconds of it and of the longest chain of known jobs that wait for it."""
        after: dict[str, float] = {}
        for job in reversed(self.known):  # each after its inputs
            after[job.key] = after.get(job.key, 0.0) + job.cost
            for needed in job.inputs.values():
                after[needed.key] = max(after.get(needed.key, 0.0), after[job.key])
        return after
