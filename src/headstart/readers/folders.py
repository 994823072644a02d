"""What several readers need of folders and small text files: image lists, split names, lists of names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from headstart.errors import DataError
from headstart.places.images import IMAGE_SUFFIXES
from headstart.places.paths import DataPath

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "trainval": "trainval",
}
"""Folder name in lower case -> split."""


def subfolders(folder: DataPath) -> dict[str, DataPath]:
    """Name -> folder, sorted by name; hidden ones left out. Empty when `folder` is none."""
    return {entry.name: entry for entry, is_folder in folder.iterdir() if is_folder}


def files_in(folder: DataPath, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[DataPath]:
    """Files directly in `folder` with one of the suffixes (any case), sorted by name; hidden ones left out."""
    return [entry for entry, is_folder in folder.iterdir() if not is_folder and entry.suffix.lower() in suffixes]


def has_files(folder: DataPath, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> bool:
    """Whether `files_in` finds any."""
    return any(not is_folder and entry.suffix.lower() in suffixes for entry, is_folder in folder.iterdir())


def split_of(folder_name: str) -> str | None:
    """`train` of train, training, train2017; None for other names."""
    return SPLIT_FOLDERS.get(re.sub(r"[_-]?\d*$", "", folder_name.lower()))


def read_text(path: DataPath) -> str:
    """A text file in UTF-8, with or without a byte order mark. Raises DataError."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error}). Save it again as plain text.") from error


def read_lines(path: DataPath) -> list[str]:
    """Lines of a text file without surrounding blanks, empty lines and lines that begin with `#` left out."""
    return [line.strip() for line in read_text(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]


def relative(path: DataPath, root: DataPath) -> str:
    """`path` below `root`, with forward slashes."""
    return path.relative.removeprefix(root.relative).lstrip("/")


class NamedFiles:
    """Finds files by the names that lists give them; each folder is listed once."""

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, bool]] = {}

    def has(self, path: DataPath) -> bool:
        """Whether there is such a file."""
        above = path.parent
        if above.relative not in self._listed:
            try:
                self._listed[above.relative] = path.place.entries(above.relative)
            except (OSError, ValueError):  # A name too long, or with a zero byte in it.
                self._listed[above.relative] = {}
        return self._listed[above.relative].get(path.name) is False

    def find(self, folders: Iterable[DataPath], name: str) -> DataPath | None:
        """The file that `name` means in the first of the folders that has it; None where none has."""
        for folder in folders:
            path = named(folder, name)
            if path is not None and path.relative and self.has(path):
                return path
        return None


def named(folder: DataPath, name: str) -> DataPath | None:
    """What a list in `folder` means by `name`, which may go up by `..` and be absolute; None outside the place."""
    name = name.replace("\\", "/")
    if name.startswith("/") or re.match("[A-Za-z]:/", name):
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
