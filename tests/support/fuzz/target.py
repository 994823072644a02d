"""What is fuzzed: valid files, how they are changed, and what reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from support.fuzz.changes import Change

Read = Callable[[Path, Random], object]
"""Reads the files in a folder as a command does; what it asks beside is drawn."""


@dataclass(frozen=True)
class Case:
    """One valid input of a target.

    files: all files, by their paths in the case's folder. changes: how those that are fuzzed are changed, one of them
    in every input.
    """

    name: str
    files: Mapping[str, bytes]
    changes: Mapping[str, Change]
    read: Read


@dataclass(frozen=True)
class Target:
    """A kind of files. cases: made in an empty folder. networks: whether what reads them builds some."""

    name: str
    cases: Callable[[Path], list[Case]]
    networks: bool = False


def files_in(folder: Path) -> dict[str, bytes]:
    """Path -> content of all files below a folder."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
