"""What a run shows while it works: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from headstart.data.summaries import NOTES
from headstart.study.executors.events import Event
from headstart.study.jobs import Job
from headstart.terminal import printable, tell

TRUSTED_SECONDS = 20.0
LINE_SECONDS = 10.0
"""At least this long between two lines of progress where there is no terminal; ends of jobs are told at once."""


@dataclass
class TimeLeft:
    """Expected time left, from what jobs were expected to cost and what finished ones took.

    Costs are guesses in CPU seconds. They are corrected by the ratio of measured to guessed seconds, over all jobs and
    then per kind of job; each ratio starts as if TRUSTED_SECONDS had been guessed right, so that a first short job
    cannot turn the whole estimate over.
    """

    workers: int
    known: dict[str, Job] = field(default_factory=dict)
    done: frozenset[str] = frozenset()
    fractions: dict[str, float] = field(default_factory=dict)
    """Of running jobs, by name."""
    _spent: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Kind of job -> seconds and costs of its finished jobs."""

    def finished(self, job: Job, seconds: float) -> None:
        """Learn from a job that took `seconds`."""
        before = self._spent.get(job.kind, (0.0, 0.0))
        self._spent = self._spent | {job.kind: (before[0] + seconds, before[1] + job.cost)}

    def seconds(self) -> float | None:
        """None before the first finished job."""
        spent = self._spent
        if not spent:
            return None
        overall = _corrected(sum(s for s, _ in spent.values()), sum(c for _, c in spent.values()), 1.0)
        parts = [
            _corrected(*spent.get(job.kind, (0.0, 0.0)), overall) * job.cost * (1 - self.fractions.get(name, 0.0))
            for name, job in self.known.items()
            if name not in self.done
        ]
        return max(sum(parts) / self.workers, max(parts, default=0.0))


def _corrected(seconds: float, costs: float, prior: float) -> float:
    """Ratio of measured seconds to costs, drawn towards `prior` while little has been measured."""
    return (seconds + TRUSTED_SECONDS * prior) / (costs + TRUSTED_SECONDS)


class ProgressDisplay:
    """Shows the events of `run_jobs`; used as a context manager around it and given to it as `on_event`.

    workers: processes at a time, for the time left. quiet: show only warnings that are no notes. stream: where to write
    (standard error by default); live where it is a terminal. Colors stay off when NO_COLOR is set.
    """

    def __init__(self, workers: int, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        live = not quiet and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        left = TimeLeft(workers)
        self._view: _Live | _Lines | None = _Live(left, self._stream) if live else _Lines(left, self._stream)
        if quiet:
            self._view = None
        self._handler = _Above(self._say, quiet)
        self._propagated = True

    def __enter__(self) -> ProgressDisplay:
        logger = logging.getLogger("headstart")
        logger.addHandler(self._handler)
        self._propagated, logger.propagate = logger.propagate, False
        if isinstance(self._view, _Live):
            self._view.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(self._view, _Live):
            self._view.bars.stop()
        logger = logging.getLogger("headstart")
        logger.removeHandler(self._handler)
        logger.propagate = self._propagated

    @property
    def warnings(self) -> list[str]:
        """What was warned of so far, each once."""
        return list(self._handler.warned)

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        if self._view is not None:
            self._view.take(event)

    def _say(self, text: str) -> None:
        if isinstance(self._view, _Live):
            self._view.bars.console.print(escape(printable(text)), highlight=False)
        else:
            tell(text, self._stream)


class _Above(logging.Handler):
    """Puts warnings above the live table instead of through it."""

    def __init__(self, say: Callable[[str], None], quiet: bool) -> None:
        super().__init__()
        self._say, self._quiet = say, quiet
        self.warned: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if record.levelno >= logging.WARNING and record.name != NOTES and said not in self.warned:
            self.warned.append(said)
        if not (self._quiet and record.name == NOTES):
            self._say(said)


class _Tally:
    """What both views know."""

    def __init__(self, left: TimeLeft) -> None:
        self.left = left
        self.began = time.monotonic()
        self.hidden = 0

    def count(self, event: Event) -> None:
        left = self.left
        if event.what == "known":
            left.known = {job.name: job for job in event.known}
            left.done, self.hidden = event.done, event.hidden
        elif event.job is not None:
            name = event.job.name
            left.fractions[name] = event.fraction
            if event.what == "finished":
                left.done |= {name}
                left.finished(event.job, event.seconds)
            if event.what in ("finished", "failed", "retried"):
                left.fractions.pop(name, None)

    def summary(self) -> str:
        """Such as "12 of 57 jobs, 3:05 so far, about 8 min left", of the jobs that are known."""
        so_far = f"{len(self.left.done)} of {len(self.left.known)} jobs, {clock(time.monotonic() - self.began)} so far"
        seconds = self.left.seconds()
        if seconds is None:
            return so_far
        more = f" for these; {self.hidden} or more follow" if self.hidden else ""
        return f"{so_far}, {about(seconds)} left{more}"


class _Lines(_Tally):
    """Plain lines: the end of every job, and a summary now and then."""

    def __init__(self, left: TimeLeft, stream: TextIO) -> None:
        super().__init__(left)
        self._stream = stream
        self._last = time.monotonic()

    def take(self, event: Event) -> None:
        self.count(event)
        now = time.monotonic()
        line = _line_of(event)
        if not line and now - self._last > LINE_SECONDS and event.job is not None:
            line = f"{event.job.label}: {event.fraction:.0%} {event.message}".rstrip()
        if line:
            self._last = now
            tell(f"[{self.summary()}] {line}", self._stream)


class _Message(ProgressColumn):
    """What a job says of itself; beside the bar of the whole the summary, whose clock runs between events, too."""

    def __init__(self, summary: Callable[[], str]) -> None:
        super().__init__()
        self._summary = summary

    def render(self, task: Task) -> Text:
        return Text(printable(task.fields["message"], one_line=True) if "message" in task.fields else self._summary())


class _Live(_Tally):
    """A line for the whole and one, with a bar, for each running job."""

    def __init__(self, left: TimeLeft, stream: TextIO) -> None:
        super().__init__(left)
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Message(self.summary),
            console=Console(file=stream, highlight=False),
            transient=True,
            refresh_per_second=4,
        )
        self._whole = self.bars.add_task("all", total=1.0)
        self._tasks: dict[str, TaskID] = {}

    def take(self, event: Event) -> None:
        self.count(event)
        job = event.job
        if job is not None:
            if job.name not in self._tasks:
                self._tasks[job.name] = self.bars.add_task(
                    escape(printable(job.label, one_line=True)), total=1.0, message=""
                )
            self.bars.update(self._tasks[job.name], completed=event.fraction, message=event.message)
            if event.what in ("finished", "failed", "retried"):
                self.bars.remove_task(self._tasks.pop(job.name))
        if event.what in ("failed", "retried"):
            self.bars.console.print(escape(printable(_line_of(event))))
        self.bars.update(self._whole, completed=self._share())

    def _share(self) -> float:
        """Part of the expected work that is done."""
        costs = {name: job.cost for name, job in self.left.known.items()}
        done = sum(cost for name, cost in costs.items() if name in self.left.done)
        running = sum(costs.get(name, 0.0) * part for name, part in self.left.fractions.items())
        return (done + running) / max(sum(costs.values()), 1e-9)


def _line_of(event: Event) -> str:
    if event.job is None:
        return ""
    if event.what == "finished":
        return f"{event.job.label}: done in {clock(event.seconds)}"
    if event.what == "failed":
        return f"{event.job.label}: failed: {event.message}"
    if event.what == "retried":
        return f"{event.job.label}: {event.message}; it is tried again"
    return ""


def clock(seconds: float) -> str:
    """Such as 0:07, 12:30 or 3:05:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def about(seconds: float) -> str:
    """A duration as rough as it is known: such as "less than a minute", "about 8 min", "about 2.5 h"."""
    if seconds < 60:
        return "less than a minute"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
