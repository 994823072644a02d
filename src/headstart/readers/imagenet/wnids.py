"""What the readers of ImageNet share: WordNet ids, their words, class lists, folders of a class, tables.

Class order is that of the sorted WordNet ids; with the 1,000 classes of ILSVRC this is the usual 0..999.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.data.faults import Faults
from headstart.errors import DataError
from headstart.places.opening import open_place
from headstart.places.paths import DataPath
from headstart.readers.folders import has_files, read_lines, subfolders

WNID = re.compile(r"n\d{8}", re.ASCII)
WORDS_FILES = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")


@dataclass
class ClassImages:
    """Images in order. `wnids`: '' where the class is not told."""

    paths: list[DataPath] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    wnids: list[str] = field(default_factory=list)

    def add(self, images: Sequence[DataPath], split: str, wnid: str) -> None:
        self.paths += images
        self.splits += [split] * len(images)
        self.wnids += [wnid] * len(images)


@dataclass(frozen=True)
class Synsets:
    """Classes in order: their ids, and names that differ."""

    wnids: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def number_of(self) -> dict[str, int]:
        return {wnid: k for k, wnid in enumerate(self.wnids)}


def annotate_classes(
    root: DataPath,
    format: str,
    images: ClassImages,
    classes: Synsets,
    *,
    sizes_hw: Sequence[tuple[int, int]],
    boxes: BoxColumns | None = None,
    notes: Sequence[str] = (),
    faults: Faults,
) -> Annotations:
    """The table of the images and their classes; ids are file names without ending."""
    number_of = classes.number_of
    return annotate(
        root,
        format,
        [path.stem for path in images.paths],
        [path.relative for path in images.paths],
        sizes_hw=sizes_hw,
        splits=images.splits,
        image_labels=[number_of.get(wnid, -1) for wnid in images.wnids],
        image_classes=classes.names,
        image_class_ids=classes.wnids,
        boxes=boxes,
        notes=notes,
        left_out=faults.found,
    )


def wnid_folders(folder: DataPath) -> dict[str, DataPath]:
    """WordNet id -> its folder, sorted."""
    return {name: sub for name, sub in subfolders(folder).items() if WNID.fullmatch(name)}


def has_wnid_folders(folder: DataPath) -> bool:
    """Whether there are two or more, the first with images in it."""
    folders = list(wnid_folders(folder).values())
    return len(folders) > 1 and has_files(folders[0])


def read_words(folders: Iterable[DataPath]) -> dict[str, str]:
    """WordNet id -> words, from the first list of them that there is; empty without one. Raises DataError."""
    for folder in dict.fromkeys(folders):
        path = next((folder / name for name in WORDS_FILES if (folder / name).is_file()), None)
        if path is None:
            continue
        words: dict[str, str] = {}
        for k, line in enumerate(read_lines(path)):
            wnid, _, text = line.replace("\t", " ").partition(" ")
            if not WNID.fullmatch(wnid) or not text.strip():
                raise DataError(
                    f"{path}: entry {k} is {line[:80]!r}; a WordNet id such as n01440764 and its words are "
                    "expected. Correct the line."
                )
            if words.setdefault(wnid, text.strip()) != text.strip():
                raise DataError(f"{path}: {wnid} stands twice with different words. Take one line out.")
        if not words:
            raise DataError(f"{path}: holds no WordNet id. Fetch the file again, or remove it.")
        return words
    return {}


def synsets(wnids: Collection[str], words: Mapping[str, str]) -> Synsets:
    """Classes in order. Words that stand for two classes (crane, the bird and the machine) get their id behind them."""
    order = sorted(wnids)
    plain = [words.get(wnid, wnid) for wnid in order]
    names = [f"{name} ({wnid})" if plain.count(name) > 1 else name for name, wnid in zip(plain, order, strict=True)]
    return Synsets(tuple(order), tuple(names))


def are_wnids(text: str) -> bool:
    """Whether a text is WordNet ids with white space between them, and so no path of a list of them."""
    return bool(text.split()) and all(WNID.fullmatch(word) for word in text.split())


def read_class_list(path: str) -> set[str]:
    """WordNet ids of a text file, the first word of each line, or those that `path` itself is. Raises DataError."""
    if are_wnids(path):
        return set(path.split())
    wnids: set[str] = set()
    file = open_place(path)
    if not file.is_file():
        raise DataError(f"{path}: is no file. Name a text file with a WordNet id such as n01440764 on each line.")
    for k, line in enumerate(read_lines(file)):
        wnid = line.split()[0].rstrip(",")
        if not WNID.fullmatch(wnid):
            raise DataError(
                f"{path}: entry {k} is {line[:80]!r}; a WordNet id such as n01440764 is expected first. "
                "Correct the line."
            )
        wnids.add(wnid)
    if not wnids:
        raise DataError(f"{path}: holds no WordNet id. Write one such as n01440764 on each line.")
    return wnids
