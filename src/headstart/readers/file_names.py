"""The files that names in annotation mean: written on another machine, for another folder, or in other Unicode."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from headstart.places.paths import DataPath

DRIVE = re.compile("[A-Za-z]:/")
URL = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")


def composed(name: str) -> str:
    """The name in Unicode's composed form: macOS writes e and an accent where others write one letter."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def leads_out(name: str) -> bool:
    """Whether the name is absolute, of a drive, of a server, or goes up by `..` beyond where it begins."""
    plain = name.replace("\\", "/")
    up = posixpath.normpath(plain).startswith("../") if plain else False
    return plain.startswith("/") or bool(DRIVE.match(plain) or URL.match(plain)) or up


def inner(name: str) -> str:
    """What remains of a name that leads out: without drive, server, query and what goes up; '' where nothing does.

    Label Studio's `/data/local-files/?d=photos/a.jpg` names its file in the query.
    """
    plain = name.replace("\\", "/")
    if "?d=" in plain:
        plain = parse_qs(plain.partition("?")[2].partition("#")[0]).get("d", [plain])[0]
    elif URL.match(plain):
        plain = unquote(path_of(plain))
    plain = posixpath.normpath(DRIVE.sub("", plain, count=1).lstrip("/") or ".")
    while plain.startswith("../"):
        plain = plain[3:]
    return "" if plain in (".", "..") else plain.lstrip("/")


def path_of(address: str) -> str:
    """The path of an address; '' where it is none."""
    try:
        return urlsplit(address).path
    except ValueError:  # a server in brackets that is no number of the internet
        return ""


def tails(name: str) -> Iterator[str]:
    """The name without its first folder, then without its first two, down to its last part."""
    parts = name.split("/")
    yield from ("/".join(parts[k:]) for k in range(1, len(parts)))


class NamedFiles:
    """Finds files by the names that lists give them; each folder is listed once."""

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, bool]] = {}
        self._composed: dict[str, dict[str, str]] = {}
        self._by_end: dict[DataPath, str] = {}

    def has(self, path: DataPath) -> bool:
        """Whether there is such a file, whatever the Unicode form of its name."""
        return self.on_disk(path) is not None

    def on_disk(self, path: DataPath) -> DataPath | None:
        """The file under the name that it has on disk; None where there is none."""
        if self._entries(path.parent).get(path.name) is False:
            return path
        if path.relative.isascii():
            return None
        above = DataPath(path.place)
        for part in path.relative.split("/"):
            known = self._composed.get(above.relative)
            if known is None:
                known = {composed(name): name for name in self._entries(above)}
                self._composed[above.relative] = known
            if composed(part) not in known:
                return None
            above = DataPath(path.place, f"{above.relative}/{known[composed(part)]}".lstrip("/"))
        return above if self._entries(above.parent).get(above.name) is False else None

    def find(self, folders: Iterable[DataPath], name: str) -> DataPath | None:
        """The file that `name` means in the first of the folders that has it; None where none has.

        A name that leads out of the data set is looked for by its ends, the longest first; one that stands for a file
        which another such name was found as, is not found.
        """
        places = list(folders)
        for folder in places:
            path = named(folder, name)
            if path is not None and path.relative and (there := self.on_disk(path)):
                return there
        rest = inner(name) if leads_out(name) else ""
        for end in (rest, *tails(rest)) if rest else ():
            for folder in places:
                path = named(folder, end)
                if path is not None and path.relative and (there := self.on_disk(path)):
                    return there if self._by_end.setdefault(there, rest) == rest else None
        return None

    @property
    def notes(self) -> list[str]:
        """How many files were found by the ends of their names."""
        if not self._by_end:
            return []
        path, name = next(iter(self._by_end.items()))
        return [
            f"{len(self._by_end)} names lead out of the data set, and their files were found by the ends of the names; "
            f"first: {path} for {name!r}"
        ]

    def _entries(self, folder: DataPath) -> dict[str, bool]:
        if folder.relative not in self._listed:
            try:
                self._listed[folder.relative] = folder.place.entries(folder.relative)
            except (OSError, ValueError):  # A name too long, or with a zero byte in it.
                self._listed[folder.relative] = {}
        return self._listed[folder.relative]


def named(folder: DataPath, name: str) -> DataPath | None:
    """What a list in `folder` means by `name`, which may go up by `..` and be absolute; None outside the place."""
    name = name.replace("\\", "/")
    if name.startswith("/") or DRIVE.match(name):
        top = folder.place.local("")
        if top is None:
            return None
        below = name.removeprefix(f"{Path(top).absolute().as_posix().rstrip('/')}/")
        return DataPath(folder.place) / below if below != name and ".." not in below.split("/") else None
    parts = [part for part in folder.relative.split("/") if part]
    for part in name.split("/"):
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return DataPath(folder.place, "/".join(parts))
