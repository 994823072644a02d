"""One JSON file in COCO's form, to columns.

COCO's own training file is 448 MB with 860,001 annotations. Each annotation becomes numbers at the end of a few arrays
as soon as the parser has read it, so no Python object of it is left when the next one is read.
"""

from __future__ import annotations

import json
import math
from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data import rle
from headstart.data.flags import CROWD, DEPICTION, DIFFICULT, GROUP_OF, INSIDE, OCCLUDED, TRUNCATED
from headstart.errors import DataError
from headstart.places.paths import DataPath

IMAGE_KEYS = (
    "id",
    "file_name",
    "coco_url",
    "width",
    "height",
    "neg_category_ids",
    "not_exhaustive_category_ids",
    "label",
)
"""What is kept of an image's record."""
NUMBERS = frozenset({int, float})
ROW: dict[str, Any] = {"row": None}
"""Stands in the parsed JSON for an annotation whose content went to the columns."""
OTHER_FLAGS = {
    "difficult": DIFFICULT,
    "truncated": TRUNCATED,
    "occluded": OCCLUDED,
    "group_of": GROUP_OF,
    "depiction": DEPICTION,
    "inside": INSIDE,
}
"""Keys that converters from other formats write, `headstart check --fix` among them; read where they are 1 or true."""
Odd = tuple[int, str, str, str, bool]
"""Row, rule, what is wrong, what to do, and whether it is about the box."""


@dataclass
class Rows:
    """The annotations of a file in its order, k in all. Lists of ids hold what the file says, of any type."""

    ids: list[Any] = field(default_factory=list)
    image_ids: list[Any] = field(default_factory=list)
    category_ids: list[Any] = field(default_factory=list)
    flags: bytearray = field(default_factory=bytearray)
    """Bits of `headstart.data.annotations`."""
    areas: array[float] = field(default_factory=lambda: array("d"))
    """NaN where the file gives none."""
    boxes: array[float] = field(default_factory=lambda: array("d"))
    """x, y, width, height of each; NaN where there is none."""
    corners: array[float] = field(default_factory=lambda: array("d"))
    """All polygons end to end."""
    ring_lengths: array[int] = field(default_factory=lambda: array("q"))
    """Numbers in each polygon."""
    rings: array[int] = field(default_factory=lambda: array("q"))
    """Polygons of each annotation; -1 where it has none."""
    rles: dict[int, tuple[bytes, int, int]] = field(default_factory=dict)
    """Row -> text of the run lengths, height, width."""
    odd: list[Odd] = field(default_factory=list)
    unread: int = 0
    """Values under `OTHER_FLAGS` that are neither 0 nor 1: other programs' own, such as shares of the box."""

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, entry: dict[str, Any]) -> None:
        """One annotation."""
        get, row = entry.get, len(self.ids)
        self.ids.append(get("id"))
        self.image_ids.append(get("image_id"))
        self.category_ids.append(get("category_id"))
        crowd = get("iscrowd", 0)
        if crowd not in (0, 1):
            self._note(row, "flag-unknown", f"has iscrowd {short(crowd)}, which is neither 0 nor 1", "Write 0 or 1")
            crowd = 0
        flags = CROWD if crowd else 0
        for key in OTHER_FLAGS.keys() & entry.keys():
            flags |= OTHER_FLAGS[key] if entry[key] in (1, True) else 0
            self.unread += entry[key] not in (0, 1, None)
        self.flags.append(flags)
        self.areas.append(self._area(row, get("area")))
        self.boxes.extend(self._box(row, get("bbox")))
        outline = get("segmentation")
        rings = -1
        if type(outline) is list:
            rings = self._polygons(row, outline) if outline else -1
        elif type(outline) is dict:
            self._rle(row, outline)
        elif outline is not None:
            self._bad_outline(row, f"has a segmentation {short(outline)}")
        self.rings.append(rings)

    def _area(self, row: int, area: Any) -> float:
        if area is None:
            return math.nan
        value = _number(area)
        if not math.isfinite(value) or value < 0:
            self._note(row, "area-impossible", f"has area {short(area)}", "Write the pixels inside, or take area out")
            return math.nan
        return value

    def _box(self, row: int, box: Any) -> tuple[float, ...]:
        if type(box) is list and len(box) == 4 and NUMBERS.issuperset(map(type, box)):
            try:
                return tuple(map(float, box))
            except OverflowError:
                return (math.inf,) * 4  # Judged with the other boxes.
        if box is None:
            self.odd.append((row, "box-missing", "has no bbox", "Write its x, y, width and height", True))
        else:
            self.odd.append(
                (
                    row,
                    "box-not-finite",
                    f"has bbox {short(box)}, which is not four numbers",
                    "Write x, y, width and height",
                    True,
                )
            )
        return (math.nan,) * 4

    def _polygons(self, row: int, outline: list[Any]) -> int:
        first_corner, first_ring = len(self.corners), len(self.ring_lengths)
        try:
            for ring in outline:
                if type(ring) is not list:
                    raise TypeError("a polygon is a list of numbers, inside the list of polygons")
                if len(ring) % 2:
                    raise ValueError(f"a polygon of {len(ring)} numbers lacks one")
                self.corners.extend(ring)
                self.ring_lengths.append(len(ring))
        except (TypeError, ValueError, OverflowError) as error:
            del self.corners[first_corner:], self.ring_lengths[first_ring:]
            self._bad_outline(row, f"has a segmentation that cannot be read ({error})")
            return -1
        return len(outline)

    def _rle(self, row: int, outline: dict[str, Any]) -> None:
        size, counts = outline.get("size"), outline.get("counts")
        try:
            if type(size) is not list or len(size) != 2 or set(map(type, size)) != {int} or min(size) < 0:
                raise ValueError(f"its size is {short(size)} where height and width are expected")
            if type(counts) is str:
                text = counts.encode("latin-1")
                rle.checked(rle.decompress(text), (size[0], size[1]))
            elif type(counts) is list and set(map(type, counts)) <= {int}:
                text = rle.compress(rle.checked(counts, (size[0], size[1])))
            else:
                raise ValueError("its counts are neither a text nor a list of whole numbers")
        except (ValueError, OverflowError) as error:
            self._bad_outline(row, f"has run lengths that cannot be read ({error})")
            return
        self.rles[row] = (text, size[0], size[1])

    def _bad_outline(self, row: int, why: str) -> None:
        self._note(row, "outline-unreadable", why, "Export the outline again, or take segmentation out")

    def _note(self, row: int, rule: str, why: str, fix: str) -> None:
        self.odd.append((row, rule, why, fix, False))

    def polygon_columns(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """All corners, the numbers of each polygon and the polygons of each annotation; views, no copies."""
        return (
            np.frombuffer(self.corners, np.float64),
            np.frombuffer(self.ring_lengths, np.int64),
            np.frombuffer(self.rings, np.int64),
        )


@dataclass(frozen=True)
class CocoFile:
    """A parsed file."""

    path: DataPath
    images: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    rows: Rows
    strays: list[tuple[int, Any]]
    """(position, entry) of what is in the list of annotations and names neither image nor category."""
    panoptic: list[dict[str, Any]]
    """Panoptic annotations: image_id, file_name of the PNG, and the number of segments, which are rows."""


class _Parser:
    """Called for every finished object of the JSON, innermost first."""

    def __init__(self, path: DataPath) -> None:
        self.path = path
        self.rows = Rows()

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entry = dict(pairs)
        if len(entry) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(
                f"{self.path}: the key {twice!r} stands twice in one object, and which is meant cannot be "
                f"known ({short(entry)}). Take one of them out."
            )
        if "segments_info" in entry:
            return self._segmented(entry)
        named = "file_name" in entry or "coco_url" in entry
        if "category_id" in entry or ("image_id" in entry and not named):
            self.rows.add(entry)
            return ROW
        if named:
            return {key: entry[key] for key in IMAGE_KEYS if key in entry}
        return entry

    def _segmented(self, entry: dict[str, Any]) -> dict[str, Any]:
        """A panoptic annotation: its segments were the last rows, and are told their image now."""
        segments = entry["segments_info"]
        if not isinstance(segments, list) or not all(segment is ROW for segment in segments):
            raise DataError(
                f"{self.path}: the annotation of image {short(entry.get('image_id'))} has segments_info "
                "that are no list of objects with a category_id each. Export the file again."
            )
        if segments:
            self.rows.image_ids[-len(segments) :] = [entry.get("image_id")] * len(segments)
        return {"image_id": entry.get("image_id"), "file_name": entry.get("file_name"), "segments_info": len(segments)}


def parse(path: DataPath) -> CocoFile:
    """The file. Raises DataError when it cannot be read as JSON or has not COCO's lists."""
    parser = _Parser(path)
    whole = _loaded(path, parser)
    images, categories = (_listed(path, whole, key) for key in ("images", "categories"))
    if images is None:
        raise DataError(f"{path}: has no list `images`. Name the file that lists the images of the data set.")
    entries = whole.get("annotations")
    if not isinstance(entries, list):
        raise DataError(
            f"{path}: `annotations` is {short(entries)}, not a list. Export the file again, or take it "
            "away if its images are not annotated."
        )
    others = [(k, entry) for k, entry in enumerate(entries) if entry is not ROW]
    panoptic = [entry for _, entry in others if isinstance(entry, dict) and "segments_info" in entry]
    inside = len(entries) - len(others) + sum(entry["segments_info"] for entry in panoptic)
    if inside != len(parser.rows):
        raise DataError(
            f"{path}: {len(parser.rows) - inside} objects with an image_id or a category_id stand outside the "
            "list `annotations`. Move them there, or take them out."
        )
    strays = [(k, entry) for k, entry in others if not (isinstance(entry, dict) and "segments_info" in entry)]
    return CocoFile(path, images, categories or [], parser.rows, strays=strays, panoptic=panoptic)


def _loaded(path: DataPath, parser: _Parser) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        whole = json.loads(text, object_pairs_hook=parser)
    except RecursionError as error:
        raise DataError(
            f"{path}: its lists and objects are nested too deeply to be annotation. Export the file again."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error}). Save it again as UTF-8.") from error
    except ValueError as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}). Fetch or export the file again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}). Put the file back, or check who may read it.") from error
    if isinstance(whole, list):
        raise DataError(
            f"{path}: is a list, as files of detections are; a data set is an object with the lists "
            "`images`, `annotations` and `categories`. Name the file of the annotation."
        )
    if not isinstance(whole, dict) or whole is ROW:
        raise DataError(
            f"{path}: is {short(whole)}, not an object with `images`, `annotations` and `categories`. "
            "Name the file of the annotation."
        )
    return whole


def _listed(path: DataPath, whole: dict[str, Any], key: str) -> list[dict[str, Any]] | None:
    value = whole.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise DataError(f"{path}: `{key}` is not a list of objects ({short(value)}). Export the file again.")
    return value


def _number(value: Any) -> float:
    """NaN for what is no number, and for whole numbers beyond all floats."""
    if type(value) not in NUMBERS:
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def short(value: Any) -> str:
    """A value of the file in a message, however long or deep it is."""
    if isinstance(value, (list, dict)) and len(value) > 8:
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)} entries"
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a whole number of more than 30 digits"
    try:
        text = repr(value[:60] if isinstance(value, str) else value)
    except RecursionError:
        return "lists within lists"
    return text if len(text) <= 60 else f"{text[:57]}..."
