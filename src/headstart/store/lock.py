"""One process at a time works in a run directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from headstart.errors import StudyError
from headstart.store.files import unwritable


class RunLock:
    """Held as a context manager; released by the system when the process ends, however it ends.

    Raises StudyError on entering when another process holds it, and says which one.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._handle = -1

    def __enter__(self) -> RunLock:
        self._run.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(self._run / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as fault:
            raise unwritable(self._run / ".lock", fault) from fault
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise StudyError(
                f"{self._run}: process {holder} is running a study here; wait for it, stop it, or name another --out"
            ) from None
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except OSError as fault:
            os.close(handle)
            raise unwritable(self._run / ".lock", fault) from fault
        self._handle = handle
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        # The file stays: deleting it would let a third process lock another file of the same name.
        os.close(self._handle)
