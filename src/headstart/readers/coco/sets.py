"""The files of a COCO-like data set, read: their categories, images and annotations, as the columns of one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.data.faults import Faults
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.coco.json_files import CocoFile
from headstart.readers.coco.layout import Member, image_folder
from headstart.readers.coco.lists import Classes, ImageRows, classes_of, images_of
from headstart.readers.coco.rows import Part, part_of
from headstart.readers.file_names import leads_out


@dataclass(frozen=True)
class CocoSet:
    """A member, its images with their paths, and its annotations for each file, in the order of the splits."""

    members: list[Member]
    classes: Classes
    images: list[ImageRows]
    paths: list[list[str]]
    """Relative to the place."""
    parts: list[Part]

    def annotated(
        self, root: DataPath, format: str, boxes: BoxColumns, notes: Sequence[str], *, faults: Faults, **more: Any
    ) -> Annotations:
        """The table. more: other arguments of `annotate`."""
        return annotate(
            root,
            format,
            self.image_ids(),
            [path for paths in self.paths for path in paths],
            sizes_hw=np.concatenate([rows.sizes_hw for rows in self.images]),
            splits=[member.split for member, rows in zip(self.members, self.images, strict=True) for _ in rows.names],
            boxes=boxes,
            notes=notes,
            left_out=faults.found,
            **more,
        )

    def image_ids(self) -> list[str]:
        """The files' own ids as texts; where those of several files coincide, with the names of their files before."""
        ids = [[str(entry["id"]) for entry in rows.entries] for rows in self.images]
        flat = [number for numbers in ids for number in numbers]
        if len(set(flat)) == len(flat):
            return flat
        return [
            f"{member.name}/{number}" for member, numbers in zip(self.members, ids, strict=True) for number in numbers
        ]


def read_set(
    base: DataPath,
    members: list[Member],
    files: Sequence[CocoFile],
    images_in: str | None,
    *,
    for_scoring: bool = False,
    faults: Faults,
    notes: list[str],
) -> CocoSet:
    """images_in: see `image_folder`. for_scoring: images need not be there, nor have names and sizes. Raises DataError
    for what the files do not agree on, and for images that are nowhere; bad records are reported."""
    classes = classes_of(files, notes, faults)
    images = [images_of(file, faults, for_scoring) for file in files]
    paths = [
        image_folder(base, member, rows.names, images_in, optional=for_scoring).relative(rows.names)
        if rows.names
        else []
        for member, rows in zip(members, images, strict=True)
    ]
    notes += [note for file, rows in zip(files, images, strict=True) if (note := _from_elsewhere(file, rows))]
    _require_apart(members, paths)
    parts = [part_of(file, rows, classes, faults, notes=notes) for file, rows in zip(files, images, strict=True)]
    return CocoSet(members, classes, images, paths, parts=parts)


def _from_elsewhere(file: CocoFile, rows: ImageRows) -> str | None:
    """A note on names that lead out of the data set."""
    said = [name for entry in rows.entries if isinstance(name := entry.get("file_name"), str)]
    odd = [name for name in said if (":" in name or ".." in name or name[:1] in ("/", "\\")) and leads_out(name)]
    if not odd:
        return None
    found = f"{len(odd)} names lead out of the data set, and their files are looked for by the ends of the names"
    return f"{file.path}: {found}; first: {odd[0]!r}"


def _require_apart(members: Sequence[Member], paths: Sequence[Sequence[str]]) -> None:
    """Raises DataError when an image file is in two of the JSON files: training on test images must not happen."""
    seen: dict[str, Member] = {}
    for member, of_member in zip(members, paths, strict=True):
        for path in of_member:
            if (other := seen.get(path, member)) is not member:
                raise DataError(
                    f"{member.path}: the image {path!r} is in {other.path.name} too. Name the one file to "
                    "read, or take the image out of one of them."
                )
        seen |= dict.fromkeys(of_member, member)
