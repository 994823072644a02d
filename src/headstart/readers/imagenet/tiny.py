"""Tiny ImageNet: `wnids.txt`, `words.txt`, `train/<wnid>/images/` with `<wnid>_boxes.txt` beside it, `val/images/` with
`val/val_annotations.txt`, and `test/images/`.

A line of boxes is a file name and four numbers, of val a file name, a WordNet id and four numbers, separated by tabs.
The numbers are x1, y1, x2, y2 of the 64 x 64 image, count from 0 and include both ends: of 1,500 lines of 15 classes
682 have x1 = 0 and 790 x2 = 63, and no number is larger. A box of equal ends is one of one pixel.
(The tree of `tiny-imagenet-200.zip`, Stanford CS231n.)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from headstart.data.annotations import Annotations
from headstart.data.boxes import leaving, to_edges
from headstart.data.columns import BoxColumns
from headstart.data.faults import Fault, Faults
from headstart.data.sizes import headers_of
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.boxes import note_leaving, offsets_of
from headstart.readers.fields import number
from headstart.readers.folders import files_in, read_lines, read_text
from headstart.readers.imagenet.wnids import (
    WNID,
    ClassImages,
    Synsets,
    annotate_classes,
    read_class_list,
    read_words,
    synsets,
    wnid_folders,
)
from headstart.readers.options import ReadOptions

Box = tuple[float, float, float, float]


@dataclass
class _Images(ClassImages):
    """With what lists say of each."""

    boxes: list[Box | None] = field(default_factory=list)
    where: list[tuple[str, str]] = field(default_factory=list)

    def without(self, wnids: Collection[str]) -> _Images:
        """Those of other classes."""
        kept = _Images()
        rows = zip(self.paths, self.splits, self.wnids, self.boxes, self.where, strict=True)
        for path, split, wnid, box, where in rows:
            if wnid not in wnids:
                _add(kept, path, split, wnid, box=box, where=where)
        return kept


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    if not (root / "wnids.txt").is_file():
        return None
    folders = wnid_folders(root / "train")
    if not any((folder / "images").is_dir() for folder in list(folders.values())[:1]):
        return None
    return f"Tiny ImageNet: wnids.txt and {len(folders)} folders train/<wnid>/images/"


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Image labels and one box an image; class ids are WordNet ids, in their sorted order. Ids are file names without
    ending. Test images have neither, since the source has none.

    Raises DataError for lists that cannot be read, that name images which are not there, and images that no list names.
    """
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    listed = _wnids(root / "wnids.txt")
    chosen = _chosen(root, options, listed)
    classes = synsets(chosen, read_words([root]))
    images = _Images()
    notes: list[str] = []
    for wnid, folder in wnid_folders(root / "train").items():
        if wnid in listed - chosen:
            continue
        if wnid not in listed:
            faults.record(
                Fault(
                    "label-unknown",
                    str(folder),
                    "",
                    f"wnids.txt does not list {wnid}",
                    "Add it there, or remove the folder.",
                )
            )
            continue
        lines = _lines(folder / f"{wnid}_boxes.txt", 5, faults)
        _pair(folder / "images", folder / f"{wnid}_boxes.txt", "train", wnid, lines=lines, into=images, faults=faults)
    if (root / "val").is_dir():
        lines = _lines(root / "val" / "val_annotations.txt", 6, faults)
        _pair(
            root / "val" / "images",
            root / "val" / "val_annotations.txt",
            "val",
            "",
            lines=lines,
            into=images,
            faults=faults,
        )
    images = images.without(listed - chosen)
    if listed - chosen:
        notes.append(f"{root}: {len(listed - chosen)} of {len(listed)} classes were not chosen, and were left aside")
    for image in files_in(root / "test" / "images"):
        _add(images, image, "test", "", box=None, where=("", ""))
    missing = sorted(chosen - set(images.wnids))
    if missing:
        notes.append(
            f"{root / 'wnids.txt'}: {len(missing)} of {len(chosen)} classes have no images; first: {missing[0]}"
        )
    number_of = classes.number_of
    for k, wnid in enumerate(images.wnids):
        if wnid and wnid not in number_of:
            path, record = images.where[k]
            faults.record(
                Fault(
                    "label-unknown",
                    path,
                    record,
                    f"has the class {wnid!r}, which wnids.txt does not list",
                    "Correct the line, or add the class there.",
                )
            )
    boxes, sizes = _boxes(images, classes, faults, notes)
    return annotate_classes(
        root, "tiny-imagenet", images, classes, sizes_hw=sizes, boxes=boxes, notes=notes, faults=faults
    )


def _chosen(root: DataPath, options: ReadOptions, listed: set[str]) -> set[str]:
    """The classes that are read. Raises DataError for one that the data set does not have."""
    if not options.classes:
        return listed
    chosen = read_class_list(options.classes)
    if lost := sorted(chosen - listed):
        raise DataError(
            f"{root / 'wnids.txt'}: {len(lost)} of {len(chosen)} chosen classes are not in it; first: {lost[0]}. Leave "
            "them out of `classes`, or name the data set that has them."
        )
    return chosen


def _wnids(path: DataPath) -> set[str]:
    lines = read_lines(path)
    for k, line in enumerate(lines):
        if not WNID.fullmatch(line) or line in lines[:k]:
            why = "stands twice" if WNID.fullmatch(line) else "is no WordNet id such as n01443537"
            raise DataError(f"{path}: entry {k}, {line[:80]!r}, {why}. Correct the line.")
    if not lines:
        raise DataError(f"{path}: lists no class. Fetch the file again.")
    return set(lines)


def _lines(path: DataPath, width: int, faults: Faults) -> dict[str, tuple[str, str, Box]]:
    """File name -> (line, WordNet id or '', box)."""
    lines: dict[str, tuple[str, str, Box]] = {}
    for k, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        values = [v for f in fields[-4:] if (v := number(f)) is not None]
        if not fields:
            continue
        if len(fields) != width or len(values) < 4:
            faults.record(
                Fault(
                    "line-malformed",
                    str(path),
                    f"line {k}",
                    f"is {line[:80]!r}; a file name, "
                    f"{'a WordNet id, ' if width == 6 else ''}and four numbers are expected",
                    "Correct the line, or fetch the file again.",
                )
            )
        elif fields[0] in lines:
            faults.record(
                Fault(
                    "line-contradicts",
                    str(path),
                    f"line {k}",
                    f"has {fields[0]!r} a second time ({lines[fields[0]][0]} has it too)",
                    "Take one line out.",
                )
            )
        else:
            box = (values[0], values[1], values[2], values[3])
            lines[fields[0]] = (f"line {k}", fields[1] if width == 6 else "", box)
    return lines


def _pair(
    folder: DataPath,
    path: DataPath,
    split: str,
    wnid: str,
    *,
    lines: dict[str, tuple[str, str, Box]],
    into: _Images,
    faults: Faults,
) -> None:
    """Adds the images of a folder with their lines."""
    images = {image.name: image for image in files_in(folder)}
    for name, image in images.items():
        if name in lines:
            record, told, box = lines[name]
            _add(into, image, split, wnid or told, box=box, where=(str(path), record))
            continue
        what = "box" if wnid else "class"
        faults.record(
            Fault(
                "image-not-listed",
                str(path),
                "",
                f"does not name {image}, so its {what} is not known",
                "Add a line for the image, or remove it.",
            )
        )
        if wnid:  # Its folder tells the class.
            _add(into, image, split, wnid, box=None, where=("", ""))
    for name, (record, _, _) in lines.items():
        if name not in images:
            faults.record(
                Fault(
                    "image-missing",
                    str(path),
                    record,
                    f"names {name[:200]!r}, which is not in {folder}",
                    "Put the image there, or take the line out.",
                )
            )


def _add(into: _Images, image: DataPath, split: str, wnid: str, *, box: Box | None, where: tuple[str, str]) -> None:
    into.paths.append(image)
    into.splits.append(split)
    into.wnids.append(wnid)
    into.boxes.append(box)
    into.where.append(where)


def _boxes(
    images: _Images, classes: Synsets, faults: Faults, notes: list[str]
) -> tuple[BoxColumns, list[tuple[int, int]]]:
    number_of = classes.number_of
    sizes = [header[0] if header else (0, 0) for header in headers_of(images.paths, on_bad_image="skip")]
    rows = [k for k, box in enumerate(images.boxes) if box is not None and images.wnids[k] in number_of]
    values = np.array([images.boxes[k] for k in rows], np.float64).reshape(-1, 4)
    box_sizes = np.array(sizes, np.int32).reshape(-1, 2)[rows]
    xyxy = to_edges(values, "inclusive", box_sizes)
    keep = faults.settle_boxes(xyxy, "edges", box_sizes, lambda k: images.where[rows[k]])
    note_leaving(np.flatnonzero(keep & leaving(xyxy, box_sizes)), lambda k: images.where[rows[k]], notes)
    holders = np.array([k for k, good in zip(rows, keep, strict=True) if good], np.int64)
    columns = BoxColumns(
        offsets=offsets_of(holders, len(images.paths)),
        source=values[keep],
        labels=np.array([number_of[images.wnids[k]] for k in holders], np.int32),
        flags=np.zeros(len(holders), np.uint8),
        known=np.isin(np.arange(len(images.paths)), rows),
        classes=classes.names,
        convention="inclusive",
        class_ids=classes.wnids,
    )
    return columns, sizes
