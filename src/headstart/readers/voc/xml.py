"""One Pascal VOC XML file to plain records, and the boxes of many files to columns.

VOC coordinates are 1-based and inclusive at both ends: pixel 1 is the first. In continuous edges the first pixel
spans 0 to 1, so xmin and ymin lose one and xmax and ymax stay (VOC 2012 development kit, Sec. 4.3).
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.boxes import Convention, leaving, to_edges
from headstart.data.columns import BoxColumns
from headstart.data.faults import Fault, Faults
from headstart.places.paths import DataPath
from headstart.readers.boxes import note_leaving, offsets_of
from headstart.readers.fields import LARGEST_SIDE
from headstart.readers.voc.objects import VocObject, objects_of, report_strays
from headstart.readers.xml_files import xml_root


@dataclass(frozen=True)
class VocFile:
    """One `<annotation>`. `size_hw` is None where the file gives none, or zeros."""

    path: DataPath
    filename: str
    size_hw: tuple[int, int] | None
    objects: tuple[VocObject, ...]
    within: str = ""
    """What of the file it is, where the file describes several images; such as "line 7, "."""
    outlined: int = 0
    """Objects with a <polygon>, which is not read."""

    def record(self, item: VocObject) -> str:
        """What messages call one of its objects."""
        return f"{self.within}object {item.number}{item.part} ({item.name!r})"


def read_voc_xml(path: DataPath, faults: Faults) -> VocFile | None:
    """The file; numbers may have decimals. None when it cannot be read and faults are skipped; objects likewise."""
    root, why, fix = xml_root(path)
    if root is not None and root.tag == "annotation":
        return _annotation(path, root, faults)
    if root is not None:
        why, fix = f"the root is <{root.tag}>, Pascal VOC has <annotation>", "Remove the file if it is another format."
    faults.record(Fault("annotation-unreadable", str(path), "", why, fix))
    return None


def _annotation(path: DataPath, root: ElementTree.Element, faults: Faults) -> VocFile:
    objects = [item for k, node in enumerate(root.iter("object")) for item in objects_of(path, k, node, faults)]
    report_strays(path, root, faults)
    return VocFile(
        path=path,
        filename=(root.findtext("filename") or "").strip(),
        size_hw=_size(path, root, faults),
        objects=tuple(objects),
        outlined=sum(1 for node in root.iter("object") if node.find("polygon") is not None),
    )


def place_boxes(
    files: Sequence[VocFile | None],
    sizes_hw: Sequence[tuple[int, int]],
    classes: tuple[str, ...],
    faults: Faults,
    *,
    convention: Convention = "voc",
    numbered: bool = False,
) -> tuple[BoxColumns, list[str]]:
    """Boxes of all images, file k belonging to image k (None: the image has no file), and notes on odd ones.

    numbered: boxes get their places in their files as ids, counted from 1, as in SegmentationObject.
    Boxes that cannot be are reported to `faults`. Equal ends (xmax = xmin) are among them: read inclusively they would
    be one pixel, in practice they are a slip of the mouse.
    """
    number = {name: k for k, name in enumerate(classes)}
    of_image = np.repeat(np.arange(len(files)), [len(f.objects) if f else 0 for f in files])
    objects = [(f, item) for f in files if f for item in f.objects]
    values = np.array([item.corners for _, item in objects], np.float64).reshape(-1, 4)
    sizes = np.array(sizes_hw, np.int32).reshape(-1, 2)[of_image]

    def record(row: int) -> tuple[str, str]:
        file, item = objects[row]
        return str(file.path), file.record(item)

    keep = faults.settle_boxes(values, convention, sizes, record)
    beyond = np.flatnonzero(keep & leaving(to_edges(values, convention, sizes), sizes))
    notes: list[str] = []
    zero = " (files whose pixels count from 0? Then --read zero_based=true)" if (values[beyond, :2] == 0).any() else ""
    note_leaving(beyond, record, notes, zero)
    if outlined := [file for file in files if file and file.outlined]:
        fix = "Export the data as COCO to have the outlines, too."
        why = f"has objects with a <polygon>, of which only the boxes are read; {len(outlined)} files in all have such"
        faults.lost(Fault("outline-not-read", str(outlined[0].path), "", why, fix))
    good = [item for (_, item), possible in zip(objects, keep, strict=True) if possible]
    columns = BoxColumns(
        offsets=offsets_of(of_image[keep], len(files)),
        source=values[keep],
        labels=np.array([number[item.name] for item in good], np.int32),
        flags=np.array([item.flags for item in good], np.uint8),
        known=np.array([file is not None for file in files], bool),
        classes=classes,
        convention=convention,
        ids=np.array([item.number + 1 for item in good], np.int64) if numbered else None,
    )
    return columns, notes


def _size(path: DataPath, root: ElementTree.Element, faults: Faults) -> tuple[int, int] | None:
    told = [_one_size(node) for node in root.findall("size")]
    sizes = [size for size in told if size]
    if len(set(sizes)) > 1:
        words = " and ".join(f"{width} x {height}" for height, width in sizes)
        fix = "Leave the one that the image has."
        faults.record(Fault("element-twice", str(path), "", f"has more than one <size>: {words}", fix))
    return sizes[0] if sizes else None


def _one_size(node: ElementTree.Element) -> tuple[int, int] | None:
    try:
        sides = [float(node.findtext(side) or 0) for side in ("height", "width")]
    except ValueError:
        return None
    return (int(sides[0]), int(sides[1])) if all(1 <= side <= LARGEST_SIDE for side in sides) else None
