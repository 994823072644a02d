"""Run the jobs of a study on worker processes until nothing more can be done.

Which jobs there are is asked again after every finished job, because results may add some (a search over rates that
ends at an edge is extended). Workers stay for all jobs: importing PyTorch takes longer than many a job. They are
started with the first job that has to run, so a study with nothing left to do starts none.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from headstart.errors import Interrupted, StoreError
from headstart.store.files import append_line, unwritable
from headstart.store.store import Store
from headstart.study.executors.cluster import Cluster
from headstart.study.executors.events import Event, Expansion, Outcome
from headstart.study.executors.pools import Pool, pools_for, terminate_as_interrupt, threads_in_environment
from headstart.study.executors.ray_pool import RayPool
from headstart.study.executors.worker import RUNNERS, JobOrder, JobReport, note_path, read_note
from headstart.study.jobs import ALONE, SAVES_STATE, Job
from headstart.terminal import printable, tell
from headstart.train.devices import ON_CPU, Devices

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
SAVE_SECONDS = 60.0
"""That a training has to save its state when the run is stopped."""
MOST_LOSSES = 3
"""How often a job is tried again that a cluster lost: spot machines go, and a job may be what ends them."""


def run_jobs(
    next_jobs: Callable[[], Expansion],
    store: Store,
    workers: int,
    threads: int,
    *,
    on_event: Callable[[Event], None],
    runners: str = RUNNERS,
    devices: Devices = ON_CPU,
    cluster: Cluster | None = None,
) -> Outcome:
    """Run every job that can be run and put it into the store.

    next_jobs: called at the start and after every finished job. workers: processes at a time on the CPU; those of
    the ready jobs that the longest chain waits for start first. threads: of each worker (PyTorch, BLAS, numba).
    on_event: called in this thread.
    runners: `module:name` of the table of runners. devices: where there are GPUs, one more process for each does the
    jobs of the kinds in `WANTS_GPU`, and those of the CPU do all others at the same time. cluster: run them all there.

    A job that fails is reported and the others go on. A job whose process dies is tried once more, alone. Both are
    told in full in the run's log.txt. Raises Interrupted after Ctrl-C or SIGTERM, with all workers ended.
    The program that calls this must be importable (`if __name__ == "__main__":`): workers are fresh processes.
    """
    pools: list[Pool | RayPool] = [*pools_for(devices, workers, store.root / "log.txt")]
    if cluster is not None:
        pools = [cluster.pool(devices)]
    with threads_in_environment(threads), terminate_as_interrupt():
        try:
            return _Dispatcher(next_jobs, store, pools, threads, on_event=on_event, runners=runners).work()
        except KeyboardInterrupt:
            _let_states_be_saved(pools)
            raise Interrupted("stopped; the same command goes on") from None
        finally:
            for pool in pools:
                pool.close()


def _let_states_be_saved(pools: list[Pool | RayPool]) -> None:
    """Give trainings the time to finish their update and save; a second Ctrl-C ends them at once."""
    saving = [future for pool in pools for future, job in pool.running.items() if job.kind in SAVES_STATE]
    if not saving:
        return
    tell("stopping when the updates under way are done; Ctrl-C again stops at once")
    for pool in pools:
        pool.ask_to_stop()
    with suppress(KeyboardInterrupt):
        wait(saving, timeout=SAVE_SECONDS)


def _not_begun(fault: BaseException) -> JobReport:
    """Of a job that never got to its runner, as on a node without Headstart."""
    last = next((line for line in reversed(str(fault).splitlines()) if line.strip()), type(fault).__name__)
    return JobReport(0.0, f"it could not be begun ({last.strip()}); see log.txt", str(fault))


@dataclass
class _Dispatcher:
    """The parent's side: which jobs run where, and what became of them."""

    next_jobs: Callable[[], Expansion]
    store: Store
    pools: list[Pool | RayPool]
    threads: int
    on_event: Callable[[Event], None]
    runners: str
    crashes: dict[str, int] = field(default_factory=dict)
    """Deaths of a worker while a job ran, whose fault nobody knows: it is tried again alone."""
    losses: dict[str, int] = field(default_factory=dict)
    """Nodes or processes that a cluster lost under a job."""
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    notes: dict[str, tuple[float, str]] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    """Bytes of a job's own log that were there before it was begun."""
    elsewhere: dict[str, Job] = field(default_factory=dict)
    """Ready jobs that another run of a shared store works at."""
    finished: int = 0
    exit_code: int = 0

    def work(self) -> Outcome:
        began = time.monotonic()
        expansion = self._expand()
        while True:
            if not self._start(expansion):
                expansion = self._expand()
                continue
            if not self.running and not self.elsewhere:
                break
            before = self.finished
            self._watch()
            if self.finished > before or any(map(self._is_made, self.elsewhere.values())):
                expansion = self._expand()
        missing = [j for j in expansion.known if j.name in expansion.again or self.store.find(j.name, j.key) is None]
        left = [job.label for job in missing if job.name not in self.failed]
        complete = expansion.complete and not missing
        seconds = time.monotonic() - began
        return Outcome(
            self.finished, list(self.failed.values()), left, complete, seconds=seconds, exit_code=self.exit_code
        )

    @property
    def running(self) -> list[Job]:
        """The jobs at work."""
        return [job for pool in self.pools for job in pool.running.values()]

    def _expand(self) -> Expansion:
        expansion = self.next_jobs()
        done = frozenset(job.name for job in expansion.known if self.store.find(job.name, job.key)) - expansion.again
        self.on_event(Event("known", known=tuple(expansion.known), done=done, hidden=expansion.hidden))
        return expansion

    def _is_made(self, job: Job) -> bool:
        """Whether a job is finished and lacks nothing."""
        return self.store.find(job.name, job.key) is not None and not self.store.lacks(job.name)

    def _start(self, expansion: Expansion) -> bool:
        """Give free workers those of the waiting jobs that the most work hangs on; a job whose process died before runs
        alone. False when jobs have to be asked for again: an input proved damaged, or another run has finished one."""
        busy = {job.name for job in self.running}
        waiting = [job for job in expansion.ready if job.name not in busy and job.name not in self.failed]
        waiting.sort(key=lambda job: (-expansion.to_the_end.get(job.key, job.cost), job.name))
        suspects = [job for job in waiting if job.name in self.crashes]
        if any(name in self.crashes for name in busy) or (suspects and busy):
            return True
        if any(job.kind in ALONE for job in self.running):
            return True
        others = [job for job in waiting if job.kind not in ALONE]
        before, self.elsewhere = self.elsewhere, {}
        for job in suspects[:1] or others or ([] if busy else waiting[:1]):
            pool = next((pool for pool in self.pools if pool.free and pool.takes(job)), None)
            if pool is None:
                continue
            if not self.store.take(job.name):
                self.elsewhere[job.name] = job
                if job.name not in before and self.store.leases:
                    self._log(f"waits for {job.name} ({job.label}), made by {self.store.leases.holder(job.name)}")
                continue
            order = None if self._is_made(job) else self._order(job)
            if order is None:
                self.store.release(job.name)
                return False
            pool.submit(order, job)
            if pool.queues:
                self._log(f"submitted {job.name} ({job.label})")
                continue
            where = "" if pool.seat.device == "cpu" else f" on {pool.seat.device}"
            self._log(f"started {job.name} ({job.label}){where}")
            self.on_event(Event("started", job))
        return True

    def _order(self, job: Job) -> JobOrder | None:
        """What a worker is told, its inputs compared with their digests; None when one is damaged."""
        inputs = {}
        for role, needed in job.inputs.items():
            path = self.store.find(needed.name, needed.key, whole=True)
            pixels = needed.inputs.get("images") if needed.kind == "view" else None  # which lie in another job
            if path is None or (pixels and self.store.find(pixels.name, pixels.key, whole=True) is None):
                return None
            inputs[role] = path
        out = self.store.partial(job.name)
        note_path(out).unlink(missing_ok=True)
        log = self._log_of(job)
        self.heard[job.name] = log.stat().st_size if log.is_file() else 0
        return JobOrder(
            job.kind, job.settings, job.place, inputs, out=out, threads=self.threads, runners=self.runners, log=log
        )

    def _watch(self) -> None:
        """Wait a moment; tell the progress of what runs and take in what ended."""
        if not self.running:
            time.sleep(POLL_SECONDS)
        ended, _ = wait([f for pool in self.pools for f in pool.running], POLL_SECONDS, FIRST_COMPLETED)
        broken: list[Job] = []
        for pool in self.pools:
            ours = ended & pool.running.keys()
            if any(isinstance(future.exception(), BrokenExecutor) for future in ours):
                ours, _ = wait(pool.running)  # the death of one worker ends all of its pool
            for future, job in list(pool.running.items()):
                if future not in ours:
                    self._tell_progress(job, pool)
            for future in ours:
                job = pool.running.pop(future)
                self._hear(job)
                fault = future.exception()
                if isinstance(fault, BrokenExecutor):
                    broken.append(job)
                    pool.renew()
                elif fault and (why := pool.lost(fault)):
                    self._lost(job, why)
                else:
                    self._take(job, _not_begun(fault) if fault else future.result())
        if broken:
            self._survive(broken)

    def _tell_progress(self, job: Job, pool: Pool | RayPool) -> None:
        note = read_note(self.store.partial(job.name))
        if note != self.notes.get(job.name, (0.0, "")):
            if pool.queues and job.name not in self.notes:
                self._log(f"started {job.name} ({job.label}) {note[1]}")
                self.on_event(Event("started", job))
            self.notes[job.name] = note
            self.on_event(Event("progress", job, *note))

    def _take(self, job: Job, report: JobReport) -> None:
        for said in report.warnings:
            log.warning("%s: %s", job.label, said)
        if report.message:
            self.exit_code = max(self.exit_code, report.exit_code)
            self._fail(job, report.message, report.trace, report.seconds)
            return
        try:
            self.store.commit(job.name, job.key, job.info(report.seconds))
        except (OSError, StoreError) as fault:
            place = Path(getattr(fault, "filename", None) or self.store.home)
            told = fault if isinstance(fault, StoreError) else unwritable(place, fault)
            self._fail(job, f"could not be put into the store: {told}", "", 0.0)
            return
        self.store.release(job.name)
        self.finished += 1
        self.crashes.pop(job.name, None)
        self._log(f"finished {job.name} ({job.label}) in {report.seconds:.1f} s")
        self.on_event(Event("finished", job, 1.0, seconds=report.seconds))

    def _survive(self, broken: list[Job]) -> None:
        """A worker died and took its pool with it. Nobody knows whose fault it was, so each goes on alone."""
        names = ", ".join(job.label for job in broken)
        for job in broken:
            self.crashes[job.name] = self.crashes.get(job.name, 0) + 1
            died = f"a worker process died (killed, or out of memory) while running: {names}"
            if self.crashes[job.name] > 1:
                self._fail(job, f"{died}; it died when tried again alone, too; see log.txt", "", 0.0)
            else:
                self._log(f"{died}; {job.label} is tried again, alone")
                self.on_event(Event("retried", job, message=died))

    def _lost(self, job: Job, why: str) -> None:
        """A cluster lost what a job ran on: whatever else runs there goes on, and the job is tried again."""
        self.losses[job.name] = self.losses.get(job.name, 0) + 1
        if self.losses[job.name] > MOST_LOSSES:
            self._fail(job, f"{why}, for the {self.losses[job.name]}th time; see log.txt", "", 0.0)
            return
        self.notes.pop(job.name, None)
        self._log(f"retried {job.name} ({job.label}): {why}")
        self.on_event(Event("retried", job, message=why))

    def _fail(self, job: Job, message: str, trace: str, seconds: float) -> None:
        self.store.release(job.name)
        self.exit_code = max(self.exit_code, 1)
        self.failed[job.name] = (job.label, message)
        self._log(f"failed {job.name} ({job.label}): {message}\n{trace}".rstrip())
        self.on_event(Event("failed", job, message=message, seconds=seconds))

    def _log_of(self, job: Job) -> Path:
        """What is printed while one job runs."""
        return self.store.root / "logs" / f"{job.name}.txt"

    def _hear(self, job: Job) -> None:
        """Put what a job printed into the run's log, too."""
        with suppress(OSError), self._log_of(job).open("rb") as file:
            file.seek(self.heard.get(job.name, 0))
            if said := file.read().decode("utf-8", "replace").rstrip():
                append_line(self._log_path(), printable(said))

    def _log_path(self) -> Path:
        return self.store.root / "log.txt"

    def _log(self, text: str) -> None:
        try:
            with self._log_path().open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now().isoformat(timespec='seconds')} {printable(text)}\n")
        except OSError as fault:
            raise unwritable(self._log_path(), fault) from fault
