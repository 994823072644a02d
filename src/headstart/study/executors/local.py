"""Run the jobs of a study on worker processes until nothing more can be done.

Which jobs there are is asked again after every finished job, because results may add some (a search over rates that
ends at an edge is extended). Workers stay for all jobs: importing PyTorch takes longer than many a job. They are
started with the first job that has to run, so a study with nothing left to do starts none.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, Protocol

from headstart.errors import Interrupted, StoreError
from headstart.store.files import unwritable
from headstart.store.store import Store
from headstart.study.executors.worker import RUNNERS, JobOrder, JobReport, begin, execute, note_path, read_note
from headstart.study.jobs import VERSIONS, Job, as_json

POLL_SECONDS = 0.5
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)


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


def default_workers(threads: int) -> int:
    """Worker processes that fill this machine's usable CPUs with `threads` threads each; at least 1."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // threads)


def run_jobs(
    next_jobs: Callable[[], Expansion],
    store: Store,
    workers: int,
    threads: int,
    on_event: Callable[[Event], None],
    runners: str = RUNNERS,
) -> Outcome:
    """Run every job that can be run and put it into the store.

    next_jobs: called at the start and after every finished job. workers: processes at a time; the longest of the
    ready jobs start first. threads: of each worker (PyTorch, BLAS, numba). on_event: called in this thread.
    runners: `module:name` of the table of runners.

    A job that fails is reported and the others go on. A job whose process dies is tried once more, alone. Both are
    told in full in the run's log.txt. Raises Interrupted after Ctrl-C or SIGTERM, with all workers ended.
    The program that calls this must be importable (`if __name__ == "__main__":`): workers are fresh processes.
    """
    floor = _Dispatcher(next_jobs, store, workers, threads, on_event, runners)
    with _threads_in_environment(threads), _terminate_as_interrupt():
        try:
            return floor.work()
        except KeyboardInterrupt:
            raise Interrupted("stopped; the same command goes on") from None
        finally:
            floor.close()


@dataclass
class _Dispatcher:
    """The parent's side: which jobs run where, and what became of them."""

    next_jobs: Callable[[], Expansion]
    store: Store
    workers: int
    threads: int
    on_event: Callable[[Event], None]
    runners: str
    pool: ProcessPoolExecutor | None = None
    running: dict[Future[JobReport], Job] = field(default_factory=dict)
    crashes: dict[str, int] = field(default_factory=dict)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    notes: dict[str, tuple[float, str]] = field(default_factory=dict)
    finished: int = 0
    exit_code: int = 0

    def work(self) -> Outcome:
        began = time.monotonic()
        expansion = self._expand()
        while True:
            if not self._start(expansion.ready):
                expansion = self._expand()
                continue
            if not self.running:
                break
            before = self.finished
            self._watch()
            if self.finished > before:
                expansion = self._expand()
        missing = [job for job in expansion.known if self.store.find(job.name, job.key) is None]
        left = [job.label for job in missing if job.name not in self.failed]
        complete = expansion.complete and not missing
        seconds = time.monotonic() - began
        return Outcome(self.finished, list(self.failed.values()), left, complete, seconds, self.exit_code)

    def close(self) -> None:
        """End the workers: at once where they still work, in good order where they wait."""
        if self.pool is None:
            return
        if self.running:
            for process in list(self.pool._processes.values()):
                process.kill()
            self.running.clear()
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.pool = None

    def _expand(self) -> Expansion:
        expansion = self.next_jobs()
        done = frozenset(job.name for job in expansion.known if self.store.find(job.name, job.key))
        self.on_event(Event("known", known=tuple(expansion.known), done=done))
        return expansion

    def _start(self, ready: Sequence[Job]) -> bool:
        """Give free workers the longest of the waiting jobs; a job whose process died before runs alone. False when
        an input proved damaged: it has to be made again first."""
        busy = {job.name for job in self.running.values()}
        waiting = [job for job in ready if job.name not in busy and job.name not in self.failed]
        waiting.sort(key=lambda job: (-job.cost, job.name))
        suspects = [job for job in waiting if job.name in self.crashes]
        if any(name in self.crashes for name in busy) or (suspects and busy):
            return True
        for job in suspects[:1] or waiting[: max(0, self.workers - len(busy))]:
            order = self._order(job)
            if order is None:
                return False
            self.running[self._submit(order)] = job
            self._log(f"started {job.name} ({job.label})")
            self.on_event(Event("started", job))
        return True

    def _order(self, job: Job) -> JobOrder | None:
        """What a worker is told, its inputs compared with their digests; None when one is damaged."""
        inputs = {}
        for role, needed in job.inputs.items():
            path = self.store.find(needed.name, needed.key, whole=True)
            if path is None:
                return None
            inputs[role] = path
        out = self.store.partial(job.name)
        note_path(out).unlink(missing_ok=True)
        return JobOrder(job.kind, job.settings, job.place, inputs, out, self.threads, self.runners)

    def _submit(self, order: JobOrder) -> Future[JobReport]:
        # Workers inherit the mask, so a Ctrl-C while they start reaches only this process, right after.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            if self.pool is not None:
                try:
                    return self.pool.submit(execute, order)
                except BrokenExecutor:  # a waiting worker died; nothing was lost
                    self.pool.shutdown(wait=True)
            self.pool = ProcessPoolExecutor(
                self.workers, get_context("spawn"), initializer=begin, initargs=(os.getpid(), self._log_path())
            )
            return self.pool.submit(execute, order)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def _watch(self) -> None:
        """Wait a moment; tell the progress of what runs and take in what ended."""
        ended, _ = wait(self.running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        if any(isinstance(future.exception(), BrokenExecutor) for future in ended):
            ended, _ = wait(self.running)  # the death of one worker ends them all
        for future, job in list(self.running.items()):
            if future not in ended:
                self._tell_progress(job)
        broken = []
        for future in ended:
            job = self.running.pop(future)
            if isinstance(future.exception(), BrokenExecutor):
                broken.append(job)
            else:
                self._take(job, future.result())
        if broken:
            self._survive(broken)

    def _tell_progress(self, job: Job) -> None:
        note = read_note(self.store.partial(job.name))
        if note != self.notes.get(job.name, (0.0, "")):
            self.notes[job.name] = note
            self.on_event(Event("progress", job, *note))

    def _take(self, job: Job, report: JobReport) -> None:
        if report.message:
            self.exit_code = max(self.exit_code, report.exit_code)
            self._fail(job, report.message, report.trace, report.seconds)
            return
        info = {
            "kind": job.kind,
            "version": VERSIONS.get(job.kind, 1),
            "settings": as_json(job.settings),
            "inputs": {role: needed.key for role, needed in job.inputs.items()},
            "label": job.label,
            "seconds": round(report.seconds, 3),
        }
        try:
            self.store.commit(job.name, job.key, info)
        except (OSError, StoreError) as fault:
            self._fail(job, f"could not be put into the store: {fault}; free some disk space and run again", "", 0.0)
            return
        self.finished += 1
        self.crashes.pop(job.name, None)
        self._log(f"finished {job.name} ({job.label}) in {report.seconds:.1f} s")
        self.on_event(Event("finished", job, 1.0, seconds=report.seconds))

    def _survive(self, broken: list[Job]) -> None:
        """A worker died and took the pool with it. Nobody knows whose fault it was, so each goes on alone."""
        assert self.pool is not None
        self.pool.shutdown(wait=True)
        self.pool = None
        names = ", ".join(job.label for job in broken)
        for job in broken:
            self.crashes[job.name] = self.crashes.get(job.name, 0) + 1
            died = f"a worker process died (killed, or out of memory) while running: {names}"
            if self.crashes[job.name] > 1:
                self._fail(job, f"{died}; it died when tried again alone, too; see log.txt", "", 0.0)
            else:
                self._log(f"{died}; {job.label} is tried again, alone")
                self.on_event(Event("retried", job, message=died))

    def _fail(self, job: Job, message: str, trace: str, seconds: float) -> None:
        self.exit_code = max(self.exit_code, 1)
        self.failed[job.name] = (job.label, message)
        self._log(f"failed {job.name} ({job.label}): {message}\n{trace}".rstrip())
        self.on_event(Event("failed", job, message=message, seconds=seconds))

    def _log_path(self) -> Path:
        return self.store.root / "log.txt"

    def _log(self, text: str) -> None:
        try:
            with self._log_path().open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now().isoformat(timespec='seconds')} {text}\n")
        except OSError as fault:
            raise unwritable(self._log_path(), fault) from fault


@contextmanager
def _threads_in_environment(threads: int) -> Iterator[None]:
    """BLAS and OpenMP read their number of threads once, when a worker loads them."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does. Only the main thread may set handlers; elsewhere it stays as it is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
