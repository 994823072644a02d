"""A file with one bit flipped, or cut to half."""

from __future__ import annotations

import os
from pathlib import Path


def flip(path: Path) -> None:
    """One bit of the byte in the middle; size and time stay."""
    content, facts = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)
