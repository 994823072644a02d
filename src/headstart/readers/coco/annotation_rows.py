"""Annotations of a JSON file in COCO's form, as columns."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.data import rle
from headstart.data.flags import CROWD, DEPICTION, DIFFICULT, GROUP_OF, INSIDE, OCCLUDED, TRUNCATED
from headstart.readers.coco.words import short
from headstart.readers.fields import exact

NUMBERS = frozenset({int, float})
CORNERS = 6
"""Numbers of the smallest polygon."""
OTHER_FLAGS = {
    "difficult": DIFFICULT,
    "truncated": TRUNCATED,
    "occluded": OCCLUDED,
    "group_of": GROUP_OF,
    "depiction": DEPICTION,
    "inside": INSIDE,
}
"""Keys that converters from other formats write, `headstart check --fix` among them; read where they are 1 or true."""
About = Literal["record", "box", "part"]
"""Whether the annotation is left out as a bad record or as a bad box, or kept without its area or outline."""
Odd = tuple[int, str, str, str, About]
"""Row, rule, what is wrong, what to do, and what it is about."""


@dataclass
class Rows:
    """The annotations of a file in its order, k in all. Lists of ids hold what the file says, of any type."""

    ids: list[Any] = field(default_factory=list)
    image_ids: list[Any] = field(default_factory=list)
    category_ids: list[Any] = field(default_factory=list)
    flags: bytearray = field(default_factory=bytearray)
    """Bits of `headstart.data.flags`."""
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
        self.ids.append(exact(get("id")))
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
            rings = self._polygons(row, outline) if any(ring != [] for ring in outline) else -1
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
            fix = "Write the pixels inside, or take area out"
            self.odd.append((row, "area-impossible", f"has area {short(area)}", fix, "part"))
            return math.nan
        return value

    def _box(self, row: int, box: Any) -> tuple[float, ...]:
        if type(box) is list and len(box) == 4 and NUMBERS.issuperset(map(type, box)):
            try:
                return tuple(map(float, box))
            except OverflowError:
                return (math.inf,) * 4  # Judged with the other boxes.
        if box is None:
            self.odd.append((row, "box-missing", "has no bbox", "Write its x, y, width and height", "box"))
        else:
            self.odd.append(
                (
                    row,
                    "box-not-finite",
                    f"has bbox {short(box)}, which is not four numbers",
                    "Write x, y, width and height",
                    "box",
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
            if max(map(len, outline)) < CORNERS:
                pairs = " (a polygon is one list: x1, y1, x2, y2, ..)" if max(map(len, outline)) == 2 else ""
                raise ValueError(f"none of its polygons has three corners{pairs}")
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
        fix = "Export the outline again, or take segmentation out"
        self.odd.append((row, "outline-unreadable", why, fix, "part"))

    def _note(self, row: int, rule: str, why: str, fix: str) -> None:
        self.odd.append((row, rule, why, fix, "record"))

    def polygon_columns(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """All corners, the numbers of each polygon and the polygons of each annotation; views, no copies."""
        return (
            np.frombuffer(self.corners, np.float64),
            np.frombuffer(self.ring_lengths, np.int64),
            np.frombuffer(self.rings, np.int64),
        )


def _number(value: Any) -> float:
    """NaN for what is no number, and for whole numbers beyond all floats."""
    if type(value) not in NUMBERS:
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
