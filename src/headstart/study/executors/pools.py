"""Groups of worker processes: those of the CPU, and one process for each GPU."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import connection
from pathlib import Path
from typing import Any

from headstart.processes import SPAWNED
from headstart.study.executors.worker import JobOrder, JobReport, begin, execute
from headstart.study.jobs import WANTS_GPU, Job
from headstart.train.devices import Devices, Seat, usable_cpus, usual_loaders

END_SECONDS = 10.0
"""That a worker has to end when its pool does: a training saves its state."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def default_workers(threads: int) -> int:
    """Worker processes that fill this machine's usable CPUs with `threads` threads each; at least 1."""
    return max(1, usable_cpus() // threads)


class Pool:
    """Worker processes at one place, started with the first job that is given to them and kept for all."""

    queues = False
    """A job that was submitted is begun."""

    def __init__(self, seat: Seat, size: int, log: Path, on_cpu: bool, *, on_gpu: bool) -> None:
        self.seat, self.size, self.log = seat, size, log
        self.on_cpu, self.on_gpu = on_cpu, on_gpu
        self.running: dict[Future[JobReport], Job] = {}
        self._processes: ProcessPoolExecutor | None = None

    def takes(self, job: Job) -> bool:
        """Whether jobs of this kind are done here."""
        return self.on_gpu if job.kind in WANTS_GPU else self.on_cpu

    @property
    def free(self) -> int:
        """Jobs that it can take now."""
        return max(0, self.size - len(self.running))

    def submit(self, order: JobOrder, job: Job) -> None:
        """Give a job to a free worker."""
        # Workers inherit the mask, so a Ctrl-C while they start reaches only this process, right after.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.running[self._submitted(order)] = job
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def _submitted(self, order: JobOrder) -> Future[JobReport]:
        if self._processes and connection.wait([worker.sentinel for worker in workers_of(self._processes)], 0):
            self._end()  # one has ended: from Python 3.12 on `submit` may wait for the others for ever
        if self._processes is not None:
            try:
                return self._processes.submit(execute, order)
            except BrokenExecutor:  # a waiting worker died; nothing was lost
                self._end()
        self._processes = ProcessPoolExecutor(
            self.size, SPAWNED, initializer=begin, initargs=(os.getpid(), self.log, self.seat)
        )
        return self._processes.submit(execute, order)

    def lost(self, fault: BaseException) -> str:
        """What happened where one job alone was lost: nothing, since a worker takes its pool with it."""
        return ""

    def renew(self) -> None:
        """Let go of processes of which one died, and with it all."""
        self._end()

    def ask_to_stop(self) -> None:
        """Let the jobs at work know, those that look."""
        for process in workers_of(self._processes) if self._processes else []:
            process.terminate()

    def close(self) -> None:
        """End the workers: at once where they still work, in good order where they wait."""
        if self._processes is None:
            return
        if self.running:
            for process in workers_of(self._processes):
                process.kill()
            self.running.clear()
        self._end()

    def _end(self) -> None:
        """End the workers in good order, and those that have not ended by then at once: one that was killed while it
        waited for work has taken the lock of their queue with it, and the others would wait for that for ever."""
        if self._processes is None:
            return
        pool, self._processes = self._processes, None
        manager: Any = pool._executor_manager_thread
        workers = workers_of(pool)
        # From Python 3.12 on the manager of a broken pool holds the lock of `shutdown` while it waits for the others.
        ending = threading.Thread(target=pool.shutdown, kwargs={"wait": False, "cancel_futures": True}, daemon=True)
        ending.start()
        until = time.monotonic() + END_SECONDS
        waiting = {worker.sentinel: worker for worker in workers}
        while waiting and (left := until - time.monotonic()) > 0:
            for sentinel in connection.wait(list(waiting), left):
                del waiting[sentinel]
        for worker in waiting.values():
            worker.kill()
        ending.join()
        if manager is not None:
            manager.join()


def workers_of(pool: ProcessPoolExecutor) -> list[Any]:
    """Its processes, as multiprocessing has them."""
    return list((pool._processes or {}).values())


def pools_for(devices: Devices, workers: int, log: Path) -> list[Pool]:
    """The pools of a run: `workers` processes on the CPU, and one more for each GPU."""
    loaders = max(1, usual_loaders(len(devices.names))) if devices.names else 0
    gpus = [Pool(Seat(name, loaders), 1, log, on_cpu=False, on_gpu=True) for name in devices.names]
    return [*gpus, Pool(Seat(), workers, log, on_cpu=True, on_gpu=not gpus)]


def threads_in_environment(threads: int) -> AbstractContextManager[None]:
    """BLAS and OpenMP read their number of threads once, when a worker loads them."""
    return with_variables(dict.fromkeys(THREAD_VARIABLES, str(threads)))


@contextmanager
def with_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Within it, this process and those that it starts have these variables of the environment."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
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
