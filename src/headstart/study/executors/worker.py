"""What happens inside a worker process: one job after the other, none of them known to the others."""

from __future__ import annotations

import faulthandler
import importlib
import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headstart.data.summaries import NOTES
from headstart.errors import HeadstartError
from headstart.processes import ask_to_stop, die_with_parent, give_back_memory, keep_freed_memory
from headstart.progress import Progress
from headstart.store.files import UNWRITABLE, unwritable, write_json, write_text
from headstart.store.sealing import begin_anew_if_damaged
from headstart.terminal import tell
from headstart.train.devices import Seat, take_seat

RUNNERS = "headstart.study.runners.table:RUNNERS"
"""Where the table of runners is, by default: kind of job -> function. Imported by workers only."""

Runner = Callable[[Any, Any, dict[str, Path], Path, Progress], Mapping[str, Any]]

NOTE_SECONDS = 0.2


@dataclass(frozen=True)
class JobOrder:
    """One job, in what a worker needs to do it."""

    kind: str
    settings: Any
    place: Any
    inputs: dict[str, Path]
    """Directories of the finished jobs that this one reads."""
    out: Path
    """The job's partial directory."""
    threads: int
    runners: str
    """`module:name` of the table of runners."""
    log: Path
    """Where goes what is printed while the job runs."""


@dataclass(frozen=True)
class JobReport:
    """How an order ended. An empty message: it is done."""

    seconds: float
    message: str = ""
    trace: str = ""
    exit_code: int = 1
    """Of the command, when the message is not empty: 2 for input that cannot be read, 1 for other failures."""
    warnings: tuple[str, ...] = ()
    """What was warned of in the job's process; in its log, too."""


class Note:
    """The progress of a job, in a small file beside its partial directory that the parent reads now and then."""

    def __init__(self, out: Path) -> None:
        self._path = note_path(out)
        self._next = 0.0

    def __call__(self, fraction: float, message: str) -> None:
        """fraction: 0..1 of the job. message: a few words, such as "update 120 of 900"."""
        now = time.monotonic()
        if now >= self._next or fraction >= 1:
            self._next = now + NOTE_SECONDS
            write_text(self._path, json.dumps([float(fraction), message]), durable=False)


def note_path(out: Path) -> Path:
    """Where the progress of the job that works in `out` stands."""
    return out.with_name(out.name + ".progress")


def read_note(out: Path) -> tuple[float, str]:
    """Fraction and message of the job that works in `out`; (0, "") before its first note."""
    try:
        fraction, message = json.loads(note_path(out).read_text(encoding="utf-8"))
        return float(fraction), str(message)
    except (OSError, ValueError, TypeError):
        return 0.0, ""


def begin(parent: int, log: Path, seat: Seat) -> None:
    """Prepare a fresh worker: it leaves Ctrl-C to its parent, dies with it, prints into the run's log, and works on
    its device."""
    take_seat(seat)
    die_with_parent(parent)
    signal.signal(signal.SIGTERM, lambda number, frame: ask_to_stop())
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
    faulthandler.enable()


def execute(order: JobOrder) -> JobReport:
    """Do one job: call its runner and write `metrics.json`. Never raises; faults are in the report."""
    with _printed_into(order.log), _warnings() as warned:
        report = _executed(order)
    return replace(report, warnings=tuple(warned))


class _Kept(logging.Handler):
    """Keeps warnings, each once, and prints them, as they would be without it."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        tell(said)
        if record.name != NOTES and said not in self._kept:
            self._kept.append(said)


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What is warned of within; notes of how data were read are none."""
    kept: list[str] = []
    handler, logger = _Kept(kept), logging.getLogger("headstart")
    logger.addHandler(handler)
    try:
        yield kept
    finally:
        logger.removeHandler(handler)


@contextmanager
def _printed_into(log: Path) -> Iterator[None]:
    """Let what this process prints, and what ends it, be in the log of the job; no file where it is nothing."""
    try:
        log.parent.mkdir(exist_ok=True)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # a full disk is told by the job itself
        yield
        return
    before = {stream: os.dup(stream) for stream in (1, 2)}
    python = sys.stdout, sys.stderr
    for stream in before:
        os.dup2(handle, stream)
    sys.stdout = sys.stderr = part = os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace")
    try:
        yield
    finally:
        sys.stdout, sys.stderr = python
        part.close()
        for stream, copy in before.items():
            os.dup2(copy, stream)
            os.close(copy)
        with suppress(OSError):
            if not log.stat().st_size:
                log.unlink()


def _executed(order: JobOrder) -> JobReport:
    began = time.perf_counter()
    keep_freed_memory()
    try:
        begin_anew_if_damaged(order.out)
        run = _runner(order)
        began = time.perf_counter()  # a worker's first job does not pay for the imports
        metrics = run(order.settings, order.place, order.inputs, order.out, Note(order.out))
        write_json(order.out / "metrics.json", dict(metrics))
    except HeadstartError as fault:
        return JobReport(time.perf_counter() - began, str(fault), traceback.format_exc(), fault.exit_code)
    except OSError as fault:
        if fault.errno not in UNWRITABLE:
            return JobReport(time.perf_counter() - began, _unexpected(fault), traceback.format_exc())
        said = unwritable(Path(fault.filename or order.out), fault)
        return JobReport(time.perf_counter() - began, str(said), traceback.format_exc(), said.exit_code)
    except Exception as fault:
        return JobReport(time.perf_counter() - began, _unexpected(fault), traceback.format_exc())
    finally:
        note_path(order.out).unlink(missing_ok=True)
        give_back_memory()
    return JobReport(time.perf_counter() - began)


def _runner(order: JobOrder) -> Runner:
    module, _, name = order.runners.partition(":")
    runners: dict[str, Runner] = getattr(importlib.import_module(module), name)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(order.threads)
    return runners[order.kind]


def _unexpected(fault: Exception) -> str:
    """One line about a fault that nobody foresaw, with the place where it was raised."""
    frames = traceback.extract_tb(fault.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    said = next((line for line in str(fault).splitlines() if line.strip()), "no message")
    return f"{type(fault).__name__}: {said}{place}; the traceback is in log.txt"
