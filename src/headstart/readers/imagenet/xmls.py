"""XML files of ImageNet's images: found, read, and their boxes, whose names are WordNet ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from headstart.data.columns import BoxColumns
from headstart.data.faults import Fault, Faults
from headstart.places.paths import DataPath
from headstart.readers.folders import files_in
from headstart.readers.imagenet.wnids import Synsets
from headstart.readers.voc.xml import VocFile, place_boxes, read_voc_xml

XML = frozenset({".xml"})


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
