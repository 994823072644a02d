"""Where the files of Open Images are, which classes there are, and how they lie above one another.

Names of the official files (storage.googleapis.com/openimages/web/download_v7.html and challenge pages), V4 to V7 and
the challenges of 2018 and 2019; they lie in the data set's folder or in one beside the images' folders.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from headstart.data.flags import SPLITS
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.folders import read_text, subfolders
from headstart.texts import json_of

FOLDERS = ("annotations", "annotation", "csv", "csvs", "labels", "metadata")
"""Folders (lower case) beside the images that may hold the CSV files."""
BOXES = re.compile(r"(annotations|detection)-bbox\.csv$", re.IGNORECASE)
LABELS = re.compile(r"human-imagelabels(-boxable)?\.csv$", re.IGNORECASE)
DESCRIPTIONS = re.compile(r"class(es)?-descriptions?(-boxable|-\d+)?\.csv$", re.IGNORECASE)
HIERARCHY = re.compile(r"hierarchy\.json$", re.IGNORECASE)
SPLIT_WORDS = {"train": "train", "validation": "val", "val": "val", "test": "test"}
IMAGE_FOLDERS = ("", "images", "OpenImages", "data", "img")
IMAGES_OF = {"train": ("train",), "val": ("validation", "val"), "test": ("test",), "": ()}
"""Split -> names of the folder of its images, the official one first."""
DEEPEST = 100
SMALL = 1 << 20
"""Bytes; of companion files that are this small, two of equal content are one."""


@dataclass(frozen=True)
class Layout:
    """Files of a data set, those of boxes and labels in the order train, val, test."""

    boxes: tuple[DataPath, ...]
    labels: tuple[DataPath, ...]
    descriptions: DataPath
    all_descriptions: DataPath | None
    """Of classes that only image labels have: for label files that are not `-boxable`."""
    hierarchy: DataPath | None


@dataclass(frozen=True)
class Classes:
    """Ids (MIDs) in the order of the file, and names, made unique by the id where two are the same."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    file: str
    """That lists them."""


def split_of_file(path: DataPath) -> str:
    """By a word of its name; '' when there is none."""
    words = re.split(r"[-_.]", path.name.lower())
    return next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), "")


def box_files(root: DataPath) -> list[DataPath]:
    """CSV files of boxes by their name: the root itself, or directly in it, or in one of `FOLDERS`."""
    return [path for path in _files(root) if BOXES.search(path.name)]


def _files(root: DataPath) -> Iterator[DataPath]:
    if root.is_file():
        yield root
        return
    yield from (entry for entry, is_folder in root.iterdir() if not is_folder)
    for name, folder in subfolders(root).items():
        if name.lower() in FOLDERS:
            yield from (entry for entry, is_folder in folder.iterdir() if not is_folder)


def layout(root: DataPath) -> Layout:
    """Raises DataError where files are lacking, or there are two for the same purpose."""
    boxes = _one_per_split(box_files(root))
    around = list(_files(root.parent if root.is_file() else root))
    if root.is_file():
        around = [path for path in around if path.parent == root.parent]
    splits = {split_of_file(path) for path in boxes}
    labels = _labels([path for path in around if LABELS.search(path.name)])
    if root.is_file():
        labels = tuple(path for path in labels if split_of_file(path) in splits)
    descriptions = [path for path in around if DESCRIPTIONS.search(path.name)]
    small = [path for path in descriptions if not _is_full(path)]
    full = [path for path in descriptions if _is_full(path)]
    if not descriptions:
        raise DataError(
            f"{root}: no class descriptions beside {boxes[0].name}; its classes are ids only. "
            "Put class-descriptions-boxable.csv there."
        )
    trees = [path for path in around if HIERARCHY.search(path.name)]
    return Layout(
        boxes,
        labels,
        _only(small or full),
        _only(full) if full else None,
        hierarchy=_only(trees) if trees else None,
    )


def _is_full(path: DataPath) -> bool:
    return re.search(r"class-descriptions\.csv$", path.name, re.IGNORECASE) is not None


def _one_per_split(paths: Sequence[DataPath]) -> tuple[DataPath, ...]:
    for split in SPLITS:
        _only([path for path in paths if split_of_file(path) == split] or [paths[0]])
    return tuple(sorted(paths, key=lambda path: SPLITS.index(split_of_file(path))))


def _labels(paths: Sequence[DataPath]) -> tuple[DataPath, ...]:
    """For each split the file of boxable classes, if there is one."""
    chosen: list[DataPath] = []
    for split in SPLITS:
        same = [path for path in paths if split_of_file(path) == split]
        if same:
            chosen.append(_only([p for p in same if "boxable" in p.name.lower()] or same))
    return tuple(chosen)


def _only(paths: Sequence[DataPath]) -> DataPath:
    if len(paths) > 1 and (any(path.size() > SMALL for path in paths) or len({p.read_bytes() for p in paths}) > 1):
        raise DataError(
            f"{paths[0].parent}: {' and '.join(path.name for path in paths)} serve the same purpose. "
            "Keep one there, or name the one file of boxes to read."
        )
    return paths[0]


def read_classes(path: DataPath) -> Classes:
    """Lines `/m/011k07,Tortoise`, with or without a header. Raises DataError with the line."""
    rows: dict[str, str] = {}
    try:
        reader = csv.reader(read_text(path).splitlines(), strict=True)
        for fields in reader:
            if not any(map(str.strip, fields)) or (reader.line_num == 1 and fields[0] == "LabelName"):
                continue
            if len(fields) != 2 or not all(part.strip() for part in fields):
                raise csv.Error(f"line {reader.line_num} has {len(fields)} fields, an id and a name are expected")
            class_id, name = fields[0].strip(), fields[1].strip()
            if class_id in rows:
                raise csv.Error(f"line {reader.line_num} describes {class_id!r} again")
            rows[class_id] = name
    except csv.Error as error:
        raise DataError(f"{path}: {error}. Correct the file, or fetch it again.") from error
    if not rows:
        raise DataError(f"{path}: describes no class. Fetch the file again.")
    names = list(rows.values())
    shared = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    unique = tuple(f"{name} ({i})" if name in shared else name for i, name in rows.items())
    return Classes(tuple(rows), unique, path.name)


def read_hierarchy(path: DataPath, classes: Classes) -> dict[str, tuple[str, ...]]:
    """Class name -> names of the classes right above it, of `Subcategory` alone, as the official expansion has it.

    `Part` says what a thing has, not what it is. The root ("Entity") is no class. Raises DataError for other JSON and
    for classes that lie above themselves.
    """
    try:
        tree = json_of(read_text(path))
        names = dict(zip(classes.ids, classes.names, strict=True))
        above: dict[str, list[str]] = {}
        _walk(tree, (), names, above, described=classes.file)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: no hierarchy of classes ({type(error).__name__}: {error}). Fetch the file again."
        ) from error
    return {name: tuple(dict.fromkeys(above[name])) for name in classes.names if name in above}


def _walk(
    node: dict[str, Any],
    ancestors: tuple[str, ...],
    names: dict[str, str],
    above: dict[str, list[str]],
    *,
    described: str,
) -> None:
    """ancestors: ids from the root down. above: filled. described: where the classes are from."""
    class_id = node["LabelName"]
    if class_id in ancestors or len(ancestors) > DEEPEST:
        raise ValueError(f"{class_id!r} lies above itself")
    if ancestors and class_id not in names:
        raise ValueError(f"{class_id!r} is not in {described}")
    if ancestors and ancestors[-1] in names:
        above.setdefault(names[class_id], []).append(names[ancestors[-1]])
    for child in node.get("Subcategory", []):
        _walk(child, (*ancestors, class_id), names, above, described=described)


def image_folders(base: DataPath, first_ids: dict[str, list[str]]) -> tuple[dict[str, str], list[str]]:
    """Split -> folder of its images below the place, found by looking for some of its images, and splits without any.

    first_ids: some image ids of each split. Where none is found, the folder is the official one.
    """
    folders: dict[str, str] = {}
    lost = []
    for split, ids in first_ids.items():
        places = [base / top / name for top in IMAGE_FOLDERS for name in (*IMAGES_OF[split], "")]
        folder = next((p for p in places if any((p / f"{i}.jpg").is_file() for i in ids)), None)
        if folder is None:
            lost.append(split)
            folder = base / (IMAGES_OF[split] or ("",))[0]
        folders[split] = folder.relative
    return folders, lost
