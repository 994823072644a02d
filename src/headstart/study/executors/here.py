"""Run jobs in this process, one after the other: for one pre-training, and where torchrun started several processes.

All processes know the same jobs. Process 0 says which comes next and alone writes into the store; the others help with
the jobs that are made together, and wait for the rest.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from importlib import import_module
from pathlib import Path

from headstart.errors import HeadstartError, Interrupted, StoreError
from headstart.processes import ask_to_stop, asked_to_stop, forget_stop, was_looked_for
from headstart.progress import Progress
from headstart.store.files import append_line, write_json
from headstart.store.sealing import begin_anew_if_damaged
from headstart.store.store import Store
from headstart.study.executors.local import Event, Expansion
from headstart.study.executors.worker import RUNNERS, Runner
from headstart.study.jobs import Job
from headstart.terminal import printable, tell
from headstart.train.distributed import World

POLL_SECONDS = 0.5
"""Between two looks at what another run of a shared store works at."""
TOGETHER = ("proposals", "pretrain")
"""Kinds of jobs that all processes make together."""


def run_here(
    next_jobs: Callable[[], Expansion],
    store: Store,
    on_event: Callable[[Event], None],
    world: World,
    *,
    runners: str = RUNNERS,
) -> int:
    """Run every job that can be run and put it into the store; returns how many that were.

    Raises what a job raises (its partial directory stays, and the same call goes on there), and Interrupted after
    Ctrl-C or SIGTERM: the job saves its state first; a second Ctrl-C ends it at once.
    """
    module, _, name = runners.partition(":")
    table = getattr(import_module(module), name)
    finished = 0
    forget_stop()
    with _stopping():
        while True:
            job, elsewhere = _next(_told(next_jobs(), store, on_event), store, world)
            if elsewhere:
                time.sleep(POLL_SECONDS)
                continue
            if job is None:
                return finished
            if world.leads or job.kind in TOGETHER:
                _work(job, table[job.kind], store, on_event, world=world)
            world.wait()
            finished += 1
            if asked_to_stop():
                raise Interrupted("stopped; the same command goes on")


def _work(job: Job, run: Runner, store: Store, on_event: Callable[[Event], None], *, world: World) -> None:
    """Do one job, with the other processes where it is made together, and put it into the store."""
    on_event(Event("started", job))
    began = time.perf_counter()
    out = store.partial(job.name)
    if world.leads:
        begin_anew_if_damaged(out)
    if job.kind in TOGETHER:
        world.wait()
    try:
        with warnings_into(store.root / "logs" / f"{job.name}.txt") if world.leads else nullcontext():
            metrics = run(job.settings, job.place, _inputs(job, store), out, _shown(job, on_event))
    except Interrupted:
        raise
    except HeadstartError as fault:
        on_event(Event("failed", job, message=str(fault), seconds=time.perf_counter() - began))
        raise
    if world.leads:
        seconds = time.perf_counter() - began
        _commit(store, job, dict(metrics), seconds)
        store.release(job.name)
        on_event(Event("finished", job, 1.0, seconds=seconds))


@contextmanager
def warnings_into(log: Path) -> Iterator[None]:
    """Let what is warned of be in the log of a job, too; no file where it is nothing."""
    handler, logger = _Written(log), logging.getLogger("headstart")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Written(logging.Handler):
    """Adds warnings to a file."""

    def __init__(self, log: Path) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.parent.mkdir(exist_ok=True)
        append_line(self._log, printable(record.getMessage()))


def _told(expansion: Expansion, store: Store, on_event: Callable[[Event], None]) -> Expansion:
    done = frozenset(job.name for job in expansion.known if store.find(job.name, job.key))
    on_event(Event("known", known=tuple(expansion.known), done=done, hidden=expansion.hidden))
    return expansion


def _next(expansion: Expansion, store: Store, world: World) -> tuple[Job | None, bool]:
    """The job that process 0 takes, in every process; and whether other runs of a shared store work at all that are
    ready."""
    ready = sorted(expansion.ready, key=lambda job: (job.cost, job.name))
    taken = next((job for job in ready if store.take(job.name)), None) if world.leads else None
    if taken and store.find(taken.name, taken.key):  # finished by another run since
        store.release(taken.name)
        taken = None
    key, elsewhere = world.gather((taken.key if taken else "", bool(ready) and taken is None))[0]
    return next((job for job in expansion.known if job.key == key), None), elsewhere


def _inputs(job: Job, store: Store) -> dict[str, Path]:
    folders = {role: store.find(needed.name, needed.key) for role, needed in job.inputs.items()}
    missing = [role for role, folder in folders.items() if folder is None]
    if missing:
        raise StoreError(f"{store.root}: what {job.label} needs is missing ({', '.join(missing)}); run again")
    return {role: folder for role, folder in folders.items() if folder is not None}


def _shown(job: Job, on_event: Callable[[Event], None]) -> Progress:
    return lambda fraction, message: on_event(Event("progress", job, fraction, message))


def _commit(store: Store, job: Job, metrics: dict[str, float], seconds: float) -> None:
    write_json(store.partial(job.name) / "metrics.json", metrics)
    store.commit(job.name, job.key, job.info(seconds))
    now = datetime.now().isoformat(timespec="seconds")
    append_line(store.root / "log.txt", f"{now} finished {job.name} ({job.label}) in {seconds:.1f} s")


@contextmanager
def _stopping() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C ask the job to stop; before it looks for the first time, and the second time, they end it
    at once. Only the main thread may set handlers; elsewhere it stays as it is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: object) -> None:
        if asked_to_stop() or not was_looked_for():
            raise KeyboardInterrupt
        ask_to_stop()
        tell("\nstopping when this update is done; Ctrl-C again stops at once, at the last saved state")

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("stopped; the same command goes on from the last saved state") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
