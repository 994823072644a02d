"""Batches made ahead of time by other processes, in the order of the steps whoever makes them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Protocol

import torch

from headstart.batches.batch import Batch
from headstart.errors import DataError, HeadstartError, TrainingError
from headstart.train.distributed import World


class BatchSource(Protocol):
    """What a training reads: `headstart.batches.image_batches.Batches` and its kin."""

    batch_size: int
    count: int

    def batch(self, t: int, part: slice = ...) -> Batch:
        """Batch t, a pure function of the source's seed and t."""

    def together(self, first: int, stop: int) -> Iterator[range]:
        """The steps in groups that one process makes best."""

    def made(self, steps: range, part: slice) -> list[Batch]:
        """The batches of a group."""


def fetched(
    batches: BatchSource, first_step: int, updates: int, world: World, *, workers: int
) -> Iterator[tuple[int, Batch]]:
    """(step, batch) from `first_step` on, made by so many processes ahead of time; this process's part of each.

    Raises what went wrong where a batch was made; TrainingError when a process that makes them was killed.
    """
    part = world.slice_of(batches.batch_size)
    groups = batches.together(first_step, updates)
    if not workers:
        for steps in groups:
            yield from zip(steps, batches.made(steps, part), strict=True)
        return
    loader = torch.utils.data.DataLoader(
        _Groups(batches, part),
        batch_size=None,
        sampler=_Once(groups),
        num_workers=workers,
        pin_memory=world.device.type == "cuda",
        collate_fn=_as_it_is,
    )
    step = first_step
    made = _started(loader)
    while step < updates:
        for batch in _next(made, step):
            yield step, batch
            step += 1


def _started(loader: torch.utils.data.DataLoader) -> Iterator[list[Batch] | tuple[str, str]]:
    """The loader's processes. torch would raise in the middle of an update when one of them dies, with half of it done;
    without its handler that comes out when the next batch is asked for.
    """
    if threading.current_thread() is not threading.main_thread():
        return iter(loader)
    before = signal.getsignal(signal.SIGCHLD)
    made = iter(loader)
    signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
    return made


def _next(made: Iterator[list[Batch] | tuple[str, str]], step: int) -> list[Batch]:
    try:
        item = next(made)
    except RuntimeError as error:
        if "worker" not in str(error):
            raise
        raise TrainingError(
            f"update {step + 1}: a process that makes batches ended unexpectedly ({str(error).splitlines()[0]}). The "
            "same command goes on from the last saved state; with fewer --loaders less memory is needed."
        ) from error
    if isinstance(item, tuple):
        raise FAULTS.get(item[0], DataError)(item[1])
    return item


def _as_it_is(made: list[Batch] | tuple[str, str]) -> list[Batch] | tuple[str, str]:
    return made


class _Groups(torch.utils.data.Dataset):
    """Groups of batches, for loader processes. A fault is returned, since torch would wrap it beyond recognition."""

    def __init__(self, batches: BatchSource, part: slice) -> None:
        self.batches, self.part = batches, part

    def __getitem__(self, steps: range) -> list[Batch] | tuple[str, str]:
        try:
            return self.batches.made(steps, self.part)
        except HeadstartError as fault:
            return type(fault).__name__, str(fault)


FAULTS = {kind.__name__: kind for kind in HeadstartError.__subclasses__()}


class _Once(torch.utils.data.Sampler):
    """Groups of steps, from a generator."""

    def __init__(self, groups: Iterable[range]) -> None:
        self.groups = groups

    def __iter__(self) -> Iterator[range]:
        return iter(self.groups)
