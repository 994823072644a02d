"""Small files written whole or not at all."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from headstart.errors import StoreError


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """Write a file under a temporary name and rename it: a reader sees the old content or the new, never a part.

    path: its folder must exist. durable: also wait until the disk has it (not needed for progress notes).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values give equal bytes.

    NaN and infinities become null (JSON has no other word for "no value"); NumPy scalars become numbers; floats are
    written with all their digits.
    """
    text = json.dumps(_plain(value), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file that the store wrote. Raises StoreError, naming the file, when it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: missing; run the study again to make it") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: unreadable ({error}); delete it and run the study again") from error


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's entries: a rename is only safe from a power cut after that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if not isinstance(value, str | int | float | None) and hasattr(value, "item"):
        value = value.item()  # a NumPy scalar, told without importing NumPy
    return None if isinstance(value, float) and not math.isfinite(value) else value
