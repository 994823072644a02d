"""Who works at a job of a shared store: one run at a time, whether the runs are on one machine or on several.

A lease is a file beside the job's partial directory that says who holds it. Its holder keeps it locked (flock), which
the system undoes however the holder ends, and touches it every `BEAT` seconds. A lock that cannot be had means that
somebody is at work. One that can be had means nobody on this machine is; whether somebody on another one is (not every
shared file system hands locks on) is told by when the file was last touched, by the file system's own clock.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from headstart.store.files import temporary_name, unwritable

BEAT = 10.0
"""Seconds between two signs of life."""
SILENT = 90.0
"""Seconds without one after which a holder on another machine is taken to have ended."""
SETTLE = 1.0
"""Seconds that two who take over from a silent holder give each other."""

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def this_machine() -> str:
    """Name of this machine and of its present boot, by which processes with one number are told apart."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{platform.node()} {boot.read_text().strip()[:8] if boot.is_file() else ''}".strip()


class Leases:
    """Those of one run in a shared store; given back when the process ends, however it ends.

    folder: where partial directories are. run: the run directory, for what others are told.
    """

    def __init__(self, folder: Path, run: Path) -> None:
        self._folder, self._run = folder, run
        self._held: dict[str, int] = {}
        self._beating: threading.Thread | None = None
        self._ended = threading.Event()

    def take(self, name: str) -> bool:
        """Whether this run may work at the job now: nobody else does. It then may until `release`."""
        if name in self._held:
            return True
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = self._taken(self._folder / f"{name}.lease")
        except OSError as fault:
            raise unwritable(self._folder / f"{name}.lease", fault) from fault
        if handle is None:
            return False
        self._held[name] = handle
        if self._beating is None:
            self._beating = threading.Thread(target=self._beat, name="signs of life", daemon=True)
            self._beating.start()
        return True

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def release(self, name: str) -> None:
        """Let others work at the job."""
        handle = self._held.pop(name, None)
        if handle is not None:
            with suppress(OSError):
                (self._folder / f"{name}.lease").unlink()
            os.close(handle)

    def close(self) -> None:
        """Give all back."""
        for name in list(self._held):
            self.release(name)
        self._ended.set()
        self._beating, self._ended = None, threading.Event()

    def holder(self, name: str) -> str:
        """Who works at a job, such as "runs/a (process 12 on host)"; "" for nobody."""
        said = _read(self._folder / f"{name}.lease")
        return f"{said['run']} (process {said['process']} on {said['machine'].partition(' ')[0]})" if said else ""

    def _taken(self, path: Path) -> int | None:
        mine = {
            "run": str(self._run.absolute()),
            "process": os.getpid(),
            "machine": this_machine(),
            "token": uuid.uuid4().hex,
        }
        created = _created(path, json.dumps(mine))
        try:
            handle = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None  # given back this moment: the next look takes it
        kept = False
        try:
            locked = _locked(handle)
            if locked is False or not _is_still(path, handle):
                return None
            if not created:
                before = _read(path)
                foreign = locked is None or (bool(before) and before["machine"] != mine["machine"])
                if foreign and self._age(path) < SILENT:
                    return None
                content = json.dumps(mine).encode()
                os.pwrite(handle, content, 0)
                os.ftruncate(handle, len(content))
                os.fsync(handle)
                if foreign:
                    time.sleep(SETTLE)
                    if _read(path).get("token") != mine["token"]:
                        return None
            kept = True
            return handle
        finally:
            if not kept:
                os.close(handle)

    def _age(self, path: Path) -> float:
        """Seconds since the file was touched, by the clock that stamps it."""
        part = temporary_name(path)
        part.write_bytes(b"now")
        try:
            return part.stat().st_mtime - path.stat().st_mtime
        finally:
            part.unlink()

    def _beat(self) -> None:
        ended = self._ended
        while not ended.wait(BEAT):
            for handle in list(self._held.values()):
                with suppress(OSError):
                    os.utime(handle)


def _created(path: Path, content: str) -> bool:
    """Whether the file was not there, and now is with all of its content: nobody ever sees it empty."""
    part = temporary_name(path)
    part.write_text(content)
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        part.unlink()
    return True


def _locked(handle: int) -> bool | None:
    """Whether the lock was had; None where the file system has none."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as fault:
        if fault.errno in NO_LOCKS:
            return None
        raise
    return True


def _is_still(path: Path, handle: int) -> bool:
    """Whether the file of this name is still the one that was opened."""
    try:
        return path.stat().st_ino == os.fstat(handle).st_ino
    except FileNotFoundError:
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text())
        return said if isinstance(said, dict) and {"run", "process", "machine"} <= said.keys() else {}
    except (OSError, ValueError):
        return {}
