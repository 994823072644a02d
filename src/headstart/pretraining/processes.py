"""Several processes that make one pre-training on this machine, or those that torchrun started, or this one alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from headstart.errors import TrainingError, UsageError
from headstart.pretraining.settings import PretrainPlace
from headstart.processes import SPAWNED, die_with_parent, keep_freed_memory
from headstart.progress import Progress, silent
from headstart.train.devices import Seat, seat, take_seat
from headstart.train.distributed import World, assigned_world, process_group


@contextmanager
def together(
    work: Callable[..., Any], arguments: tuple[Any, ...], place: PretrainPlace, progress: Progress
) -> Iterator[World]:
    """This process among those that do `work(*arguments, progress)` together; the others are started here.

    Where a group has been joined already (torchrun's, or as one of those that were started here), it is that one.
    Raises TrainingError when one of the others failed, UsageError where each would need a GPU and there is one.
    """
    processes, here = place.processes, assigned_world()
    if processes == 1 or distributed.is_initialized():
        yield here
        return
    devices = place.devices or ("cpu",) * processes
    if len(devices) < processes or (here.device.type != "cpu" and not place.devices):
        raise UsageError(
            f"{processes} processes need a GPU each; this job has {len(place.devices) or 1}. On one machine a study "
            "gives each job one: pre-train with `headstart pretrain --processes N --device cuda:0,1,..`, on a cluster "
            "(--executor ray), or with one process."
        )
    with tempfile.TemporaryDirectory(prefix="headstart-group-") as folder:
        meeting = f"file://{Path(folder) / 'group'}"
        shared = (processes, torch.get_num_threads(), work, arguments)
        members = [
            SPAWNED.Process(
                target=_member, args=(os.getpid(), meeting, rank, Seat(devices[rank], seat().loaders), *shared)
            )
            for rank in range(1, processes)
        ]
        for member in members:
            member.start()
        try:
            with process_group(here.device.type, init_method=meeting, rank=0, world_size=processes):
                yield assigned_world()
            for member in members:
                member.join()
        except RuntimeError as fault:
            raise TrainingError(_said(members, fault)) from fault
        finally:
            for member in members:
                if member.is_alive():
                    member.kill()
                member.join()
    if any(member.exitcode for member in members):
        raise TrainingError(_said(members, None))


def _said(members: Sequence[BaseProcess], fault: Exception | None) -> str:
    ended = [f"process {rank} with {m.exitcode}" for rank, m in enumerate(members, 1) if m.exitcode]
    words = f"; ended: {', '.join(ended)}" if ended else ""
    return (
        f"the processes that train together lost each other ({fault or 'one failed'}){words}. What it said is in "
        "log.txt; the same command goes on from the last saved state."
    )


def _member(
    parent: int,
    meeting: str,
    rank: int,
    chair: Seat,
    size: int,
    threads: int,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    die_with_parent(parent)
    take_seat(chair)
    torch.set_num_threads(threads)
    keep_freed_memory()
    with process_group(chair.device.partition(":")[0], init_method=meeting, rank=rank, world_size=size):
        work(*arguments, silent)
