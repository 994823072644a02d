"""What a folder in no known format holds, and what the formats that it is nearest to lack."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from headstart.places.images import IMAGE_SUFFIXES
from headstart.places.paths import DataPath
from headstart.readers.coco.recognition import lacks
from headstart.readers.folders import has_files, relative, walked
from headstart.readers.lists.columns import head_lines
from headstart.readers.voc.places import like_voc
from headstart.readers.yolo.exports import NAMES, label_lines

LOOKED_AT = 20
"""Files of a kind that are looked into."""
SHOWN = 6
"""Kinds of files and folders that are counted."""
TABLES = (".csv", ".tsv")
FIELDS = re.compile(r"[,;\t]")
MASKS = ("mask", "label", "annot", "seg", "gt")


@dataclass
class Content:
    """What lies in a folder and below it."""

    root: DataPath
    folders: list[DataPath]
    kinds: Counter[str] = field(default_factory=Counter)
    """Files by ending, in lower case."""
    first: dict[str, list[DataPath]] = field(default_factory=dict)
    """The first files of each ending."""

    @property
    def num_images(self) -> int:
        return sum(self.kinds[suffix] for suffix in IMAGE_SUFFIXES)

    def said(self) -> str:
        """Numbers of files by ending, with the first of each."""
        words = []
        for kind, count in self.kinds.most_common(SHOWN):
            name = relative(self.first[kind][0], self.root) or self.root.name
            words.append(f"{count} {kind or 'without ending'} ({name}{', ..' if count > 1 else ''})")
        return ", ".join(words) or "nothing"


@dataclass(frozen=True)
class _Format:
    name: str
    has: tuple[tuple[Callable[[Content], bool], str], ...]
    """What it needs: whether it is there, and what to do where it is not."""


def content_of(root: DataPath) -> Content:
    """Of the folder and those below it, as far as `walked` goes; or of the one file."""
    content = Content(root, [] if root.is_file() else list(walked(root)))
    files = [root] if root.is_file() else []
    for folder in content.folders:
        files += [entry for entry, is_folder in folder.iterdir() if not is_folder]
    for path in files:
        kind = path.suffix.lower()
        content.kinds[kind] += 1
        content.first.setdefault(kind, [])
        if len(content.first[kind]) < LOOKED_AT:
            content.first[kind].append(path)
    return content


def nearest(content: Content, most: int = 2) -> list[str]:
    """A line for each of the nearest formats: what it lacks; those of which the most is there first."""
    scored = []
    for one in FORMATS:
        missing = [what for is_there, what in one.has if not is_there(content)]
        there = len(one.has) - len(missing)
        if there and missing:
            scored.append((-there / len(one.has), -there, f"{one.name} lacks {' and '.join(missing)}"))
    return [line for _, _, line in sorted(scored, key=lambda entry: entry[:2])[:most]]


def _images(content: Content) -> bool:
    return content.num_images > 0


def _any(content: Content, suffix: str, holds: Callable[[DataPath], bool] = lambda path: True) -> bool:
    return any(map(holds, content.first.get(suffix, [])))


def _tables(content: Content) -> bool:
    return any(_any(content, suffix) for suffix in TABLES)


def _names_images(content: Content) -> bool:
    stems = {p.stem for suffix in IMAGE_SUFFIXES for p in content.first.get(suffix, [])}
    tables = [path for suffix in TABLES for path in content.first.get(suffix, [])]
    fields = {field.strip().strip('"') for path in tables for line in head_lines(path) for field in FIELDS.split(line)}
    return any(PurePosixPath(field).stem in stems for field in fields if field)


def _class_folders(content: Content) -> bool:
    return len([folder for folder in content.folders if folder != content.root and has_files(folder)]) > 1


def _mask_folders(content: Content) -> bool:
    names = [folder.name.lower() for folder in content.folders if folder != content.root and has_files(folder)]
    return any(word in name for name in names for word in MASKS)


def _class_names(content: Content) -> bool:
    listed = any((folder / name).is_file() for folder in content.folders for name in NAMES)
    return listed or _any(content, ".yaml") or _any(content, ".yml")


IMAGES = (_images, "image files")
FORMATS = (
    _Format(
        "coco",
        (
            (lambda c: _any(c, ".json"), "a JSON file"),
            (
                lambda c: _any(c, ".json", lambda p: "images" not in lacks(p)),
                "the list of objects `images` at the top level of its JSON file",
            ),
            (
                lambda c: _any(c, ".json", lambda p: "annotations" not in lacks(p)),
                "the list of objects `annotations` at the top level of its JSON file",
            ),
            IMAGES,
        ),
    ),
    _Format(
        "voc",
        (
            (lambda c: _any(c, ".xml"), "XML files"),
            (lambda c: any(map(like_voc, c.folders)), "XML files that begin with <annotation>"),
            (_images, "images that are named as its XML files are"),
        ),
    ),
    _Format(
        "yolo",
        (
            (lambda c: any(map(label_lines, c.folders)), "text files with lines `CLASS X Y WIDTH HEIGHT`"),
            (
                _class_names,
                "a data.yaml with `names` and `train`, or a classes.txt",
            ),
            IMAGES,
        ),
    ),
    _Format(
        "file-list",
        (
            (_tables, "a CSV file"),
            (_names_images, "rows that name images which are there"),
            (lambda c: False, "columns that are called so (path, label; or path, x1, y1, x2, y2, label)"),
            IMAGES,
        ),
    ),
    _Format(
        "class-folders",
        (IMAGES, (_class_folders, "two or more folders of images, one for each class, directly in the folder")),
    ),
    _Format(
        "index-masks",
        (IMAGES, (_mask_folders, "a folder masks/ beside images/, with a mask of each image's name")),
    ),
)
