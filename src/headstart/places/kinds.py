"""What the entries of a folder are; links that lead nowhere or to themselves are neither files nor folders."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Errors of the system that say: nothing is there. The last but one of a link that leads to itself."""


def is_archive(name: str) -> bool:
    """By its suffix, in any case."""
    return name.lower().endswith(ARCHIVES)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Also of a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # A link that leads to itself.
        return False


def is_file(entry: os.DirEntry[str]) -> bool:
    """Also of a link to one."""
    try:
        return entry.is_file()
    except OSError:
        return False


def what(path: str) -> str:
    """What a name stands for that is neither a file nor a folder."""
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return "a link whose target is not there"
    kinds = {"a pipe": stat.S_ISFIFO, "a socket": stat.S_ISSOCK}
    return next((name for name, is_one in kinds.items() if is_one(mode)), "a device")
