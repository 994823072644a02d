"""Lists of images as rows: CSV files with a header, and plain lines `NAME NUMBER`.

What a column means is told by its name in lower case without blanks, `_` and `-`; see `ROLES`. Fields are separated by
what the header separates its names with: comma, semicolon or tab.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.images import IMAGE_SUFFIXES
from headstart.places.paths import DataPath
from headstart.readers.fields import whole
from headstart.readers.folders import read_text

ROLES: dict[str, tuple[str, ...]] = {
    "path": (
        "path",
        "filename",
        "filepath",
        "file",
        "image",
        "img",
        "imagepath",
        "imagefile",
        "imagename",
        "imgpath",
        "imagefilename",
        "imgname",
    ),
    "label": ("label", "class", "classname", "category", "categoryname", "labels", "target", "species"),
    "split": ("split", "set", "subset", "partition", "usage", "datasplit"),
    "group": ("group", "groupid", "patient", "patientid", "subject", "subjectid", "video", "videoid", "sequence"),
    "width": ("width", "imagewidth", "imgwidth"),
    "height": ("height", "imageheight", "imgheight"),
}
"""Role -> names of its column."""
BOXES: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "voc": (("xmin", "ymin", "xmax", "ymax"),),
    "edges": (("x1", "y1", "x2", "y2"), ("left", "top", "right", "bottom"), ("x0", "y0", "x1", "y1")),
    "coco": (
        ("x", "y", "w", "h"),
        ("x", "y", "width", "height"),
        ("bboxx", "bboxy", "bboxwidth", "bboxheight"),
        ("bboxx", "bboxy", "bboxw", "bboxh"),
    ),
}
"""What the names of four columns suggest: the convention that `xmin` stands for in VOC's files, and so on."""
SEPARATORS = ",;\t"
PLAIN = re.compile(r"(?P<name>\S.*?)[\s,;]+(?P<label>\d+)")
HEAD = 1 << 16
"""Bytes that are looked at to recognize a list."""


@dataclass(frozen=True)
class ImageList:
    """One list. `columns`: role -> which field; `box` are the four fields of a box, as the header names them."""

    path: DataPath
    columns: dict[str, int]
    box: tuple[int, ...]
    box_names: tuple[str, ...]
    suggested: str
    """The box convention that the names suggest; '' without boxes."""
    plain: bool = False
    """Whether it has no header: lines `NAME NUMBER`."""
    headerless: bool = False
    """Whether its first line is a row, too."""
    packed: int | None = None
    """The field that holds all four numbers of a box, which then are the last four of each row."""
    one_hot: tuple[tuple[int, str], ...] = ()
    """(field, class) of a list with a column for each class; the class then is the last field of each row."""
    rows: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """(number of the line, fields)."""

    def field(self, fields: tuple[str, ...], role: str) -> str:
        """'' where there is no such column."""
        k = self.columns.get(role, len(fields))
        return fields[k].strip() if k < len(fields) else ""


def header_of(path: DataPath) -> ImageList | None:
    """What the head of the file says it is; None when it is no list of images with labels or boxes."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD).decode("utf-8-sig", "replace")
    except (OSError, DataError):
        return None
    first = next((line for line in head.splitlines() if line.strip()), "")
    return _from_header(path, first) or _plain(path, first)


def head_lines(path: DataPath) -> list[str]:
    """The first lines of the file, without one that is cut; [] where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except (OSError, DataError):
        return []
    lines = head.decode("utf-8-sig", "replace").splitlines()
    return lines[:-1] if len(head) == HEAD else lines


def read_list(path: DataPath, known: ImageList | None, faults: Faults) -> ImageList:
    """The whole file, which its head says to be `known`. Rows with too few or too many fields are reported. Raises
    DataError for files that are no list, have no rows, quote without end, or name one role by two columns."""
    text = read_text(path)
    if known is None:
        first = next((line for line in text.splitlines() if line.strip()), "")
        raise DataError(
            f"{path}: its first line {first[:80]!r} names no columns for the image (such as path, "
            "filename) and for a class or a box (such as label, xmin). Give the columns such names."
        )
    if not (known.plain or known.headerless):
        _require_one_each(path, text)
    rows = _plain_rows(path, text, faults) if known.plain else _csv_rows(known, text, faults)
    if not rows and not faults.found:
        raise DataError(f"{path}: lists no image. Export the list again.")
    return replace(known, rows=tuple(rows))


def _separator(header: str) -> str:
    return max(SEPARATORS, key=header.count)


def _names(header: str) -> list[str]:
    return [name.strip().strip('"').strip() for name in header.split(_separator(header))]


def plain_name(name: str) -> str:
    """The name of a column without what tools write differently."""
    return re.sub(r"[\s_\-.#]", "", name.lower())


def _roles(names: Sequence[str]) -> dict[str, list[int]]:
    """Role -> the fields that could have it."""
    plain = list(map(plain_name, names))
    return {role: [k for k, name in enumerate(plain) if name in known] for role, known in ROLES.items()}


def header_list(path: DataPath, names: Sequence[str]) -> ImageList:
    """What the names of the columns alone say."""
    box, suggested = _box_columns(list(map(plain_name, names)))
    columns = {role: places[0] for role, places in _roles(names).items() if places and places[0] not in box}
    return ImageList(path, columns, box, tuple(names[k] for k in box), suggested)


def _from_header(path: DataPath, header: str) -> ImageList | None:
    known = header_list(path, _names(header))
    named = "path" in known.columns and ("label" in known.columns or known.box)
    return known if named and len(_names(header)) > 1 else None


def _require_one_each(path: DataPath, text: str) -> None:
    header = next(line for line in text.splitlines() if line.strip())
    for role, places in _roles(_names(header)).items():
        if len(places) > 1:
            both = " and ".join(repr(_names(header)[k]) for k in places)
            raise DataError(f"{path}: the columns {both} could both be the {role}. Rename one of them.")


def _box_columns(names: list[str]) -> tuple[tuple[int, ...], str]:
    for convention, choices in BOXES.items():
        for four in choices:
            if all(names.count(name) == 1 for name in four):
                return tuple(names.index(name) for name in four), convention
    return (), ""


def _plain(path: DataPath, first: str) -> ImageList | None:
    match = PLAIN.fullmatch(first.strip())
    if match is None or not match["name"].lower().endswith(tuple(IMAGE_SUFFIXES)):
        return None
    return ImageList(path, {"path": 0, "label": 1}, (), (), "", plain=True)


def _csv_rows(known: ImageList, text: str, faults: Faults) -> list[tuple[int, tuple[str, ...]]]:
    path = known.path
    first = next(line for line in text.splitlines() if line.strip())
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(first), strict=True)
    rows: list[tuple[int, tuple[str, ...]]] = []
    width = 0
    try:
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if not width:
                width = len(fields)
                if not known.headerless:
                    continue
            if len(fields) != width:
                faults.record(
                    Fault(
                        "line-malformed",
                        str(path),
                        f"line {reader.line_num}",
                        f"has {len(fields)} fields, the {'first line' if known.headerless else 'header'} has {width}",
                        "Correct the line, or quote fields that hold the separator.",
                    )
                )
                continue
            rows.append((reader.line_num, tuple(fields)))
    except csv.Error as error:
        raise DataError(
            f"{path}: line {reader.line_num} cannot be read as CSV ({error}). "
            "Correct its quotes, or export the list again."
        ) from error
    return rows


def _plain_rows(path: DataPath, text: str, faults: Faults) -> list[tuple[int, tuple[str, ...]]]:
    rows: list[tuple[int, tuple[str, ...]]] = []
    for k, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = PLAIN.fullmatch(line.strip())
        if match is None or whole(match["label"]) is None:
            faults.record(
                Fault(
                    "line-malformed",
                    str(path),
                    f"line {k}",
                    f"is {line.strip()[:80]!r}; the name of an image and the number of its class are expected",
                    "Correct the line, or take it out.",
                )
            )
            continue
        rows.append((k, (match["name"], match["label"])))
    return rows
