"""COCO panoptic: `panoptic_train2017.json`, PNG files in a folder of that name beside it, images in `train2017/`.

Every segment becomes a box with its id, area and crowd flag, stuff (sky, road) too; a pixel of a PNG holds the id of
its segment. Things and stuff together are the classes of semantic masks. (cocodataset.org, Data format, Panoptic)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.data.annotations import Annotations
from headstart.data.faults import Fault, Faults
from headstart.data.flags import IGNORED
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.coco.coco import PANOPTIC, evidence, named_files
from headstart.readers.coco.json_files import CocoFile, parse
from headstart.readers.coco.layout import LOOKED_AT, members
from headstart.readers.coco.lists import Classes, ImageRows
from headstart.readers.coco.rows import Part, columns_of
from headstart.readers.coco.sets import read_set
from headstart.readers.coco.words import short
from headstart.readers.options import ReadOptions


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    return evidence("COCO panoptic", root, named_files(root, PANOPTIC))


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Segments as boxes, and masks of `mask_kind` panoptic; ids and classes as for COCO's instances.

    An image of which a segment is left out has no mask: the pixels of that segment would belong to nothing.
    Raises DataError for files that cannot be read, for folders that are nowhere, and for bad records.
    """
    paths = [root] if root.is_file() else named_files(root, PANOPTIC)
    if not paths:
        raise DataError(f"{root}: no file panoptic_*.json is there. Name the folder that holds it.")
    base = root.parent if root.is_file() else root
    base = base.parent if base.name in ("annotations", "panoptic") else base
    json_members = members(base, paths, PANOPTIC)
    files = [parse(member.path) for member in json_members]
    faults, notes = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring), list[str]()
    data = read_set(base, json_members, files, None, faults=faults, notes=notes)
    classes = data.classes
    drawn = [
        _masks(file, images, part, faults, notes=notes)
        for file, images, part in zip(files, data.images, data.parts, strict=True)
    ]
    masks = [mask for of_file, _ in drawn for mask in of_file]
    boxes = columns_of(data.parts, [known for _, known in drawn], classes)
    few = len(classes.names) <= IGNORED
    if not few:
        notes.append(
            f"{root}: {len(classes.names)} classes are more than the {IGNORED} that a semantic mask can hold; "
            "the segments are read as boxes alone"
        )
    return data.annotated(
        root,
        "coco-panoptic",
        boxes,
        [*notes, *_stuff(classes, root)],
        faults=faults,
        mask_paths=masks,
        mask_classes=classes.names if few and any(masks) else (),
        mask_void=(0,),
        mask_kind="panoptic",
        class_kinds=_kinds(classes),
    )


def _masks(
    file: CocoFile, images: ImageRows, part: Part, faults: Faults, *, notes: list[str]
) -> tuple[list[str], list[bool]]:
    """Path of each image's PNG ('' without one), and whether the file has an annotation for the image."""
    folder = file.path.parent / file.path.stem
    if not folder.is_dir():
        raise DataError(
            f"{file.path}: the folder {folder} with its PNG files is not there. Unpack "
            f"{file.path.stem}.zip beside the JSON file."
        )
    masks, known = [""] * len(images.names), [False] * len(images.names)
    segments = np.bincount(part.images, minlength=len(images.names))
    lessened = []
    for k, entry in enumerate(file.panoptic):
        number, name = entry["image_id"], entry["file_name"]
        row = images.index.get(number, -1) if type(number) in (int, str) else -1
        record = f"annotation number {k} (image {short(number)})"
        if row < 0:
            if not entry["segments_info"] and number not in images.left_out:  # Else its segments told it.
                faults.record(
                    Fault(
                        "annotation-without-image",
                        str(file.path),
                        record,
                        "is of an image which the file does not list",
                        "List the image, or take it out.",
                    )
                )
        elif known[row]:
            faults.record(
                Fault("id-not-unique", str(file.path), record, "is the second of its image", "Take one of them out.")
            )
            masks[row] = ""
        elif not isinstance(name, str) or not name or ".." in name:
            faults.record(
                Fault(
                    "image-name-missing",
                    str(file.path),
                    record,
                    f"has file_name {short(name)}",
                    "Write the name of its PNG file there.",
                )
            )
            known[row] = True
        else:
            known[row] = True
            masks[row] = (folder / name).relative if segments[row] == entry["segments_info"] else ""
            lessened += [] if masks[row] else [images.names[row]]
    if lessened:
        notes.append(
            f"{file.path}: {len(lessened)} images have no mask, since segments of them were left out; first: "
            f"{lessened[0]}"
        )
    drawn = [mask for mask in masks if mask][:LOOKED_AT]
    if drawn and not any(DataPath(file.path.place, mask).is_file() for mask in drawn):
        raise DataError(
            f"{folder}: none of its first PNG files is there ({drawn[0]}). Unpack {file.path.stem}.zip again."
        )
    return masks, known


def _kinds(classes: Classes) -> dict[str, str]:
    """Class -> thing or stuff, where the file says so."""
    said = {name: entry.get("isthing") for name, entry in zip(classes.names, classes.entries, strict=True)}
    return {name: "thing" if thing else "stuff" for name, thing in said.items() if thing in (0, 1)}


def _stuff(classes: Classes, root: DataPath) -> Sequence[str]:
    stuff = [name for name, kind in _kinds(classes).items() if kind == "stuff"]
    if not stuff:
        return ()
    return (
        f"{root}: {len(stuff)} of {len(classes.names)} classes are stuff; their boxes surround regions, not "
        f"objects; first: {stuff[0]}",
    )
