"""What a run tells while it works, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from headstart.study.jobs import Job


class Expansion(Protocol):
    """What is known of a study's jobs by now."""

    @property
    def ready(self) -> Sequence[Job]:
        """Not finished, and every input is."""

    @property
    def known(self) -> Sequence[Job]:
        """All jobs known so far, finished ones too."""

    @property
    def complete(self) -> bool:
        """Whether no result can add further jobs."""

    @property
    def hidden(self) -> int:
        """Jobs that will follow once others are done, at least."""

    @property
    def again(self) -> frozenset[str]:
        """Names of jobs that were finished and are made again."""

    @property
    def to_the_end(self) -> Mapping[str, float]:
        """Key of a known job -> CPU seconds of it and of the longest chain of known jobs that wait for it."""


@dataclass(frozen=True)
class Event:
    """Something that a display may want to show."""

    what: Literal["known", "started", "progress", "finished", "failed", "retried"]
    job: Job | None = None
    """The job it is about; None for `known`."""
    fraction: float = 0.0
    """0..1, for `progress`."""
    message: str = ""
    """What the job says of itself, or why it failed or is tried again."""
    seconds: float = 0.0
    """How long the job ran, for `finished` and `failed`."""
    known: tuple[Job, ...] = ()
    """All jobs known so far, for `known`."""
    done: frozenset[str] = frozenset()
    """Names of those that are finished, for `known`."""
    hidden: int = 0
    """Jobs at least that follow once others are done, for `known`."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    finished: int
    """Jobs finished by this call; those found finished do not count."""
    failed: list[tuple[str, str]]
    """Label and message of each job that failed."""
    left: list[str]
    """Labels of jobs that could not run, because a job they need failed."""
    complete: bool
    """Everything that the study asks for is in the store."""
    seconds: float
    exit_code: int = 0
    """For the command: 0, 1 when a job failed, 2 when one failed because its input cannot be read or used."""
