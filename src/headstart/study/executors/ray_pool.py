"""Jobs as tasks of a Ray cluster: Ray places them on nodes with room, and tells when a node or a process was lost.

Where a node sees the run directory and its store under the same path, results go there, and so do the small files by
which a job tells its progress and is asked to stop; Ray carries orders and reports. Where it does not, Ray carries all
of that, too (`far`, `keeper`). Nothing here schedules.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from headstart.places.network import OFFLINE_VARIABLES
from headstart.places.trust import ALL, SOME
from headstart.processes import ask_to_stop, forget_stop
from headstart.store.files import write_text
from headstart.study.executors.far import Far, leave, node_folder
from headstart.study.executors.keeper import Keeper, Sight
from headstart.study.executors.pools import with_variables
from headstart.study.executors.worker import JobOrder, JobReport, Note, execute
from headstart.study.jobs import WANTS_GPU, Job
from headstart.terminal import tell
from headstart.train.devices import Devices, Seat, take_seat

IN_FLIGHT = 256
"""Tasks that wait at Ray or run there, at most: enough for a cluster that grows with demand to see it."""
MEMORY = 1 << 30
"""Bytes that Ray is told a job takes; what networks and prepared images need on the CPU."""
STOP_SECONDS = 1.0
AT_ONCE = 16
"""Nodes that the command's own one serves at a time with files that they do not see."""
END_SECONDS = 10.0
CARRIED = (ALL, SOME, OFFLINE_VARIABLES[0])
"""Environment variables that processes inherit where they are started here: whose code may run, and no downloads."""
UNSEEN = (
    "node {node} does not see {path}, which the job reads: data and weights must be on every node under the same path. "
    "Copy them there, or put them on a file system that all nodes share; for downloads, HF_HOME and TORCH_HOME name one"
)
NOT_HERE = (
    "node {node} does not see {path}, and neither does the node of the cluster that the command is connected to: start "
    "the command on a node (--address HOST:PORT, not ray://), or on a file system that all nodes share"
)


class RayPool:
    """The cluster as `headstart.study.executors.pools.Pool` is used: what runs, and what became of it."""

    queues = True
    """A job that was submitted may still wait."""

    def __init__(self, ray: Any, threads: int, devices: Devices, cpus_of_gpu: int, *, far: bool) -> None:
        self._ray, self._threads, self._cpus_of_gpu, self._far = ray, threads, cpus_of_gpu, far
        self._sight: Sight | None = None
        self._keeper: Any = None
        self._said: set[str] = set()
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
        processes = getattr(job.place, "processes", 1)  # that train together, on one node, a GPU each
        if gpu and processes > 1:
            order = replace(order, place=replace(job.place, devices=tuple(f"cuda:{k}" for k in range(processes))))
        seat = Seat("cuda:0", self._cpus_of_gpu - 1) if gpu else Seat()
        cpus = (max(self._threads, self._cpus_of_gpu) if gpu else self._threads) * processes
        gpus = processes if gpu else 0
        self._say_if_too_large(job, cpus, gpus)
        stop = stop_path(order.out)
        stop.unlink(missing_ok=True)
        task = self._ray.remote(work).options(
            name=job.label, num_cpus=cpus, num_gpus=gpus, memory=MEMORY * processes, max_retries=0
        )
        ref = task.remote(order, seat, self._surroundings(order))
        future = ref.future()
        self.running[future], self._refs[future], self._stops[future] = job, ref, stop

    def _say_if_too_large(self, job: Job, cpus: int, gpus: int) -> None:
        """A job is not spread over nodes; Ray lets it wait, and says nothing."""
        wanted = f"{cpus} CPUs" + (f" and {gpus} GPUs" if gpus else "")
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if wanted not in self._said and not any(n.get("CPU", 0) >= cpus and n.get("GPU", 0) >= gpus for n in nodes):
            self._said.add(wanted)
            tell(f"no node has {wanted} now, which {job.label} needs (threads, processes); it waits until one has")

    def _surroundings(self, order: JobOrder) -> Surroundings:
        """Made with the first job: the run directory is there by then."""
        if self._sight is None:
            self._sight = Sight(order.log.parent.parent)
            self._sight.show()
            if self._far:
                context, there = self._ray.get_runtime_context(), self._ray.util.scheduling_strategies
                here = there.NodeAffinitySchedulingStrategy(context.get_node_id(), soft=False)
                actor = self._ray.remote(Keeper).options(num_cpus=0, max_concurrency=AT_ONCE, scheduling_strategy=here)
                self._keeper = actor.remote(self._sight)
        said = {name: os.environ[name] for name in CARRIED if name in os.environ}
        return Surroundings(self._sight, self._keeper, tuple(named_paths(order.place)), said)

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
        self._leave_nodes()
        self.running.clear()
        self._refs.clear()
        self._stops.clear()

    def _leave_nodes(self) -> None:
        """Let nodes that do not see the run delete what they fetched for it."""
        if self._sight is None:
            return
        self._sight.hide()
        if self._keeper is None:
            return
        with suppress(Exception):  # nodes may be lost; what is left there goes with the next run, a day later
            there, leaving = self._ray.util.scheduling_strategies, []
            for node in self._ray.get(self._keeper.nodes.remote(), timeout=END_SECONDS):
                on_it = there.NodeAffinitySchedulingStrategy(node, soft=False)
                task = self._ray.remote(leave).options(num_cpus=0, max_retries=0, scheduling_strategy=on_it)
                leaving.append(task.remote(self._sight.word, node))
            self._ray.wait(leaving, num_returns=len(leaving), timeout=END_SECONDS) if leaving else None
        self._ray.kill(self._keeper)
        self._sight = self._keeper = None


@dataclass(frozen=True)
class Surroundings:
    """What a node is told of the run beside its job."""

    sight: Sight
    keeper: Any
    """Handle of the actor (`Keeper`); None where all nodes are this machine."""
    needs: tuple[str, ...]
    """Files and folders of the user's that the job may read."""
    variables: Mapping[str, str]
    """What the command lets its own processes do (`CARRIED`), where it is said."""


def named_paths(place: Any) -> Iterator[str]:
    """Absolute paths that a job's place names and that are there, such as those of data and weights."""
    if is_dataclass(place):
        for field in fields(place):
            if field.name != "base":  # what is relative to it is named by itself
                yield from named_paths(getattr(place, field.name))
    elif isinstance(place, Mapping | tuple | list):
        for value in place.values() if isinstance(place, Mapping) else place:
            yield from named_paths(value)
    elif isinstance(place, str | Path) and str(place).startswith("/"):
        text = str(place)
        path = text.rpartition(":")[0] if ".py:" in text else text
        if Path(path).exists():
            yield path


def stop_path(out: Path) -> Path:
    """The file that asks the job that works in `out` to stop."""
    return out.with_name(out.name + ".stop")


def work(order: JobOrder, seat: Seat, around: Surroundings) -> JobReport:
    """Do one job on a node."""
    if unseen := [path for path in around.needs if not Path(path).exists()]:
        return JobReport(0.0, UNSEEN.format(node=platform.node(), path=unseen[0]), exit_code=2)
    take_seat(seat)
    forget_stop()
    seen = around.sight.here and all(folder.is_dir() for folder in (order.out, *order.inputs.values()))
    with with_variables(around.variables):
        return _near_work(order) if seen else _far_work(order, around)


def _near_work(order: JobOrder) -> JobReport:
    ended = threading.Event()
    threading.Thread(target=_stop_when_asked, args=(stop_path(order.out), ended), daemon=True).start()
    try:
        Note(order.out)(0.0, f"on {platform.node()}")
        return execute(order)
    finally:
        ended.set()


def _far_work(order: JobOrder, around: Surroundings) -> JobReport:
    import ray

    node = ray.get_runtime_context().get_node_id()
    far = Far(ray, around.keeper, node_folder(around.sight.word, node))
    if around.keeper is None or not far.ask("come", node):
        return JobReport(0.0, NOT_HERE.format(node=platform.node(), path=order.out))
    return far.work(order, stop_path(order.out))


def _stop_when_asked(path: Path, ended: threading.Event) -> None:
    while not ended.wait(STOP_SECONDS):
        if path.exists():
            ask_to_stop()
