"""Oxford-IIIT Pet: `images/`, lists in `annotations/{list,trainval,test}.txt`, trimaps and boxes of heads.

A line of a list is name, class number (1 to 37), species (1 cat, 2 dog), number of the breed within its species.
Trimap values: 1 pet, 2 background, 3 border that belongs to neither. (www.robots.ox.ac.uk/~vgg/data/pets)
"""

from __future__ import annotations

import re

import numpy as np

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.faults import Faults
from headstart.data.flags import IGNORED
from headstart.errors import DataError
from headstart.places.images import header_sizes_hw
from headstart.places.paths import DataPath
from headstart.readers.folders import files_in, read_lines
from headstart.readers.options import ReadOptions
from headstart.readers.voc.xml import VocFile, place_boxes, read_voc_xml

MASK_CLASSES = ("background", "pet")
PET, BACKGROUND, BORDER = 1, 2, 3
"""Values of a trimap."""
PARTS = ("trainval", "test")
LINE = re.compile(r"(\S+)\s+(\d{1,9})\s+([12])\s+(\d{1,9})")


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    lists = [root / "annotations" / f"{part}.txt" for part in PARTS]
    if not (root / "images").is_dir() or not all(path.is_file() for path in lists):
        return None
    if not any((root / "annotations" / name).is_dir() for name in ("trimaps", "xmls")):
        return None
    return "Oxford-IIIT Pet: images/ with annotations/trainval.txt, test.txt and trimaps/ or xmls/"


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Breeds as image labels (in the order of the source's numbers), heads as boxes (cat, dog), pets as masks.

    The source has no boxes for test images, so detection has no official test set.
    Raises DataError for lines, XML files and images that do not hold together.
    """
    folder = root / "annotations"
    splits, numbers, breeds = _lists(folder)
    by_stem = {p.stem: p for p in files_in(root / "images")}
    lost = [name for name in splits if name not in by_stem]
    if lost:
        listed = folder / f"{splits[lost[0]] or 'list'}.txt"
        raise DataError(
            f"{listed}: {lost[0]!r} has no image in {root / 'images'} ({len(lost)} of {len(splits)} listed images are "
            "lost). Fetch images.tar.gz again, or take the lines out of the lists."
        )
    names = list(splits)
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    files = [_head(folder / "xmls" / f"{name}.xml", faults) for name in names]
    sizes = [_size_hw(by_stem[name], file) for name, file in zip(names, files, strict=True)]
    classes = tuple(sorted({item.name for file in files if file for item in file.objects}))
    boxes, notes = place_boxes(files, sizes, classes, faults)
    masks = [folder / "trimaps" / f"{name}.png" for name in names]
    trimaps = [m.relative if m.is_file() else "" for m in masks]
    lut = np.full(256, IGNORED, np.uint8)
    lut[[BACKGROUND, PET]] = (0, 1)
    ids = sorted(breeds)
    return annotate(
        root,
        "oxford-pets",
        names,
        [by_stem[name].relative for name in names],
        sizes_hw=sizes,
        splits=list(splits.values()),
        image_labels=[ids.index(numbers[name]) for name in names],
        image_classes=[breeds[i] for i in ids],
        image_class_ids=ids,
        boxes=boxes,
        mask_paths=trimaps,
        mask_lut=lut if any(trimaps) else None,
        mask_void=(BORDER,) if any(trimaps) else (),
        mask_classes=MASK_CLASSES if any(trimaps) else (),
        notes=[*_missing(folder, list(splits.values()), files, trimaps), *notes],
        left_out=faults.found,
    )


def _lists(folder: DataPath) -> tuple[dict[str, str], dict[str, int], dict[int, str]]:
    """Name -> split and name -> class number, sorted by name; class number -> breed: a name without its last number."""
    splits: dict[str, str] = {}
    numbers: dict[str, int] = {}
    breeds: dict[int, str] = {}
    for part in (*PARTS, "list"):
        path = folder / f"{part}.txt"
        for k, line in enumerate(read_lines(path) if path.is_file() else []):
            match = LINE.fullmatch(line)
            if match is None:
                raise DataError(
                    f"{path}: entry {k} is {line!r}; a name and three numbers are expected. Correct the line."
                )
            name, number = match[1], int(match[2])
            if part != "list" and name in splits:
                raise DataError(
                    f"{path}: {name!r} stands twice, in {splits[name]}.txt and here. Take it out of one list."
                )
            if numbers.setdefault(name, number) != number:
                raise DataError(
                    f"{path}: {name!r} has class {number} here and {numbers[name]} in {splits[name]}.txt. Correct one."
                )
            breed = name.rpartition("_")[0] or name
            if breeds.setdefault(number, breed) != breed:
                raise DataError(
                    f"{path}: {name!r} has class {number}, elsewhere the breed {breeds[number]!r}. "
                    "Correct the number: a breed is told by the file name."
                )
            splits.setdefault(name, "" if part == "list" else part)
    return dict(sorted(splits.items())), numbers, breeds


def _head(path: DataPath, faults: Faults) -> VocFile | None:
    return read_voc_xml(path, faults) if path.is_file() else None


def _size_hw(image: DataPath, file: VocFile | None) -> tuple[int, int]:
    try:
        return header_sizes_hw(image)[0]
    except DataError:
        # A damaged image is reported, or skipped and listed, when it is decoded.
        return (file.size_hw if file else None) or (0, 0)


def _missing(folder: DataPath, splits: list[str], files: list[VocFile | None], trimaps: list[str]) -> list[str]:
    notes = []
    heads = sum(1 for split, file in zip(splits, files, strict=True) if file is None and split == "trainval")
    if heads:
        notes.append(f"{folder / 'xmls'}: {heads} trainval images have no XML file and take no part in detection")
    if 0 < trimaps.count("") < len(trimaps):
        notes.append(
            f"{folder / 'trimaps'}: {trimaps.count('')} images have no trimap and take no part in segmentation"
        )
    return notes
