"""One Pascal VOC XML file to plain records, and the boxes of many files to columns.

VOC coordinates are 1-based and inclusive at both ends: pixel 1 is the first. In continuous edges the first pixel
spans 0 to 1, so xmin and ymin lose one and xmax and ymax stay (VOC 2012 development kit, Sec. 4.3).
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.boxes import Convention, leaving, to_edges
from headstart.data.columns import BoxColumns
from headstart.data.faults import Fault, Faults
from headstart.data.flags import DIFFICULT, OCCLUDED, TRUNCATED
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.boxes import note_leaving, offsets_of

FLAGS = {"difficult": DIFFICULT, "truncated": TRUNCATED, "occluded": OCCLUDED}
CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One `<object>`, as the file says it."""

    name: str
    corners: tuple[float, float, float, float]
    flags: int
    number: int
    """Its place in the file, from 0."""


@dataclass(frozen=True)
class VocFile:
    """One `<annotation>`. `size_hw` is None where the file gives none, or zeros."""

    path: DataPath
    filename: str
    size_hw: tuple[int, int] | None
    objects: tuple[VocObject, ...]
    within: str = ""
    """What of the file it is, where the file describes several images; such as "line 7, "."""

    def record(self, item: VocObject) -> str:
        """What messages call one of its objects."""
        return f"{self.within}object {item.number} ({item.name!r})"


class _WithoutDoctype(ElementTree.TreeBuilder):
    """Refuses entities before any is expanded: they can only be declared in a document type."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DataError("it declares a document type")


def read_voc_xml(path: DataPath, faults: Faults) -> VocFile | None:
    """The file; numbers may have decimals. None when it cannot be read and faults are skipped; objects likewise."""
    try:
        parser = ElementTree.XMLParser(target=_WithoutDoctype())
        parser.feed(path.read_bytes())
        root = parser.close()
    except DataError as error:
        why, fix = f"{error}, and entities of XML are not followed", "Remove the DOCTYPE line; VOC files need none."
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        why, fix = f"not readable as XML ({error})", "Export or fetch the file again."
    else:
        if root.tag == "annotation":
            return _annotation(path, root, faults)
        why, fix = f"the root is <{root.tag}>, Pascal VOC has <annotation>", "Remove the file if it is another format."
    faults.record(Fault("annotation-unreadable", str(path), "", why, fix))
    return None


def _annotation(path: DataPath, root: ElementTree.Element, faults: Faults) -> VocFile:
    objects = [_object(path, k, node, faults) for k, node in enumerate(root.findall("object"))]
    return VocFile(
        path=path,
        filename=(root.findtext("filename") or "").strip(),
        size_hw=_size(root),
        objects=tuple(item for item in objects if item),
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
    zero = " (files whose pixels count from 0? Then say zero_based)" if (values[beyond, :2] == 0).any() else ""
    note_leaving(beyond, record, notes, zero)
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


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    try:
        height, width = (int(float(root.findtext(f"size/{side}") or 0)) for side in ("height", "width"))
    except (ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _object(path: DataPath, k: int, node: ElementTree.Element, faults: Faults) -> VocObject | None:
    name = (node.findtext("name") or "").strip()
    if not name:
        faults.record(
            Fault(
                "label-missing", str(path), f"object {k}", "has no <name>", "Give the object its class, or remove it."
            )
        )
        return None
    box = node.find("bndbox")
    if box is None:
        faults.record(
            Fault(
                "box-missing",
                str(path),
                f"object {k} ({name!r})",
                "has no <bndbox>",
                "Draw the box again, or remove the object.",
            )
        )
        return None
    corners = []
    for corner in CORNERS:
        text = (box.findtext(corner) or "").strip()
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            faults.record(
                Fault(
                    "box-not-finite",
                    str(path),
                    f"object {k} ({name!r})",
                    f"has {corner} {text!r}, which is no number",
                    "Write the pixel position there, or remove the object.",
                )
            )
            return None
        corners.append(value)
    marks = sum(bit for tag, bit in FLAGS.items() if (node.findtext(tag) or "").strip().lower() in ("1", "true", "yes"))
    return VocObject(name, (corners[0], corners[1], corners[2], corners[3]), marks, k)
