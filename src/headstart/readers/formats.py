"""Which format is this data set in? Every reader is asked; exactly one has to recognize it."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from headstart.data.annotations import Annotations
from headstart.data.faults import nothing_left
from headstart.data.table_cache import cached
from headstart.errors import DataError, UsageError
from headstart.places.opening import open_place
from headstart.places.paths import DataPath, Place, as_place
from headstart.readers.imagenet.wnids import are_wnids
from headstart.readers.options import ReadOptions


@dataclass(frozen=True)
class Reader:
    """One format on disk. What its module does is loaded when it is asked: few of them are needed at once.

    module: below `headstart.readers`. `looks_like` gives a sentence of evidence or None; it gets the data set's root,
    or the one file that the user named where its name has one of `endings`. `read` may raise DataError. `layout`: what
    is looked for. `takes`: options of `ReadOptions` beyond those that every reader takes. `version` is raised by hand
    when the table of an unchanged source changes. `finds`: as `looks_like`, for files in unusual places; asked where no
    format is recognized at once and where the module has such a search. dialect: what the names of its two functions
    end in, where the module reads several formats.
    """

    module: str
    layout: str
    takes: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()
    version: int = 1
    searches: bool = False
    dialect: str = ""

    def looks_like(self, root: DataPath) -> str | None:
        if root.is_file() and root.suffix.lower() not in self.endings:
            return None
        return self._function(f"looks_like{self.dialect}")(root)

    def finds(self, root: DataPath) -> str | None:
        return self._function("found_in")(root) if self.searches else None

    def read(self, root: DataPath, options: ReadOptions) -> Annotations:
        return self._function(f"read{self.dialect}")(root, options)

    def _function(self, name: str) -> Callable[..., Any]:
        return getattr(importlib.import_module(f"headstart.readers.{self.module}"), name)


READERS = {
    "lvis": Reader(
        "coco.coco", "annotations/lvis_v1_*.json", ("images",), endings=(".json",), version=2, dialect="_lvis"
    ),
    "objects365": Reader(
        "coco.coco",
        "annotations/zhiyuan_objv2_*.json",
        ("images",),
        endings=(".json",),
        version=2,
        dialect="_objects365",
    ),
    "coco-panoptic": Reader(
        "coco.panoptic",
        "panoptic_*.json beside folders of PNG files of the same names",
        endings=(".json",),
        version=2,
    ),
    "coco": Reader(
        "coco.coco",
        "annotations/instances_*.json or other JSON files with images and annotations, such as _annotations.coco.json",
        ("images", "shots", "shot_seed"),
        endings=(".json",),
        version=2,
    ),
    "openimages": Reader(
        "openimages.openimages",
        "*-annotations-bbox.csv with class-descriptions-boxable.csv, here or in annotations/",
        ("images", "expand_hierarchy"),
        endings=(".csv",),
    ),
    "oxford-pets": Reader(
        "classification.pets", "images/ with annotations/trainval.txt, test.txt and trimaps/ or xmls/"
    ),
    "voc-segmentation": Reader(
        "voc.segmentation",
        "SegmentationClass/*.png with JPEGImages/ and ImageSets/Segmentation/*.txt; or a VOCdevkit of several years",
        ("sbd", "zero_based"),
    ),
    "voc": Reader(
        "voc.voc",
        "Annotations/*.xml with JPEGImages/ or images/; a VOCdevkit of several years; or such XML files anywhere",
        ("zero_based",),
        version=2,
        searches=True,
    ),
    "imagenet-loc": Reader(
        "imagenet.localization",
        "[ILSVRC/]Data/CLS-LOC/ with Annotations/CLS-LOC/ or Kaggle's LOC_*_solution.csv",
        ("classes",),
    ),
    "imagenet-fall11": Reader(
        "imagenet.fall11",
        "Annotation/<wnid>/*.xml with <wnid>/, images/<wnid>/ or fall11_whole/<wnid>/",
        ("classes",),
    ),
    "tiny-imagenet": Reader("imagenet.tiny", "wnids.txt, train/<wnid>/images/, val/val_annotations.txt", ("classes",)),
    "imagenet": Reader(
        "imagenet.classification", "train/<wnid>/ and val/ without folders, with a list of the labels of val"
    ),
    "sun397": Reader(
        "classification.sun397",
        "ClassName.txt with SUN397/a/abbey/ and so on; Training_01.txt, Testing_01.txt",
        ("partition",),
    ),
    "caltech256": Reader("classification.caltech256", "256_ObjectCategories/001.ak47/ and so on"),
    "flowers102": Reader("classification.flowers102", "jpg/ with imagelabels.mat and setid.mat"),
    "yolo": Reader(
        "yolo.yolo",
        "a YAML file with `names` and `train`, `val` or `test`; images/ with labels/ and classes.txt; obj.data of CVAT",
        ("labels", "missing_labels"),
        endings=(".yaml", ".yml"),
        version=2,
        searches=True,
    ),
    "file-list": Reader(
        "lists.file_lists",
        "a CSV file whose columns hold images and classes or boxes; labels.txt with lines `NAME NUMBER`; VIA's files",
        ("images", "box_convention"),
        endings=(".csv", ".tsv", ".txt"),
        version=2,
        searches=True,
    ),
    "camvid": Reader(
        "masks.camvid",
        "train.txt, val.txt, test.txt with lines `IMAGE MASK`; or images and masks `x_L.png` with label_colors.txt",
    ),
    "index-masks": Reader("masks.index_masks", "images/ with masks/; or train/ with trainannot/"),
    "class-folders": Reader(
        "classification.class_folders",
        "two or more <class>/ of images, with train.txt, test.txt or without; or train/<class>/",
        version=2,
        searches=True,
    ),
}
"""Most specific first, as they are named in messages."""
INSIDE = 50
"""Folders that are looked into for data sets of their own."""
EVERY_READER = ("on_bad_box", "on_bad_record", "for_scoring")


def open_dataset(path: Path | str, format: str | None = None, **options: Any) -> Annotations:
    """The table of the data set at `path`: a folder, an archive, a URL, or the one file that describes it.

    format: a key of `READERS`; None finds out. options: fields of `headstart.readers.options.ReadOptions`. The table is
    kept in the cache folder and opened from there while its sources are unchanged.
    Raises DataError when nothing is there, when it is in no known format, in more than one, or has faults; UsageError
    for an option that the format does not have.
    """
    root, name = recognized(open_place(path), format)
    reader = READERS[name]
    chosen = _checked_options(name, reader, options)
    images = image_place(path, chosen.images) if chosen.images else None

    def read(place: Place) -> Annotations:
        table = reader.read(DataPath(place, root.relative), chosen)
        notes = (*place.notes, *(images.notes if images else ()))
        return table.with_facts(notes=(*notes, *table.notes)) if notes else table

    settings = {
        "reader": name,
        "version": reader.version,
        "at": root.relative,
        "options": asdict(chosen),
        "images": images.address if images else "",
    }
    if chosen.classes and not are_wnids(chosen.classes):  # Outside the place, so its changes are not noticed otherwise.
        settings["classes"] = _digest(chosen.classes)
    annotations = cached(root.place, settings, read, images)
    if not (annotations.tasks or annotations.multi_label):
        told = f"read as {annotations.format}, but nothing in it can be trained on. "
        if len(annotations.image_classes) == 1:
            told = f"its images have the one class {annotations.image_classes[0]!r}, and two or more are needed. "
        raise nothing_left(root, annotations.left_out, f"{told}Check that the annotation belongs to these images.")
    return annotations


def image_place(path: Path | str, images: str | None) -> Place:
    """Where the images and masks of the data set at `path` are. images: see `ReadOptions.images`. Raises DataError."""
    return as_place(open_place(images)) if images else open_place(path).place


def _digest(path: str) -> str:
    """SHA-256 of a file that an option names. Raises DataError when there is none."""
    file = open_place(path)
    if not file.is_file():
        raise DataError(f"{path}: is a folder. Name a text file.")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def recognized(root: DataPath, format: str | None = None) -> tuple[DataPath, str]:
    """Where in the place the data set begins, and its format. Raises DataError, see `open_dataset`."""
    if format is not None:
        if format not in READERS:
            raise UsageError(f"format {format!r} is unknown. Known: {', '.join(READERS)}.")
        inside = _only_folder(root)
        packed = inside is not None and not READERS[format].looks_like(root) and READERS[format].looks_like(inside)
        return recognized(inside, format) if inside and packed else (root, format)
    evidence = recognize(root)
    if not evidence and (inside := _only_folder(root)):
        return recognized(inside)
    if len(evidence) > 1:
        both = "; ".join(f"{name} ({sentence})" for name, sentence in evidence.items())
        raise DataError(
            f"{root}: it could be read in {len(evidence)} ways: {both}. Say which with --format "
            f"{next(iter(evidence))}, or move each data set into a folder of its own."
        )
    if not evidence:
        raise DataError(_unknown(root))
    return root, next(iter(evidence))


def _only_folder(root: DataPath) -> DataPath | None:
    """Of an archive: they often hold everything in one folder. None where there are more, and for folders."""
    if root.local() is not None or root.is_file():
        return None
    inside = [entry for entry, is_folder in root.iterdir() if is_folder]
    return inside[0] if len(inside) == 1 else None


def recognize(root: DataPath) -> dict[str, str]:
    """Reader name -> its evidence, for every reader that recognizes the place, or else finds its files in it."""
    known = at_once(root)
    found = {} if known else {name: said for name, reader in READERS.items() if (said := reader.finds(root))}
    if found and not root.is_file():  # Beside another data set, it would hide that one.
        inside = [entry for entry, is_folder in root.iterdir() if is_folder][:INSIDE]
        packed = root.local() is None and len(inside) == 1  # Archives often hold everything in one folder.
        found = {} if any(at_once(i).keys() - (set() if packed else found.keys()) for i in inside) else found
    return known or found


def at_once(root: DataPath) -> dict[str, str]:
    """Reader name -> its evidence, for every reader that recognizes the place without a search below it."""
    return {name: sentence for name, reader in READERS.items() if (sentence := reader.looks_like(root))}


def _checked_options(name: str, reader: Reader, options: dict[str, Any]) -> ReadOptions:
    known = {f.name for f in fields(ReadOptions)}
    for option in options:
        if option not in known:
            raise UsageError(f"option {option!r} is unknown. Known: {', '.join(sorted(known))}.")
        if option not in (*EVERY_READER, *reader.takes) and options[option] != getattr(ReadOptions(), option):
            able = [other for other, r in READERS.items() if option in r.takes]
            raise UsageError(f"option {option!r} means nothing to a {name} data set; it is for {', '.join(able)}.")
    return replace(ReadOptions(), **options)


def _unknown(root: DataPath) -> str:
    """At most ten lines: what was found, the nearest formats and what they lack, what to do."""
    from headstart.readers.nearest import content_of, nearest

    content = content_of(root)
    inside = [] if root.is_file() else [e for e, is_folder in root.iterdir() if is_folder and recognize(e)]
    advice = "Bring it into one of these layouts, or say what it is with --format."
    if root.is_file():
        advice = "Name the folder of the data set, or say what it is with --format."
    if inside:
        also = f" (or {', '.join(folder.name for folder in inside[1:4])})" if inside[1:] else ""
        all_of_them = " `headstart.open_suite` opens all of them." if inside[1:] else ""
        advice = f"Did you mean {inside[0]}{also}? Name it instead of the folder above it.{all_of_them}"
    lines = [
        f"{root}: in no known format.",
        f"Found: {content.said()}.",
        *(f"Near: {line}." for line in ([] if inside else nearest(content))),
        f"{advice} All formats: `headstart check --formats`.",
    ]
    return "\n".join(lines)


def layouts() -> list[str]:
    """A line for each format: its name and what is looked for."""
    width = max(map(len, READERS))
    return [f"{name:<{width}}  {reader.layout}" for name, reader in READERS.items()]
