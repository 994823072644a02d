"""Where a data set's files are. Readers see a `DataPath`, whatever is behind it: a folder, an archive, a URL.

A `Place` answers for names relative to its root, with forward slashes; "" is the root itself. Beside folders there are
zip and tar files (`headstart.places.archives`) and URLs (`headstart.places.remote`).
"""

from __future__ import annotations

import io
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeVar

from headstart.errors import DataError
from headstart.places.kinds import ABSENT, is_file, is_folder, what

Answer = TypeVar("Answer")
Stamp = tuple[int, int]
"""Size in bytes (0 for a folder) and time of the last change in ns: equal stamps, unchanged content."""


class Place(ABC):
    """Files under one root. Names are relative to it; a name that is not there is no error until it is read."""

    root: str
    """As the user named it; `open_place` turns it into an equal place."""

    @property
    @abstractmethod
    def address(self) -> str:
        """The same, whatever the working directory."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was odd about the place itself, a sentence each."""
        return ()

    def source(self, name: str) -> str:
        """While this file or folder has the same stamp, `name` has the same content."""
        return name

    @abstractmethod
    def entries(self, folder: str) -> dict[str, bool]:
        """Name -> whether it is a folder, of what lies directly in `folder`; empty when that is none."""

    def no_files(self, folder: str) -> dict[str, str]:
        """Name -> what it is, of those `entries` of the folder that are neither files nor folders, such as a pipe."""
        return {}

    @abstractmethod
    def kind(self, name: str) -> str:
        """`file`, `folder` or ''."""

    @abstractmethod
    def stamp(self, name: str) -> Stamp | None:
        """None when there is no such file or folder."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """All bytes of a file. Raises OSError (FileNotFoundError where there is none)."""

    def open(self, name: str) -> BinaryIO:
        """The file for reading, seekable. Raises OSError."""
        return io.BytesIO(self.read(name))

    def where(self, name: str) -> str:
        """What messages call the file."""
        return f"{self.root}/{name}" if name else self.root

    def local(self, name: str) -> Path | None:
        """The file on this machine's disk, where it is one of its own."""
        return None


def _nothing(error: OSError | ValueError, answer: Answer) -> Answer:
    """The answer for what is not there, or for a name that no file can have; raises the error where it is another."""
    if isinstance(error, OSError) and error.errno not in ABSENT:
        raise error
    return answer


@dataclass(frozen=True)
class Folder(Place):
    """A folder on this machine."""

    root: str

    @property
    def address(self) -> str:
        return str(Path(self.root).absolute())

    def local(self, name: str) -> Path:
        return Path(self.root, name)

    def where(self, name: str) -> str:
        return str(self.local(name))

    def entries(self, folder: str) -> dict[str, bool]:
        try:
            with os.scandir(self.local(folder)) as entries:
                return {entry.name: is_folder(entry) for entry in entries}
        except (OSError, ValueError) as error:
            return _nothing(error, {})

    def no_files(self, folder: str) -> dict[str, str]:
        try:
            with os.scandir(self.local(folder)) as entries:
                odd = [entry for entry in entries if not (is_folder(entry) or is_file(entry))]
                return {entry.name: what(entry.path) for entry in odd}
        except (OSError, ValueError) as error:
            return _nothing(error, {})

    def kind(self, name: str) -> str:
        path = self.local(name)
        try:
            return "folder" if path.is_dir() else "file" if path.is_file() else ""
        except OSError as error:
            return _nothing(error, "")

    def stamp(self, name: str) -> Stamp | None:
        try:
            facts = self.local(name).stat()
        except (OSError, ValueError) as error:
            return _nothing(error, None)
        if not (stat.S_ISDIR(facts.st_mode) or stat.S_ISREG(facts.st_mode)):
            return None
        return (0 if stat.S_ISDIR(facts.st_mode) else facts.st_size, facts.st_mtime_ns)

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read()

    def open(self, name: str) -> BinaryIO:
        path = self.local(name)
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # To open a pipe would wait for someone who writes to it.
            raise OSError(f"it is {what(str(path))}, not a file")
        return path.open("rb")


@dataclass(frozen=True, eq=False)
class Watched(Place):
    """Another place, with a record of what was asked of it: the sources that a table was read from."""

    behind: Place
    seen: dict[str, Stamp | None] = field(default_factory=dict)
    """Name -> stamp when it was first asked for; None when it was not there."""

    @property
    def root(self) -> str:  # type: ignore[override]
        return self.behind.root

    @property
    def address(self) -> str:
        return self.behind.address

    @property
    def notes(self) -> tuple[str, ...]:
        return self.behind.notes

    def source(self, name: str) -> str:
        return self.behind.source(name)

    def _see(self, name: str) -> None:
        name = self.source(name)
        if name not in self.seen:
            self.seen[name] = self.behind.stamp(name)

    def entries(self, folder: str) -> dict[str, bool]:
        self._see(folder)
        return self.behind.entries(folder)

    def no_files(self, folder: str) -> dict[str, str]:
        return self.behind.no_files(folder)

    def kind(self, name: str) -> str:
        self._see(name)
        return self.behind.kind(name)

    def stamp(self, name: str) -> Stamp | None:
        self._see(name)
        return self.seen[name] if name in self.seen else self.behind.stamp(name)

    def read(self, name: str) -> bytes:
        self._see(name)
        return self.behind.read(name)

    def open(self, name: str) -> BinaryIO:
        self._see(name)
        return self.behind.open(name)

    def where(self, name: str) -> str:
        return self.behind.where(name)

    def local(self, name: str) -> Path | None:
        self._see(name)
        return self.behind.local(name)


@dataclass(frozen=True)
class Below(Place):
    """A folder of another place, as a place of its own."""

    behind: Place
    folder: str

    @property
    def root(self) -> str:  # type: ignore[override]
        return self.behind.where(self.folder)

    @property
    def address(self) -> str:
        return f"{self.behind.address}/{self.folder}"

    @property
    def notes(self) -> tuple[str, ...]:
        return self.behind.notes

    def _name(self, name: str) -> str:
        return f"{self.folder}/{name}" if name else self.folder

    def entries(self, folder: str) -> dict[str, bool]:
        return self.behind.entries(self._name(folder))

    def no_files(self, folder: str) -> dict[str, str]:
        return self.behind.no_files(self._name(folder))

    def kind(self, name: str) -> str:
        return self.behind.kind(self._name(name))

    def stamp(self, name: str) -> Stamp | None:
        return self.behind.stamp(self._name(name))

    def read(self, name: str) -> bytes:
        return self.behind.read(self._name(name))

    def open(self, name: str) -> BinaryIO:
        return self.behind.open(self._name(name))

    def where(self, name: str) -> str:
        return self.behind.where(self._name(name))

    def local(self, name: str) -> Path | None:
        return self.behind.local(self._name(name))


@dataclass(frozen=True)
class DataPath:
    """A file or folder of a place, used like a `pathlib.Path`. `str()` is what messages call it."""

    place: Place
    relative: str = ""
    """To the place's root, with forward slashes; "" is the root."""

    def __truediv__(self, name: str) -> DataPath:
        parts = [p for p in f"{self.relative}/{name}".replace("\\", "/").split("/") if p not in ("", ".")]
        if ".." in parts:
            raise DataError(
                f"{self}: {name!r} leads out of its folder by '..'. Give names below the data set's folder."
            )
        return DataPath(self.place, "/".join(parts))

    def __str__(self) -> str:
        return self.place.where(self.relative)

    def __lt__(self, other: DataPath) -> bool:
        return self.relative < other.relative

    @property
    def name(self) -> str:
        """Of the root, too, where it was given as the folder that a command runs in, or as one above it."""
        name = self.relative.rpartition("/")[2] or Path(self.place.root).name
        return name if name not in ("", "..") else Path(self.place.root).resolve().name

    @property
    def stem(self) -> str:
        return self.name.removesuffix(self.suffix)

    @property
    def suffix(self) -> str:
        """As `pathlib` has it, which would take ten times as long: a million names are asked for it."""
        name = self.name
        dot = name.rfind(".")
        return name[dot:] if 0 < dot < len(name) - 1 else ""

    @property
    def parent(self) -> DataPath:
        return DataPath(self.place, self.relative.rpartition("/")[0])

    def is_dir(self) -> bool:
        return self.place.kind(self.relative) == "folder"

    def is_file(self) -> bool:
        return self.place.kind(self.relative) == "file"

    def exists(self) -> bool:
        return self.place.kind(self.relative) != ""

    def iterdir(self) -> Iterator[tuple[DataPath, bool]]:
        """(entry, whether it is a folder), sorted by name; hidden ones left out."""
        for name, folder in sorted(self.place.entries(self.relative).items()):
            if not name.startswith("."):
                yield self / name, folder

    def read_bytes(self) -> bytes:
        return self.place.read(self.relative)

    def open(self, mode: str = "rb") -> BinaryIO:
        assert mode == "rb", "data sets are never written to"
        return self.place.open(self.relative)

    def size(self) -> int:
        """Bytes. Raises DataError when there is no such file."""
        stamp = self.place.stamp(self.relative)
        if stamp is None:
            raise DataError(f"{self}: there is no such file. Put the file back and start again.")
        return stamp[0]

    def local(self) -> Path | None:
        return self.place.local(self.relative)


def absolute(path: str | Path, base: Path) -> str:
    """The path of a data set, whatever the working directory; relative ones are to `base`. A URL is one already."""
    return str(path) if "://" in str(path) else str((base / path).resolve())


def as_place(folder: DataPath) -> Place:
    """A place whose names are relative to `folder`."""
    return Below(folder.place, folder.relative) if folder.relative else folder.place
