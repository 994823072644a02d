"""Annotation of the VGG Image Annotator (VIA, versions 1 and 2), as its CSV and its JSON files hold it.

Each region has a shape and attributes. Rectangles are boxes; around polygons, circles and ellipses the box is taken,
and the outline is not read. The class is the attribute of a usual name (class, label, ..), or the only one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.folders import read_text
from headstart.readers.lists.columns import ImageList
from headstart.texts import json_of

SHAPE, ATTRIBUTES = "region_shape_attributes", "region_attributes"
NAMES = ("class", "label", "category", "object", "type", "name", "species")
"""Attributes that are the class, the first that there is."""
HEAD = 1 << 16


def is_via(path: DataPath) -> bool:
    """Whether the file begins as VIA's do."""
    try:
        with path.open() as file:
            head = file.read(HEAD).decode("utf-8", "replace")
    except OSError:
        return False
    if path.suffix.lower() == ".json":
        return '"_via_img_metadata"' in head or ('"regions"' in head and '"shape_attributes"' in head)
    return SHAPE in head.partition("\n")[0]


def read_via(path: DataPath, faults: Faults) -> ImageList:
    """The regions as rows of a list of boxes. Raises DataError for a file that cannot be read."""
    regions = _of_json(path) if path.suffix.lower() == ".json" else _of_csv(path)
    rows: list[tuple[int, tuple[str, ...]]] = []
    outlines = 0
    for line, name, shape, attributes in regions:
        if not shape:
            rows.append((line, (name, "", "", "", "", "")))
            continue
        box = _box(shape)
        record = f"entry {line} ({name})"
        if box is None:
            why = f"has a region of the shape {str(shape.get('name'))[:40]!r}, around which there is no box"
            faults.record(Fault("box-missing", str(path), record, why, "Draw a box, or take the region out."))
            continue
        label = _label(attributes)
        if label is None:
            why = f"has a region with the attributes {', '.join(map(str, attributes)) or 'none'}"
            fix = f"Give each region one attribute, or one that is called {NAMES[0]} or {NAMES[1]}."
            faults.record(Fault("label-missing", str(path), record, why, fix))
            continue
        outlines += shape.get("name") != "rect"
        rows.append((line, (name, *(f"{value:.17g}" for value in box), label)))
    if outlines:
        why = f"{outlines} regions are no rectangles; the boxes around them are read, and their outlines are not"
        faults.lost(Fault("outline-not-read", str(path), "", why, "Export the data as COCO to have the outlines, too."))
    names = ("x", "y", "width", "height")
    return ImageList(path, {"path": 0, "label": 5}, (1, 2, 3, 4), names, "coco", headerless=True, rows=tuple(rows))


Region = tuple[int, str, dict[str, Any], dict[str, Any]]
"""Place in the file, name of the image, shape (empty: the image has no region), attributes."""


def _of_json(path: DataPath) -> Iterator[Region]:
    try:
        whole = json_of(read_text(path))
        images = whole.get("_via_img_metadata", whole) if isinstance(whole, dict) else {}
        for k, entry in enumerate(images.values()):
            regions = entry.get("regions") or []
            regions = list(regions.values()) if isinstance(regions, dict) else regions
            if not regions:
                yield k, entry["filename"], {}, {}
            for region in regions:
                yield k, entry["filename"], region["shape_attributes"], region.get("region_attributes") or {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is not as VIA writes it ({error}). Export it from VIA again.") from error


def _of_csv(path: DataPath) -> Iterator[Region]:
    reader = csv.DictReader(io.StringIO(read_text(path).lstrip("#"), newline=""), strict=True)
    try:
        for row in reader:
            shape = json_of(row[SHAPE] or "{}")
            yield reader.line_num, row["filename"], shape, json_of(row[ATTRIBUTES] or "{}")
    except (csv.Error, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: line {reader.line_num} is not as VIA writes it ({error}). Export it from VIA again."
        ) from error


def _box(shape: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """x, y, width and height of what the shape covers; None for points, and for what is no shape."""
    try:
        if shape["name"] == "rect":
            return float(shape["x"]), float(shape["y"]), float(shape["width"]), float(shape["height"])
        if shape["name"] in ("circle", "ellipse"):
            rx, ry = (float(shape[key if key in shape else "r"]) for key in ("rx", "ry"))
            return float(shape["cx"]) - rx, float(shape["cy"]) - ry, 2 * rx, 2 * ry
        xs, ys = ([float(v) for v in shape[key]] for key in ("all_points_x", "all_points_y"))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)) if xs and ys else None


def _label(attributes: dict[str, Any]) -> str | None:
    """The class; None where it cannot be told. A choice of several is an object: the one that is true."""
    known = {key.lower(): value for key, value in attributes.items()}
    value = next((known[name] for name in NAMES if name in known), None)
    if value is None and len(known) == 1:
        value = next(iter(known.values()))
    if isinstance(value, dict):
        chosen = [key for key, on in value.items() if on in (True, "true", 1)]
        value = chosen[0] if len(chosen) == 1 else None
    return str(value).strip() or None if value is not None else ("object" if not attributes else None)
