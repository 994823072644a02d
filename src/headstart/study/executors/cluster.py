"""Jobs as tasks of a Ray cluster: Ray places them on nodes with room, and tells when a node or a process was lost.

All nodes see the run directory and its store under the same path. Results go there, and so do the small files by which
a job tells its progress and is asked to stop; Ray carries orders and reports. Nothing here schedules.
"""

from __future__ import annotations

import logging
import platform
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.errors import UsageError
from headstart.processes import ask_to_stop, forget_stop
from headstart.store.files import write_text
from headstart.study.executors.pools import THREAD_VARIABLES, default_workers
from headstart.study.executors.worker import JobOrder, JobReport, Note, execute
from headstart.study.jobs import WANTS_GPU, Job
from headstart.terminal import tell
from headstart.train.devices import LOADERS, ON_CPU, Devices, Seat, chosen_devices, take_seat

IN_FLIGHT = 256
"""Tasks that wait at Ray or run there, at most: enough for a cluster that grows with demand to see it."""
MEMORY = 1 << 30
"""Bytes that Ray is told a job takes; what networks and prepared images need on the CPU."""
STOP_SECONDS = 1.0
ANSWER_SECONDS = 10.0


class Cluster:
    """A Ray cluster that this process is connected to. Made by `connected`."""

    def __init__(self, ray: Any, threads: int) -> None:
        self._ray, self.threads = ray, threads
        there = ray.cluster_resources()
        self.cpus, self.gpus = int(there.get("CPU", 0)), int(there.get("GPU", 0))

    def devices(self, asked: str) -> Devices:
        """What `--device` means here: one GPU a job where there are any, or they are asked for."""
        kind = asked.partition(":")[0]
        if asked not in ("auto", "cpu", "cuda"):
            raise UsageError(f"--device {asked}: Ray chooses among the GPUs of a cluster; give auto, cpu or cuda")
        return (
            Devices("cuda", tuple(range(max(1, self.gpus))))
            if kind == "cuda" or (kind == "auto" and self.gpus)
            else ON_CPU
        )

    def pool(self, devices: Devices) -> RayPool:
        """Where the jobs of a run go."""
        pool = RayPool(self._ray, self.threads, devices, max(1, min(1 + LOADERS, self.cpus // max(1, self.gpus))))
        largest = max((int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]), default=0)
        if largest < self.threads:
            tell(f"no node has {self.threads} CPUs (threads of the study) now; jobs wait until one has")
        return pool


@contextmanager
def placed(
    executor: str, address: str | None, device: str, *, threads: int, workers: int | None
) -> Iterator[tuple[Cluster | None, Devices]]:
    """Where jobs run: the cluster, None for this machine's own processes; and the devices of networks there.

    executor: "local" or "ray". address, device: as on the command line. workers: jobs at a time of a cluster that is
    started here.
    """
    if executor == "ray":
        with connected(address, threads, (workers or default_workers(threads)) * threads) as cluster:
            yield cluster, cluster.devices(device)
    elif executor == "local" and not address:
        yield None, chosen_devices(device)
    else:
        raise UsageError(f"--executor {executor}: it is local or ray; --address goes with ray")


@contextmanager
def connected(address: str | None, threads: int, cpus: int) -> Iterator[Cluster]:
    """Connect to the cluster at `address` ("auto": the one of this machine), or start one here with so many CPUs.

    threads: of each job. Raises UsageError where Ray is not installed or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise UsageError("--executor ray needs Ray, which is not installed: pip install 'headstart[ray]'") from None
    ours = not ray.is_initialized()
    if ours:
        if address:
            _require_answer(address)
        how: dict[str, Any] = {"address": address} if address else {"num_cpus": cpus, "include_dashboard": False}
        variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
        try:
            ray.init(**how, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": variables})
        except (ConnectionError, RuntimeError, ValueError) as fault:
            raise UsageError(f"--address {address}: no Ray cluster to be had there ({fault})") from fault
    try:
        yield Cluster(ray, threads)
    finally:
        if ours:
            ray.shutdown()


def _require_answer(address: str) -> None:
    """Ray itself waits for minutes. Raises UsageError where nobody listens."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except OSError as fault:
        raise UsageError(f"--address {address}: no Ray cluster to be had there ({fault})") from fault


class RayPool:
    """The cluster as `headstart.study.executors.pools.Pool` is used: what runs, and what became of it."""

    queues = True
    """A job that was submitted may still wait."""

    def __init__(self, ray: Any, threads: int, devices: Devices, cpus_of_gpu: int) -> None:
        self._ray, self._threads, self._cpus_of_gpu = ray, threads, cpus_of_gpu
        self._on_gpu = devices.kind != "cpu"
        self.seat = Seat()
        self.running: dict[Future[JobReport], Job] = {}
        self._refs: dict[Future[JobReport], Any] = {}
        self._stops: dict[Future[JobReport], Path] = {}

    def takes(self, job: Job) -> bool:
        """Every kind of job."""
        return True

    @property
    def free(self) -> int:
        """Jobs that may be submitted now."""
        return max(0, IN_FLIGHT - len(self.running))

    def submit(self, order: JobOrder, job: Job) -> None:
        """Give a job to Ray."""
        inputs = {role: path.absolute() for role, path in order.inputs.items()}
        order = replace(order, inputs=inputs, out=order.out.absolute(), log=order.log.absolute())
        gpu = self._on_gpu and job.kind in WANTS_GPU
        seat = Seat("cuda:0", self._cpus_of_gpu - 1) if gpu else Seat()
        cpus = max(self._threads, self._cpus_of_gpu) if gpu else self._threads
        stop = stop_path(order.out)
        stop.unlink(missing_ok=True)
        task = self._ray.remote(work).options(
            name=job.label, num_cpus=cpus, num_gpus=int(gpu), memory=MEMORY, max_retries=0
        )
        ref = task.remote(order, seat)
        future = ref.future()
        self.running[future], self._refs[future], self._stops[future] = job, ref, stop

    def lost(self, fault: BaseException) -> str:
        """What happened where a job ended by no fault of its own; "" for all else."""
        known = self._ray.exceptions
        if isinstance(fault, known.OutOfMemoryError):
            return "Ray ended it, since its node was out of memory"
        if isinstance(fault, known.NodeDiedError | known.LocalRayletDiedError | known.ObjectLostError):
            return "its node was lost"
        return "its process or its node was lost" if isinstance(fault, known.WorkerCrashedError) else ""

    def renew(self) -> None:
        """Nothing is shared with what was lost."""

    def ask_to_stop(self) -> None:
        """Let the jobs at work know, those that look."""
        for future in self.running:
            with suppress(OSError):
                write_text(self._stops[future], "stop", durable=False)

    def close(self) -> None:
        """End what still runs."""
        for future in self.running:
            with suppress(Exception):  # the cluster may be gone
                self._ray.cancel(self._refs[future], force=True)
        for stop in self._stops.values():
            stop.unlink(missing_ok=True)
        self.running.clear()
        self._refs.clear()
        self._stops.clear()


def stop_path(out: Path) -> Path:
    """The file that asks the job that works in `out` to stop."""
    return out.with_name(out.name + ".stop")


def work(order: JobOrder, seat: Seat) -> JobReport:
    """Do one job on a node."""
    if not order.out.is_dir():
        return JobReport(
            0.0,
            f"node {platform.node()} does not see {order.out}: the run directory and its store must be on a file "
            "system that all nodes share, under the same path",
        )
    take_seat(seat)
    forget_stop()
    ended = threading.Event()
    threading.Thread(target=_stop_when_asked, args=(stop_path(order.out), ended), daemon=True).start()
    try:
        Note(order.out)(0.0, f"on {platform.node()}")
        return execute(order)
    finally:
        ended.set()


def _stop_when_asked(path: Path, ended: threading.Event) -> None:
    while not ended.wait(STOP_SECONDS):
        if path.exists():
            ask_to_stop()
