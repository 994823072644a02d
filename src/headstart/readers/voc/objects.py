"""The objects of one Pascal VOC XML file. Every box of the file is one of them, or a fault."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from headstart.data.faults import Fault, Faults
from headstart.data.flags import DIFFICULT, OCCLUDED, TRUNCATED
from headstart.places.paths import DataPath

FLAGS = {"difficult": DIFFICULT, "truncated": TRUNCATED, "occluded": OCCLUDED}
CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One box of an `<object>`, as the file says it."""

    name: str
    corners: tuple[float, float, float, float]
    flags: int
    number: int
    """Place of the object in the file, from 0."""
    part: str = ""
    """Which of its boxes it is, where the object has several; such as ", box 1"."""


def objects_of(path: DataPath, k: int, node: ElementTree.Element, faults: Faults) -> list[VocObject]:
    """One for each box of the `<object>` that is number k of the file; faults are reported and leave it out."""
    names = {(found.text or "").strip() for found in node.findall("name")} - {""}
    if len(names) != 1:
        rule, why = ("element-twice", f"has the names {', '.join(map(repr, sorted(names)))}")
        if not names:
            rule, why = "label-missing", "has no <name>"
        faults.record(Fault(rule, str(path), f"object {k}", why, "Give the object its class, or remove it."))
        return []
    name, boxes = names.pop(), node.findall("bndbox")
    if not boxes:
        fix = "Draw the box again, or remove the object."
        faults.record(Fault("box-missing", str(path), f"object {k} ({name!r})", "has no <bndbox>", fix))
        return []
    marks = _flags(path, f"object {k} ({name!r})", node, faults)
    found = []
    for number, box in enumerate(boxes):
        part = f", box {number}" if len(boxes) > 1 else ""
        corners = _corners(path, f"object {k}{part} ({name!r})", box, faults)
        if corners:
            found.append(VocObject(name, corners, marks, k, part=part))
    return found


def report_strays(path: DataPath, root: ElementTree.Element, faults: Faults) -> None:
    """Boxes that stand where no object has its own: whatever has corners and is no `<bndbox>` of an object or of a part
    of one (as the persons of VOC have heads and hands)."""
    above = {child: parent for parent in root.iter() for child in parent}
    for node in root.iter():
        if not any(child.tag.lower() in CORNERS for child in node):
            continue
        parent = above.get(node)
        if node.tag == "bndbox" and parent is not None and parent.tag in ("object", "part"):
            continue
        record = f"<{node.tag}> in <{parent.tag}>" if parent is not None else f"<{node.tag}>"
        why = "is a box where Pascal VOC has none, and was not read"
        fix = "Put it into the <bndbox> of an <object>, or take it out."
        faults.record(Fault("element-misplaced", str(path), record, why, fix))


def _flags(path: DataPath, record: str, node: ElementTree.Element, faults: Faults) -> int:
    marks = 0
    for tag, bit in FLAGS.items():
        said = {(found.text or "").strip().lower() in ("1", "true", "yes") for found in node.findall(tag)}
        if len(said) > 1:
            why = f"is {tag} and is not: it has the element twice"
            faults.record(Fault("element-twice", str(path), record, why, "Leave the right one."))
        marks |= bit if True in said else 0
    return marks


def _corners(
    path: DataPath, record: str, box: ElementTree.Element, faults: Faults
) -> tuple[float, float, float, float] | None:
    corners = []
    for corner in CORNERS:
        texts = [(found.text or "").strip() for found in box.findall(corner)] or [""]
        try:
            values = {float(text) for text in texts}
        except ValueError:
            values = {math.nan}
        if len(values) > 1:
            why = f"has more than one {corner}: {', '.join(texts)[:80]}"
            fix = "Leave the right one, or put each box into a <bndbox> of its own."
            faults.record(Fault("element-twice", str(path), record, why, fix))
            return None
        value = values.pop()
        if not math.isfinite(value):
            why = f"has {corner} {texts[0]!r}, which is no number"
            fix = "Write the pixel position there, or remove the object."
            faults.record(Fault("box-not-finite", str(path), record, why, fix))
            return None
        corners.append(value)
    return corners[0], corners[1], corners[2], corners[3]
