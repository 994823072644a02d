"""How a process is started, asked to stop, and ends with the one that started it. Imports nothing slow."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

PR_SET_PDEATHSIG = 1
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT_BYTES = 1 << 30
_stop, _looked = threading.Event(), threading.Event()


def ask_to_stop() -> None:
    """Let what runs in this process save its state and end when it can."""
    _stop.set()


def asked_to_stop() -> bool:
    """Whether that was asked; long work looks after every step."""
    _looked.set()
    return _stop.is_set()


def was_looked_for() -> bool:
    """Whether the work of this process ever looks: what does not has to be ended otherwise."""
    return _looked.is_set()


def forget_stop() -> None:
    """Before new work in a process that was asked to stop the former."""
    _stop.clear()
    _looked.clear()


def die_with_parent(parent: int) -> None:
    """Leave Ctrl-C to the process `parent`, which started this one, and let the system end this one with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked to be told
            os._exit(1)


def keep_freed_memory() -> None:
    """Let this process use memory that it has freed again, where it would give it back and ask for it anew.

    A training allocates the same tensors in every update. By default glibc gives each back to the system, which has to
    clear every page before it comes again: 5,000 pages an update of a small detector, a tenth to a fifth of its time.
    At most `KEPT_BYTES` are kept; `give_back_memory` ends it. Other C libraries stay as they are.
    """
    if set_malloc := _of_libc("mallopt"):
        set_malloc(M_TRIM_THRESHOLD, KEPT_BYTES)
        set_malloc(M_MMAP_THRESHOLD, KEPT_BYTES)


def give_back_memory() -> None:
    """Give the system what this process has freed and kept."""
    if trim := _of_libc("malloc_trim"):
        trim(ctypes.c_size_t(0))


def _of_libc(name: str) -> Callable[..., int] | None:
    """A function of the C library, None where it has none of this name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


@contextmanager
def _without_main() -> Iterator[None]:
    """Let a process that is spawned now not find the caller's program."""
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {"__spec__": None, "__file__": None}
    before = {name: getattr(main, name) for name in hidden if hasattr(main, name)}
    for name, value in hidden.items():
        setattr(main, name, value)
    try:
        yield
    finally:
        for name in hidden:
            if name in before:
                setattr(main, name, before[name])
            else:
                delattr(main, name)


class Process(SpawnProcess):
    """A spawned process that does not run the caller's program again.

    Python's own would import the program that is running, as `__mp_main__`: one without `if __name__ == "__main__"`
    would start the whole study again in every worker, which ends in a worker that died. Nothing of ours needs it.
    """

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        with _without_main():
            return SpawnProcess._Popen(process_obj)


class Context(SpawnContext):
    """For `ProcessPoolExecutor` and the like."""

    Process = Process


SPAWNED = Context()
