"""Folders of data sets, such as RF100-VL and ODinW: which sets are in them, and each opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headstart.data.annotations import Annotations
from headstart.errors import DataError
from headstart.places.opening import open_place
from headstart.places.paths import DataPath
from headstart.readers.folders import subfolders
from headstart.readers.formats import at_once, open_dataset

DEEPEST = 4
"""Folders between a suite and its sets: `dice/mediumColor/export`."""


@dataclass(frozen=True)
class SuiteSet:
    """One data set of a suite: its folder below the suite, and its table or what is wrong with it."""

    name: str
    table: Annotations | None
    fault: str


def sets_of(root: DataPath, depth: int = 0) -> Iterator[DataPath]:
    """Folders of data sets in a folder, in the order of their names; none inside another one."""
    for _, folder in sorted(subfolders(root).items()):
        if at_once(folder):
            yield folder
        elif depth + 1 < DEEPEST:
            yield from sets_of(folder, depth + 1)


def open_suite(path: Path | str) -> list[SuiteSet]:
    """Every data set below a folder, opened; one that cannot be read is named with its fault, the others go on.

    Raises DataError where there is none.
    """
    root = open_place(path)
    opened = []
    for folder in sets_of(root):
        name = folder.relative.removeprefix(root.relative).lstrip("/")
        try:
            opened.append(SuiteSet(name, open_dataset(folder.local() or str(folder)), ""))
        except DataError as fault:
            opened.append(SuiteSet(name, None, str(fault)))
    if not opened:
        raise DataError(f"{root}: no folder in it is a data set of a known format. Name a folder of data sets.")
    return opened
