"""What the readers of ImageNet share: WordNet ids, their words, class lists, folders of a class, boxes in XML files.

Class order is that of the sorted WordNet ids; with the 1,000 classes of ILSVRC this is the usual 0..999.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.opening import open_place
from headstart.places.paths import DataPath
from headstart.readers.folders import files_in, has_files, read_lines, subfolders
from headstart.readers.voc.xml import VocFile, place_boxes, read_voc_xml

WNID = re.compile(r"n\d{8}", re.ASCII)
WORDS_FILES = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")
XML = frozenset({".xml"})


@dataclass
class ClassImages:
    """Images in order. `wnids`: '' where the class is not told."""

    paths: list[DataPath] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    wnids: list[str] = field(default_factory=list)


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


def read_class_list(path: str) -> set[str]:
    """WordNet ids of a text file, the first word of each line. Raises DataError."""
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


def xml_files(folder: DataPath) -> dict[str, DataPath]:
    """Stem -> XML file."""
    return {path.stem: path for path in files_in(folder, XML)}


def read_xmls(paths: Sequence[DataPath | None], faults: Faults) -> list[VocFile | None]:
    """One for each image; None where it has none. An XML that cannot be read raises, or is reported."""
    return [read_voc_xml(path, faults) if path else None for path in paths]


def boxes_of_xmls(
    files: Sequence[VocFile | None], classes: Synsets, selected: bool, faults: Faults, *, notes: list[str]
) -> tuple[BoxColumns, list[tuple[int, int]]]:
    """(boxes whose names are WordNet ids, sizes of the images as the files say). Of a selection of classes, objects of
    others are left aside and counted.

    Corners count from 0 and include both ends: in images of 500 pixels they reach from 0 to 499
    (n03820318_101.xml, n04070727_7.xml; LOC_val_solution.csv: `ILSVRC2012_val_00037956,n03481172 131 0 499 254`).
    """
    known = set(classes.wnids)
    aside = 0
    of_classes: list[VocFile | None] = []
    for file in files:
        if file is None:
            of_classes.append(None)
            continue
        for item in file.objects:
            if item.name in known:
                continue
            aside += selected
            if not selected:
                faults.record(
                    Fault(
                        "label-unknown",
                        str(file.path),
                        file.record(item),
                        f"is none of the {len(known)} classes",
                        "Correct its <name>, or remove it.",
                    )
                )
        of_classes.append(replace(file, objects=tuple(item for item in file.objects if item.name in known)))
    if aside:
        notes.append(f"{aside} objects are of classes that were not chosen, and were left aside")
    sizes = [file.size_hw or (0, 0) if file else (0, 0) for file in files]
    columns, odd = place_boxes(of_classes, sizes, classes.wnids, faults, convention="inclusive")
    notes += odd
    return replace(columns, classes=classes.names, class_ids=classes.wnids), sizes


def report_orphans(xmls: Mapping[str, DataPath], stems: Collection[str], images: DataPath, faults: Faults) -> None:
    """XML files of a folder that have no image of their name."""
    for stem, path in xmls.items():
        if stem not in stems:
            faults.record(
                Fault(
                    "annotation-without-image",
                    str(path),
                    "",
                    f"no image in {images} is named {stem!r}",
                    "Put the image there, or remove the XML file.",
                )
            )
