"""What several readers need of folders and small text files: image lists, split names, lists of names."""

from __future__ import annotations

import re
from pathlib import Path

from headstart.data.images import IMAGE_SUFFIXES
from headstart.errors import DataError

SPLIT_FOLDERS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
                 "test": "test", "testing": "test", "trainval": "trainval"}  # fmt: skip
"""Folder name in lower case -> split."""


def subfolders(folder: Path) -> dict[str, Path]:
    """Name -> folder, sorted by name; hidden ones left out. Empty when `folder` is none."""
    if not folder.is_dir():
        return {}
    return {p.name: p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".")}


def files_in(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Files directly in `folder` with one of the suffixes (any case), sorted by name; hidden ones left out."""
    if not folder.is_dir():
        return []
    return sorted(
        p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith(".") and p.is_file()
    )


def has_files(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> bool:
    """Whether `files_in` finds any, without listing them all."""
    return folder.is_dir() and any(
        p.suffix.lower() in suffixes and not p.name.startswith(".") and p.is_file() for p in folder.iterdir()
    )


def split_of(folder_name: str) -> str | None:
    """`train` of train, training, train2017; None for other names."""
    return SPLIT_FOLDERS.get(re.sub(r"[_-]?\d*$", "", folder_name.lower()))


def read_lines(path: Path) -> list[str]:
    """Lines of a text file without surrounding blanks, empty lines and lines that begin with `#` left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read as UTF-8 text ({error}). Save the list again as plain text."
        ) from error
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def relative(path: Path, root: Path) -> str:
    """With forward slashes on every system."""
    return path.relative_to(root).as_posix()
