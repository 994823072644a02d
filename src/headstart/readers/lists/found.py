"""Tables whose columns do not say what they are: competitions' lists, one-hot columns, files without a header.

What a column holds is told by its values, and a table counts only if its first rows name images that are there:

- `id,breed`, `image_id,label`: a column that names images, often without ending, and one other column, the class;
- `filename,cat,dog`: a column for each class, 1 where the image is of it, else 0 (one, several or none for an image);
- `image_id,width,height,bbox,source`: x, y, width and height of a box in one column, such as `[5.0, 6, 20, 14]`;
- `images/a.jpg,5,6,25,20,cat` without a header (keras-retinanet): x1, y1, x2, y2 and the class; nothing between the
  commas says that the image shows no object;
- `cat,5,6,20,14,a.jpg,64,48` without a header (makesense.ai): x, y, width and height, and the size of the image;
- `a.jpg,cat` without a header.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from headstart.data.faults import Faults
from headstart.places.images import IMAGE_SUFFIXES
from headstart.places.paths import DataPath
from headstart.readers.fields import number, whole
from headstart.readers.lists.columns import SEPARATORS, ImageList, header_list, plain_name
from headstart.readers.lists.several import BITS, marked_rows

PATHS = ("id", "imageid", "imgid")
"""Names of a column that may hold the names of images."""
BOX = ("bbox", "box", "boundingbox", "bboxes")
LOOKED_AT = 5
"""Rows whose images are looked for."""
HEADERLESS = ("path", "x1", "y1", "x2", "y2", "label")
IsThere = Callable[[str], bool]
Row = tuple[int, tuple[str, ...]]


def found_list(path: DataPath, lines: Sequence[str], is_there: IsThere) -> ImageList | None:
    """What the first lines say the table is; None where it is none of these. is_there: whether a name is an image's."""
    separator = max(SEPARATORS, key=lines[0].count) if lines else ","
    try:
        rows = [fields for fields in csv.reader(lines, delimiter=separator, strict=True) if any(map(str.strip, fields))]
    except csv.Error:
        return None
    if not rows or len(rows[0]) < 2:
        return None
    known = _headerless(path, rows) or _with_header(path, rows, is_there)
    if known is None:
        return None
    names = [known.field(tuple(fields), "path") for fields in rows[0 if known.headerless else 1 :] if len(fields) > 1]
    return known if any(map(is_there, names[:LOOKED_AT])) else None


def completed(known: ImageList, rows: Sequence[Row], faults: Faults) -> list[Row]:
    """The rows with the fields that `found_list` promised after their own: of a box, or the classes of marks."""
    if known.packed is not None:
        return [(line, (*fields, *_unpacked(fields[known.packed]))) for line, fields in rows]
    return marked_rows(known, rows, faults) if known.one_hot else list(rows)


def _headerless(path: DataPath, rows: list[list[str]]) -> ImageList | None:
    width, first = len(rows[0]), rows[:LOOKED_AT]
    if width == 8 and all(len(f) == 8 and _image_name(f[5]) and _four(f[1:5]) and _four(f[6:]) for f in first):
        columns = {"path": 5, "label": 0, "width": 6, "height": 7}
        return ImageList(path, columns, (1, 2, 3, 4), ("x", "y", "width", "height"), "coco", headerless=True)
    alike = [fields for fields in first if len(fields) == width and _image_name(fields[0])]
    if rows[0] not in alike or 2 * len(alike) <= len(first):
        return None
    if width == 6 and 2 * sum(_four(fields[1:5]) for fields in alike) > len(first):
        return ImageList(path, {"path": 0, "label": 5}, (1, 2, 3, 4), HEADERLESS[1:5], "edges", headerless=True)
    return ImageList(path, {"path": 0, "label": 1}, (), (), "", headerless=True) if width == 2 else None


def _with_header(path: DataPath, rows: list[list[str]], is_there: IsThere) -> ImageList | None:
    header, values = rows[0], [fields for fields in rows[1:] if len(fields) == len(rows[0])]
    known = header_list(path, header)
    columns = dict(known.columns)
    plain = [plain_name(name) for name in header]
    if "path" not in columns:
        places = [plain.index(name) for name in PATHS if plain.count(name) == 1] or list(range(len(header)))
        first = values[:LOOKED_AT]
        named = [k for k in places if 2 * sum(is_there(fields[k].strip()) for fields in first) > len(first)]
        if not named:
            return None
        columns["path"] = named[0]
    columns = {role: k for role, k in columns.items() if role == "path" or k != columns["path"]}
    known = replace(known, columns=columns)
    packed = next((plain.index(name) for name in BOX if plain.count(name) == 1), None)
    if packed is not None and not known.box:
        after = tuple(range(len(header), len(header) + 4))
        return replace(known, box=after, box_names=("x", "y", "width", "height"), suggested="coco", packed=packed)
    if known.box or "label" in columns:
        return known
    others = [k for k in range(len(header)) if k not in columns.values()]
    if len(others) > 1 and values and all(fields[k].strip() in BITS for fields in values for k in others):
        one_hot = tuple((k, header[k].strip()) for k in others)
        return replace(known, columns={**columns, "label": len(header)}, one_hot=one_hot)
    if len(others) == 1 and not any(_no_class(fields[others[0]]) for fields in values):
        return replace(known, columns={**columns, "label": others[0]})
    return None


def _no_class(text: str) -> bool:
    """Whether the text is a number that no class has, such as a price, or several numbers, such as run lengths."""
    numbers = [part for part in text.split() if number(part) is not None]
    return len(numbers) > 1 or (number(text.strip()) is not None and whole(text.strip()) is None)


def _image_name(text: str) -> bool:
    return text.strip().lower().endswith(tuple(IMAGE_SUFFIXES))


def _four(texts: Sequence[str]) -> bool:
    return not any(map(str.strip, texts)) or None not in [number(text.strip()) for text in texts]


def _unpacked(text: str) -> tuple[str, str, str, str]:
    """Four numbers as texts; four times the whole text where it is something else, so that messages show it."""
    parts = [part for part in re.split(r"[\s,;\[\]()]+", text) if part]
    if not parts or text.strip().lower() in ("nan", "none", "[]"):
        return "", "", "", ""
    return (parts[0], parts[1], parts[2], parts[3]) if len(parts) == 4 else (text, text, text, text)
