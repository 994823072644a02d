"""A Ray cluster: how it is connected to, or started here, and what its devices are."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from headstart.errors import UsageError
from headstart.study.executors.pools import THREAD_VARIABLES, default_workers
from headstart.study.executors.ray_pool import RayPool
from headstart.train.devices import LOADERS, ON_CPU, Devices, chosen_devices

ANSWER_SECONDS = 10.0


class Cluster:
    """A Ray cluster that this process is connected to. Made by `connected`. far: it may have nodes elsewhere."""

    def __init__(self, ray: Any, threads: int, far: bool) -> None:
        self._ray, self.threads, self._far = ray, threads, far
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
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
        of_gpu = min((int(node.get("CPU", 0) // node["GPU"]) for node in nodes), default=1)
        return RayPool(self._ray, self.threads, devices, max(1, min(1 + LOADERS, of_gpu)), far=self._far)


@contextmanager
def placed(
    executor: str, address: str | None, device: str, *, threads: int, workers: int | None, processes: int = 1
) -> Iterator[tuple[Cluster | None, Devices]]:
    """Where jobs run: the cluster, None for this machine's own processes; and the devices of networks there.

    executor: "local" or "ray". address, device: as on the command line. workers: jobs at a time of a cluster that is
    started here. processes: of one job, at most.
    """
    if executor == "ray":
        at_a_time = max(workers or default_workers(threads), processes)
        with connected(address, threads, at_a_time * threads) as cluster:
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
        yield Cluster(ray, threads, far=bool(address) or not ours)
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
