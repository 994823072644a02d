"""Every file of ours is written whole or not at all, and read with suspicion.

What is written goes to a temporary name beside the file, to the disk, and only then takes the file's name. A process
that is killed leaves at most such a temporary file, told by its name; whoever holds a run's lock sweeps them.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from headstart.errors import StoreError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNWRITABLE = (*FULL, errno.EROFS)
"""Faults that the disk is to blame for, wherever they come up."""
ABANDONED = 24 * 3600.0
"""Seconds after which nobody is taken to write a temporary file any more, where no lock can tell."""
TEMPORARY = re.compile(r"\..+\.\d+\.tmp")
"""Names of files and folders that a process is writing, or was writing when it was killed."""


def temporary_name(path: Path) -> Path:
    """Where this process writes what will be called `path`, in the same folder."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def final_name(part: Path) -> Path:
    """What the file at a temporary name will be called."""
    return part.with_name(part.name[1:].rsplit(".", 2)[0])


@contextmanager
def replacing(path: Path, durable: bool = True, size: int = 0) -> Iterator[Path]:
    """A temporary name to write to; when the block ends, what was written takes the place of `path`.

    path: its folder must exist. durable: also wait until the disk has it (not needed for progress notes and caches).
    size: bytes that will be written, for the message; 0 where that is not known.
    Raises StoreError where it cannot be written (full, read-only, not allowed); the old content is then still there.
    """
    part = temporary_name(path)
    try:
        yield part
        if durable:
            _flush(part)
        part.replace(path)
        if durable:
            _flush(path.parent)
    except BaseException as fault:
        written = 0
        with suppress(OSError):
            written = part.stat().st_size
            part.unlink(missing_ok=True)
        if isinstance(fault, OSError):
            raise unwritable(path, fault, max(size, written)) from fault
        raise


def unwritable(path: Path, fault: BaseException, size: int = 0) -> StoreError:
    """A fault of writing as a sentence: what, why, how much room there is, and what to do.

    size: bytes that are to be written, or that were before it failed; 0 where that is not known.
    """
    number = getattr(fault, "errno", None)
    why, advice = getattr(fault, "strerror", None) or str(fault), "Make room on the disk, or allow writing there"
    if number in FULL:
        why += _room(path, size)
        advice = "Make room on the disk, or write to another one"
    elif number == errno.EROFS:
        advice = "Make it writable, or write to another place"
    return StoreError(f"{path}: cannot be written ({why}). {advice}; then run the same command again.")


def _room(path: Path, size: int) -> str:
    """How much of the disk is free, and how much the file takes, as far as that is known."""
    with suppress(OSError):
        usage = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists()))
        takes = f", the file takes {_kilobytes(size)} or more" if size else ""
        return f": {_kilobytes(usage.free)} of {_kilobytes(usage.total)} are free{takes}"
    return ""


def _kilobytes(count: int) -> str:
    return f"{count / 1e3:,.0f} kB" if count < 1e7 else f"{count / 1e6:,.0f} MB"


def write_bytes(path: Path, content: bytes, durable: bool = True) -> None:
    """Write a file; see `replacing`."""
    with replacing(path, durable, len(content)) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """Write a file in UTF-8, its line ends as they are in `text`; see `replacing`."""
    write_bytes(path, text.encode("utf-8"), durable)


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    """Write JSON with sorted keys, so that equal values give equal bytes.

    NaN and infinities become null (JSON has no other word for "no value"); NumPy scalars become numbers; floats are
    written with all their digits.
    """
    text = json.dumps(_plain(value), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n", durable)


def read_json(path: Path) -> Any:
    """Read a JSON file of ours. Raises StoreError, naming the file, when it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: missing; run the same command again to make it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: unreadable ({error}); delete it and run the same command again") from error


def sync(path: Path) -> None:
    """Wait until the disk has the file, or the folder's entries: a rename is only safe from a power cut after that.
    Raises StoreError where it cannot have them: a disk may tell only now that it is full."""
    try:
        _flush(path)
    except OSError as fault:
        raise unwritable(path, fault) from fault


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path, older_than: float = 0.0) -> int:
    """Delete what killed processes left half written below `folder`. Returns how many files and folders that were.

    Only for who holds the folder's lock; where there is none (caches), older_than: seconds since the last write.
    """
    strays = [path for path in sorted(folder.rglob(".*.tmp")) if TEMPORARY.fullmatch(path.name)]
    count = 0
    for path in strays:
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime >= older_than:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                count += 1
    return count


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if not isinstance(value, str | int | float | None) and hasattr(value, "item"):
        value = value.item()  # a NumPy scalar, told without importing NumPy
    return None if isinstance(value, float) and not math.isfinite(value) else value


def append_line(path: Path, line: str) -> None:
    """Add a line to a file that grows, such as the run's log. Raises StoreError where it cannot be written."""
    append_bytes(path, f"{line}\n".encode())


def append_bytes(path: Path, content: bytes) -> None:
    """The same of bytes."""
    try:
        with path.open("ab") as file:
            file.write(content)
    except OSError as fault:
        raise unwritable(path, fault) from fault
