"""COCO's results whose records are all laid out alike, read as a table of numbers: nothing is compiled for it.

Nearly all files of results are written by one call of `json.dump`, so that all text but the numbers is the same in
every record. A part of the file that is so is cut into columns and read by Arrow's reader of CSV; numbers that JSON
does not know, such as 01 or 1., are read for what they say. Whatever is not exactly so (names in place of numbers,
further keys) is left to the readers of `headstart.data.results.records`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

KEYS = ("image_id", "category_id", "bbox", "score")
PART = 1 << 21
"""Bytes that are read at once: more would not stay in the processor's cache from one step to the next."""
HEAD = 1 << 14
"""Bytes within which the first two records are."""
NUMERIC = b"0123456789+-.E"
"""What numbers are made of once `e` is written as `E`, which tells it from the letter of the keys."""
AS_COLUMNS = bytes.maketrans(b"}:[]\n\r\t", b"\n,,,   ")
"""A line for each record. Each number is a column of its own; what is left of the keys and brackets, blanks, others."""
NO_COLUMN = bytes(set(range(256)) - set(b"}:[],\n\r\t " + NUMERIC))


class Numbers(NamedTuple):
    """images, classes (d,): ids. boxes (d, 4), scores (d,): as written."""

    images: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """What is the same in all records. text: all but the numbers of a record, and what is `between` two before it.
    columns: where in a line the numbers are, in the order of `KEYS`. blanks: what the others hold. width: of a line."""

    between: bytes
    text: bytes
    columns: tuple[int, ...]
    blanks: tuple[str, ...]
    width: int


def read_alike(path: Path) -> Numbers | None:
    """The records of a file in which all are laid out alike; None where they are not. Raises OSError."""
    if not path.is_file():
        return None  # What is read once only is left to the next reader.
    with path.open("rb") as file:
        head = file.read(PART)
        layout = layout_of(head[:HEAD])
        if layout is None:
            return None
        # Rows that are never written to cost nothing.
        most = os.fstat(file.fileno()).st_size // (len(layout.text) + len(layout.columns)) + 1
        found = Numbers(np.empty(most, np.int64), np.empty(most, np.int64), np.empty((most, 4)), np.empty(most))
        count = 0
        for part in _parts(file, head, layout):
            columns = None if part is None else _columns(part, layout)
            if columns is None or count + len(columns[0]) > most:
                return None
            rows = slice(count, count + len(columns[0]))
            for into, values in zip([found.images, found.classes, *found.boxes.T, found.scores], columns, strict=True):
                into[rows] = values
            count = rows.stop
    found = Numbers(found.images[:count], found.classes[:count], found.boxes[:count], found.scores[:count])
    return found if np.isfinite(found.boxes).all() and np.isfinite(found.scores).all() else None


def _parts(file: BinaryIO, rest: bytes, layout: Layout) -> Iterator[bytes | None]:
    """Whole records, each with what is between two in front of it; None where the file does not end as it should.
    rest: what was read already."""
    rest = layout.between + rest[rest.index(b"{") :]
    while rest:
        end = rest.rfind(b"}") + 1
        if end:
            yield rest[:end]
        more = file.read(PART)
        if not more and rest[end:].strip() != b"]":
            yield None
        rest = rest[end:] + more if more else b""


def layout_of(head: bytes) -> Layout | None:
    """Of the first record; None where it has other keys or values, or no second one follows within `head`."""
    try:
        text = head.decode("ascii")
        begin = text.index("{")
        record, end = json.JSONDecoder().raw_decode(text, begin)
        second = text.index("{", end)
    except (ValueError, RecursionError):
        return None
    if text[:begin].strip() != "[" or text[end:second].strip() != "," or not _is_usual(record):
        return None
    between = text[end:second].encode()
    whole = bytes(_with_signs(between + text[begin:end].encode()))
    fields = whole.translate(AS_COLUMNS, NO_COLUMN).rstrip(b"\n").split(b",")
    filled = iter([c for c, value in enumerate(fields) if value.strip()])
    places = {key: [next(filled) for _ in range(4 if key == "bbox" else 1)] for key in record}
    columns = tuple(c for key in KEYS for c in places[key])
    blanks = {value.decode() for c, value in enumerate(fields) if c not in columns}
    return Layout(between, whole.translate(None, NUMERIC), columns, tuple(blanks), len(fields))


def _is_usual(record: object) -> bool:
    """Whether it has these keys, each once, and finite numbers for all of them: only these are written in digits."""
    if not isinstance(record, dict) or sorted(record) != sorted(KEYS):
        return False
    box = record["bbox"]
    ids = [record["image_id"], record["category_id"]]
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(type(number) is int for number in ids)
        and all(type(n) in (int, float) and abs(n) <= sys.float_info.max for n in (*box, record["score"]))
    )


def _with_signs(text: bytes | bytearray) -> bytearray:
    """Exponents that have a sign by a large E."""
    out = bytearray(text)
    codes = np.frombuffer(out, np.uint8)
    signs = np.flatnonzero((codes == ord("-")) | (codes == ord("+")) if b"+" in out else codes == ord("-"))
    exponents = signs[codes[signs - 1] == ord("e")]
    codes[exponents - 1] = ord("E")
    return out


def _columns(part: bytes, layout: Layout) -> list[NDArray] | None:
    """The 7 columns of some records; None where they are not laid out so."""
    import pyarrow as pa
    from pyarrow import csv

    text = _with_signs(part)
    rest = text.translate(None, NUMERIC)
    if rest != layout.text * (len(rest) // len(layout.text)):
        return None
    names = [f"{c}" for c in range(layout.width)]
    types = dict.fromkeys(names, pa.null()) | {
        names[c]: pa.int64() if at < 2 else pa.float64() for at, c in enumerate(layout.columns)
    }
    try:
        table = csv.read_csv(
            pa.py_buffer(text.translate(AS_COLUMNS, NO_COLUMN)),
            csv.ReadOptions(column_names=names, use_threads=False, block_size=2 * PART),
            csv.ParseOptions(quote_char=False, double_quote=False),
            csv.ConvertOptions(column_types=types, null_values=list(layout.blanks)),
        )
    except pa.ArrowInvalid:
        return None
    return [
        values_of(table.column(c).chunks, np.int64 if at < 2 else np.float64) for at, c in enumerate(layout.columns)
    ]


def values_of(chunks: list, dtype: type) -> NDArray:
    """Through the buffers: `to_numpy` of a column imports pandas where that is installed."""
    return np.concatenate([np.frombuffer(c.buffers()[1], dtype, len(c), 8 * c.offset) for c in chunks])
