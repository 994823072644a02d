"""What happens in a run as lines of JSON, for programs: one line an event, by a published schema.

`python -m headstart.study.executors.telling docs/events.schema.json` writes the schema.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from headstart.errors import HeadstartError, Interrupted
from headstart.store.files import append_line, write_text
from headstart.study.executors.events import Event


class Line(BaseModel):
    """One line of `--events FILE`. Fields may be added; `version` is raised where one changes or goes."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    time: str = Field(description="When it was told, in UTC (ISO 8601).")
    event: Literal["known", "started", "progress", "finished", "failed", "retried", "ended"] = Field(
        description="known: the number of jobs, whenever it or that of finished ones may have changed; ended: the last "
        "line of a run that was not killed; the others are of one job."
    )
    job: str | None = Field(default=None, description="Name of the job's directory in store/.")
    kind: str | None = Field(default=None, description="Kind of the job.")
    label: str | None = Field(default=None, description="The job for people.")
    fraction: float | None = Field(default=None, ge=0, le=1, description="Done of the job, of progress.")
    message: str | None = Field(
        default=None, description="What the job says of itself, or why it failed or is tried again; of ended: how."
    )
    seconds: float | None = Field(default=None, ge=0, description="How long the job ran, of finished and failed.")
    known: int | None = Field(default=None, ge=0, description="Jobs known so far, of known.")
    done: int | None = Field(default=None, ge=0, description="Finished ones among them, of known.")


class EventLines:
    """Writes the events of a run, given to it one by one, to the end of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, event: Event) -> None:
        """Raises StoreError where it cannot be written."""
        if event.job is None:
            self._write(Line(time=_now(), event=event.what, known=len(event.known), done=len(event.done)))
            return
        job, ends = event.job, event.what in ("finished", "failed")
        self._write(
            Line(
                time=_now(),
                event=event.what,
                job=job.name,
                kind=job.kind,
                label=job.label,
                fraction=event.fraction if event.what == "progress" else None,
                message=event.message or None,
                seconds=round(event.seconds, 3) if ends else None,
            )
        )

    def end(self, how: str) -> None:
        """The last line. how: complete, failed, or interrupted."""
        self._write(Line(time=_now(), event="ended", message=how))

    def _write(self, line: Line) -> None:
        append_line(self._path, line.model_dump_json(exclude_none=True))


@contextmanager
def told_to(display: Callable[[Event], None], path: Path | None) -> Iterator[Callable[[Event], None]]:
    """Who is given the events of a run: its display, and where there is a path these lines."""
    if path is None:
        yield display
        return
    lines, failed = EventLines(path), []

    def both(event: Event) -> None:
        display(event)
        lines(event)
        failed.extend([event] if event.what == "failed" else [])

    try:
        yield both
    except Interrupted:
        lines.end("interrupted")
        raise
    except HeadstartError:
        lines.end("failed")
        raise
    lines.end("failed" if failed else "complete")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def schema() -> str:
    """The JSON schema of a line, as a text."""
    return json.dumps(Line.model_json_schema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), schema())
