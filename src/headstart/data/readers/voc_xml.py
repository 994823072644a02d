"""One Pascal VOC XML file to plain records, and the boxes of many files to columns.

VOC coordinates are 1-based and inclusive at both ends: pixel 1 is the first. In continuous edges the first pixel
spans 0 to 1, so xmin and ymin lose one and xmax and ymax stay (VOC 2012 development kit, Sec. 4.3).
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from headstart.data.annotations import DIFFICULT, OCCLUDED, TRUNCATED, BoxColumns
from headstart.errors import DataError

OnBadBox = Literal["report", "error"]
"""`report`: clip or leave out boxes that cannot be, and list each in the notes. `error`: raise at the first."""
FLAGS = {"difficult": DIFFICULT, "truncated": TRUNCATED, "occluded": OCCLUDED}
CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One `<object>`, as the file says it."""

    name: str
    corners: tuple[float, float, float, float]
    flags: int


@dataclass(frozen=True)
class VocFile:
    """One `<annotation>`. `size_hw` is None where the file gives none, or zeros."""

    path: Path
    filename: str
    size_hw: tuple[int, int] | None
    objects: tuple[VocObject, ...]


class _WithoutDoctype(ElementTree.TreeBuilder):
    """Refuses entities before any is expanded: they can only be declared in a document type."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DataError("it declares a document type")


def read_voc_xml(path: Path) -> VocFile:
    """Raises DataError naming the file, the object and what to do; numbers may have decimals."""
    try:
        parser = ElementTree.XMLParser(target=_WithoutDoctype())
        root = ElementTree.parse(path, parser=parser).getroot()
    except DataError as error:
        raise DataError(
            f"{path}: {error}, and entities of XML are not followed. Remove the DOCTYPE line; VOC files need none."
        ) from error
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        raise DataError(f"{path}: not readable as XML ({error}). Export or fetch the file again.") from error
    if root.tag != "annotation":
        raise DataError(
            f"{path}: the root is <{root.tag}>, Pascal VOC has <annotation>. Remove the file if it is another format."
        )
    return VocFile(
        path=path,
        filename=(root.findtext("filename") or "").strip(),
        size_hw=_size(root),
        objects=tuple(_object(path, k, node) for k, node in enumerate(root.findall("object"))),
    )


def place_boxes(
    files: Sequence[VocFile | None],
    sizes_hw: Sequence[tuple[int, int]],
    classes: tuple[str, ...],
    on_bad_box: OnBadBox,
    zero_based: bool = False,
) -> tuple[BoxColumns, list[str]]:
    """Boxes of all images, file k belonging to image k (None: the image has no file), and notes.

    A box whose xmax <= xmin or ymax <= ymin is degenerate and left out (read inclusively, equal ends would be one
    pixel; in practice they are a slip of the mouse). One that leaves an image of known size is clipped, or left out
    when nothing remains. `on_bad_box="error"` raises DataError instead. `zero_based`: the corners are edges already.
    """
    number = {name: k for k, name in enumerate(classes)}
    source: list[tuple[float, ...]] = []
    xyxy: list[tuple[float, ...]] = []
    labels: list[int] = []
    flags: list[int] = []
    counts: list[int] = []
    notes: list[str] = []
    for file, size_hw in zip(files, sizes_hw, strict=True):
        before = len(labels)
        for k, item in enumerate(file.objects if file else ()):
            box, fault = _place(item.corners, size_hw, zero_based)
            if fault:
                assert file is not None
                _report(f"{file.path}: object {k} ({item.name!r}) {fault}", box is not None, on_bad_box, notes)
            if box:
                source.append(item.corners)
                xyxy.append(box)
                labels.append(number[item.name])
                flags.append(item.flags)
        counts.append(len(labels) - before)
    columns = BoxColumns(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        source=np.array(source, np.float64).reshape(-1, 4),
        xyxy=np.array(xyxy, np.float64).reshape(-1, 4),
        labels=np.array(labels, np.int32),
        flags=np.array(flags, np.uint8),
        known=np.array([file is not None for file in files], bool),
        classes=classes,
        convention="voc-zero-based" if zero_based else "voc",
    )
    return columns, notes


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    try:
        height, width = (int(float(root.findtext(f"size/{side}") or 0)) for side in ("height", "width"))
    except (ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _object(path: Path, k: int, node: ElementTree.Element) -> VocObject:
    name = (node.findtext("name") or "").strip()
    if not name:
        raise DataError(f"{path}: object {k} has no <name>. Give the object its class, or remove it.")
    box = node.find("bndbox")
    if box is None:
        raise DataError(f"{path}: object {k} ({name!r}) has no <bndbox>. Draw the box again, or remove the object.")
    corners = []
    for corner in CORNERS:
        text = (box.findtext(corner) or "").strip()
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{path}: object {k} ({name!r}) has {corner} {text!r}, which is no number. "
                            "Write the pixel position there, or remove the object.")  # fmt: skip
        corners.append(value)
    marks = sum(bit for tag, bit in FLAGS.items() if (node.findtext(tag) or "").strip().lower() in ("1", "true", "yes"))
    return VocObject(name, (corners[0], corners[1], corners[2], corners[3]), marks)


def _place(
    corners: tuple[float, float, float, float], size_hw: tuple[int, int], zero_based: bool
) -> tuple[tuple[float, float, float, float] | None, str]:
    """The box in continuous edges (None: left out) and what was wrong with it ('': nothing)."""
    xmin, ymin, xmax, ymax = corners
    for axis, low, high in (("x", xmin, xmax), ("y", ymin, ymax)):
        if high <= low:
            return None, f"has {axis}max {high:g} <= {axis}min {low:g}"
    shift = 0 if zero_based else 1
    x1, y1, x2, y2 = xmin - shift, ymin - shift, xmax, ymax
    height, width = size_hw
    if min(height, width) <= 0 or (x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height):
        return (x1, y1, x2, y2), ""
    fault = f"leaves the image of {width} x {height} with ({', '.join(f'{c:g}' for c in corners)})"
    clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
        return None, fault
    zero = " (a file whose pixels count from 0?)" if not zero_based and min(xmin, ymin) == 0 else ""
    return clipped, fault + zero


def _report(fault: str, kept: bool, on_bad_box: OnBadBox, notes: list[str]) -> None:
    if on_bad_box == "error":
        raise DataError(
            f"{fault}. Correct the file; or let such boxes be reported (on_bad_box 'report'): those that leave the "
            "image are then clipped, those without extent left out, and each is listed."
        )
    notes.append(f"{fault}: {'clipped' if kept else 'left out'}")
