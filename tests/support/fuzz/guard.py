"""One call of a reader, watched: what it raises, how long it takes, what memory it takes, what it touches outside.

The watch on files is an audit hook of Python: every `open` for writing, rename, link, removal, process and connection
passes it. Such hooks cannot be taken off again, so there is one, which does nothing while nobody watches.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import headstart
from headstart.errors import HeadstartError

SECONDS = 5.0
"""A reader that takes longer hangs."""
PATIENCE = 12
"""Times as long is waited for the second time."""
GROWTH = 512
"""Megabytes that one input may add to the most memory that the process ever had."""
SOURCE = str(Path(headstart.__file__).parent)
ROOM = 8 << 30
"""Bytes of address space beyond what the process has: more is refused by the system, lest a bomb takes the machine."""

Kind = Literal["accepted", "refused", "other", "hang", "outside", "memory"]
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
DEEDS = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect", "socket.bind")


class Hang(BaseException):
    """Raised within a reader after `SECONDS`; no reader catches it."""


@dataclass(frozen=True)
class Outcome:
    """What became of one input. error: what was raised, or what else is wrong, in words. place: the innermost line of
    the package that was at work. megabytes: by which the peak of the process grew."""

    kind: Kind
    error: str = ""
    place: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0


class _Watch:
    """What the hook knows. allowed: folders that may be written to; inputs: a folder whose code must not run. peak: the
    most memory that the process has had, megabytes."""

    def __init__(self) -> None:
        self.on, self.installed = False, False
        self.allowed: tuple[str, ...] = ()
        self.inputs = ""
        self.seen: list[str] = []
        self.peak = 0.0

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            if isinstance(args[2], int) and args[2] & WRITING and not self._may(args[0]):
                self.seen.append(f"open for writing: {args[0]!r}")
        elif event in CHANGES:
            if not self._may(args[0]):
                self.seen.append(f"{event}: {args[0]!r}")
        elif event in DEEDS:
            self.seen.append(f"{event}: {args!r:.200}")
        elif event == "exec" and str(getattr(args[0], "co_filename", "")).startswith(self.inputs):
            self.seen.append(f"code was run: {args[0]!r}")

    def _may(self, path: Any) -> bool:
        if isinstance(path, int) or path == os.devnull:
            return True
        name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  as it is named, links not followed
        compiled = f"{os.sep}__pycache__" in name and name.startswith(SOURCE)  # what numba keeps of the package's code
        return compiled or name.startswith(self.allowed)


_watch = _Watch()


@contextlib.contextmanager
def watching(inputs: Path, *allowed: Path) -> Iterator[None]:
    """Within it, `outcome` tells of what is written elsewhere than below the allowed folders, and NumPy's warnings
    (overflows, casts of what is no number) are faults: a user would see them raw."""
    if not _watch.installed:
        sys.addaudithook(_watch)
        _watch.installed = True
    _watch.allowed, _watch.inputs = tuple(f"{path}{os.sep}" for path in allowed), f"{inputs}{os.sep}"
    _watch.peak = _peak()
    before = resource.getrlimit(resource.RLIMIT_AS)
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    handler = signal.signal(signal.SIGALRM, _hang)
    filters = warnings.catch_warnings()
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + ROOM, before[1]))
    try:
        with filters:
            warnings.simplefilter("error", RuntimeWarning)
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGALRM, handler)
        sys.dont_write_bytecode = writes_bytecode


def outcome(read: Callable[[], object]) -> Outcome:
    """What becomes of a call. Only within `watching`.

    What takes too long is called twice more, with more time: what is loaded or compiled on first use is not its own
    time, and neither is that of other processes: the last time the processor's seconds count.
    """
    first = _outcome(read, SECONDS)
    if first.kind != "hang" or _outcome(read, PATIENCE * SECONDS).kind == "hang":
        return first
    began = time.process_time()
    last = _outcome(read, PATIENCE * SECONDS)
    return last if time.process_time() - began <= SECONDS else first


def _outcome(read: Callable[[], object], limit: float) -> Outcome:
    before = _watch.peak
    began = time.perf_counter()
    kind, error, place = _called(read, limit)
    seconds = time.perf_counter() - began
    _watch.peak = _peak()
    megabytes = _watch.peak - before
    if _watch.seen:
        kind, error = "outside", "; ".join(_watch.seen)
        _watch.seen.clear()
    elif kind in ("accepted", "refused") and seconds > limit:
        kind, error = "hang", f"{seconds:.1f} s"
    elif kind in ("accepted", "refused") and megabytes > GROWTH:
        kind, error = "memory", f"{megabytes:,.0f} MB more"
    return Outcome(kind, error, place, seconds, megabytes)


def _called(read: Callable[[], object], limit: float) -> tuple[Kind, str, str]:
    _watch.on = True
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        read()
        return "accepted", "", ""
    except HeadstartError as fault:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return _of_message(str(fault))
    except Hang as fault:
        return "hang", f"more than {limit:g} s", _place(fault)
    except Exception as fault:
        return "other", f"{type(fault).__name__}: {fault!s:.300}", _place(fault)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _watch.on = False


def _of_message(message: str) -> tuple[Kind, str, str]:
    """A refusal says something that can be printed."""
    if not message.strip():
        return "other", "a message without words", ""
    return "refused", "", ""


def _place(fault: BaseException) -> str:
    frames = traceback.extract_tb(fault.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}headstart{os.sep}" in frame.filename] or frames
    return f"{ours[-1].filename.rpartition(f'{os.sep}headstart{os.sep}')[2]}:{ours[-1].lineno}"


def _hang(*_: object) -> None:
    raise Hang


def _peak() -> float:
    """Megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)


def _address_space() -> int:
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[0]) * resource.getpagesize() if statm.is_file() else 1 << 42
