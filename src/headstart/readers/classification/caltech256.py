"""Caltech-256: `256_ObjectCategories/001.ak47/001_0001.jpg` to `257.clutter/`, opened at or above that folder.

30,607 images of 256 kinds of objects, and of clutter, which is a class of its own (number 257). There is no official
split. (data.caltech.edu/records/nyy15-4j048; the tree as `torchvision/datasets/caltech.py` of pytorch/vision reads it.)
"""

from __future__ import annotations

import re

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.folders import files_in, has_files, subfolders
from headstart.readers.options import ReadOptions

FOLDER = "256_ObjectCategories"
CLASS = re.compile(r"(\d{3})\.(.+)", re.ASCII)
IMAGE = re.compile(r"(\d{3})_\d+", re.ASCII)
CLUTTER = "clutter"


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    base = _base(root)
    return f"Caltech-256: {len(_folders(base))} folders such as {next(iter(_folders(base)))}/" if base else None


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Image labels; classes in the order of their numbers, with the folders' names as ids; image ids are file names
    without ending. Sizes stay unknown until decoding.

    Raises DataError for a number that stands before two classes, and images whose number is another class's.
    """
    base = _base(root)
    if base is None:
        raise DataError(f"{root}: there are no folders such as 001.ak47/ in it. Name {FOLDER}/ or the folder above it.")
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    notes: list[str] = []
    folders = _folders(base)
    parts = [CLASS.fullmatch(name) for name in folders]
    numbers = [part[1] for part in parts if part]
    names = [part[2] for part in parts if part]
    for k, number in enumerate(numbers[1:], 1):
        if number == numbers[k - 1]:
            raise DataError(
                f"{base}: {list(folders)[k - 1]}/ and {list(folders)[k]}/ have the same number. Rename one."
            )
    if len(set(names)) < len(names):
        names = list(folders)
    paths: list[DataPath] = []
    labels: list[int] = []
    for label, (number, folder) in enumerate(zip(numbers, folders.values(), strict=True)):
        for image in files_in(folder):
            said = IMAGE.fullmatch(image.stem)
            if said and said[1] != number:
                faults.record(
                    Fault(
                        "label-contradicts",
                        str(image),
                        "",
                        f"lies in the folder of class {number}, and its name begins with {said[1]}",
                        "Move it into its folder, or rename it.",
                    )
                )
                continue
            paths.append(image)
            labels.append(label)
        others = sum(1 for _ in folder.iterdir()) - len(files_in(folder))
        if others:
            notes.append(f"{folder}: {others} entries are no images and were left aside")
    if CLUTTER in names:
        notes.append(f"{base}: {CLUTTER} is a class like others here; it shows none of the other classes")
    return annotate(
        root,
        "caltech256",
        [path.stem for path in paths],
        [path.relative for path in paths],
        sizes_hw=[(0, 0)] * len(paths),
        splits=[""] * len(paths),
        image_labels=labels,
        image_classes=names,
        image_class_ids=list(folders),
        notes=notes,
        left_out=faults.found,
    )


def _base(root: DataPath) -> DataPath | None:
    return next((base for base in (root / FOLDER, root) if len(_folders(base)) > 1), None)


def _folders(base: DataPath) -> dict[str, DataPath]:
    """Name -> folder of the classes; empty when folders of images have other names, too."""
    inside = subfolders(base)
    named = {name: folder for name, folder in inside.items() if CLASS.fullmatch(name)}
    return named if named and has_files(next(iter(named.values()))) and len(named) == len(inside) else {}
