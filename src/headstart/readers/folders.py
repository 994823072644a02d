"""What several readers need of folders and small text files: image lists, split names, lists of names."""

from __future__ import annotations

import re
from collections.abc import Iterator

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


DEPTH, MANY = 4, 500
"""How far and wide a data set is searched for files of a format."""


def walked(root: DataPath) -> Iterator[DataPath]:
    """The folder and those below it, sorted within each: `DEPTH` levels and `MANY` folders at most."""
    level = [root]
    left = MANY
    for _ in range(DEPTH):
        yield from level[:left]
        left -= len(level)
        if left <= 0:
            return
        level = [inner for folder in level for inner in subfolders(folder).values()]


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
