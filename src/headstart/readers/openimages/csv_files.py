"""Rows of Open Images CSV files as columns: read in chunks, through one compiled pass, whatever the file's size.

`ImageID, LabelName, XMin, XMax, YMin, YMax` and the flags may stand in any order among other columns; they are found by
the header. Fields are plain: quotes are taken off line by line where there are any, which takes ten times as long.
"""

from __future__ import annotations

import codecs
import csv
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.data.faults import Fault, Faults
from headstart.data.flags import DEPICTION, GROUP_OF, INSIDE, OCCLUDED, TRUNCATED, UNKNOWN_FLAGS
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.openimages import compiled_pass as one_pass
from headstart.readers.openimages.compiled_pass import FLAG
from headstart.readers.openimages.fields import NEWLINE, UNIT, slots_of

NEEDED = {"ImageID": one_pass.IMAGE, "LabelName": one_pass.LABEL}
CORNERS = {"XMin": one_pass.X1, "XMax": one_pass.X2, "YMin": one_pass.Y1, "YMax": one_pass.Y2}
CONFIDENCE = {"Confidence": one_pass.CONFIDENCE}
FLAGS = {
    "IsOccluded": OCCLUDED,
    "IsTruncated": TRUNCATED,
    "IsGroupOf": GROUP_OF,
    "IsDepiction": DEPICTION,
    "IsInside": INSIDE,
}
assert UNKNOWN_FLAGS == 1 << one_pass.UNKNOWN_BIT
CHUNK = 1 << 23
"""Bytes read at a time; few enough to stay in the processor's cache."""
SPARE = 16
LONGEST_LINE = 1 << 16
USUAL_ROW = 64
"""Bytes; official rows have 75 and more."""
FAULTS_AT_ONCE = 1024
UNREADABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile)
"""What reading a file raises that is damaged, or in a damaged archive."""


class TooFine(Exception):
    """Coordinates with more than nine decimals, which only float64 keeps."""


@dataclass
class Rows:
    """What was read so far; grows. Rows of one image are a *run* where they follow one another; a file begins one."""

    faults: Faults
    classes: Sequence[str]
    """Ids that `LabelName` may be; a label is an index into them, -1 in a row that is left out."""
    described: str
    """Name of the file that lists them."""
    with_boxes: bool
    """Corners and flags (True), or confidences (False): 1 present, 0 absent, in `flags`."""
    in_floats: bool = False
    boxes: NDArray[Any] = field(init=False)
    """(rows, 4) x1, y1, x2, y2: int32 in parts of `openimages_fields.UNIT`, or float64."""
    labels: NDArray[np.integer] = field(init=False)
    flags: NDArray[np.uint8] = field(init=False)
    run_rows: NDArray[np.int64] = field(init=False)
    run_ids: NDArray[np.int64] = field(init=False)
    id_bytes: NDArray[np.uint8] = field(init=False)
    state: NDArray[np.int64] = field(init=False)
    files: list[tuple[DataPath, int]] = field(init=False, default_factory=list)
    """Every file with the number of its first run."""
    left_out: int = field(init=False, default=0)
    notes: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.boxes = np.empty((0, 4), np.float64 if self.in_floats else np.int32)
        self.labels = np.empty(0, np.int16 if len(self.classes) < 2**15 else np.int32)
        self.flags, self.id_bytes = np.empty(0, np.uint8), np.empty(0, np.uint8)
        self.run_rows, self.run_ids = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self.state = np.zeros(9, np.int64)

    def __len__(self) -> int:
        return int(self.state[one_pass.ROWS])

    @property
    def num_runs(self) -> int:
        return int(self.state[one_pass.RUNS])

    def image_ids(self) -> pa.LargeStringArray:
        """Image id of every run."""
        buffers = (pa.py_buffer(self.run_ids[: self.num_runs + 1]), pa.py_buffer(self.id_bytes))
        return pa.LargeStringArray.from_buffers(self.num_runs, *buffers)

    def all_runs_differ(self) -> bool:
        """Whether no image has two runs, told by hashes of 64 bits; False may be wrong, and only costs time."""
        hashes = np.sort(one_pass.hashes(self.id_bytes, self.run_ids[: self.num_runs + 1]))
        return bool((hashes[1:] != hashes[:-1]).all())

    def image_of(self, row: int) -> str:
        """Image id of a row."""
        run = int(np.searchsorted(self.run_rows[: self.num_runs], row, side="right")) - 1
        return self.id_bytes[self.run_ids[run] : self.run_ids[run + 1]].tobytes().decode()

    def make_room(self, rows: int, id_bytes: int = 0) -> None:
        """For so many more rows and bytes of ids. Memory is taken when it is written to, so too much costs nothing."""
        needed = len(self) + rows
        if needed > len(self.labels):
            size = max(needed, len(self) * 5 // 4)
            self.labels, self.flags = _longer(self.labels, size), _longer(self.flags, size)
            self.run_rows, self.run_ids = _longer(self.run_rows, size + 1), _longer(self.run_ids, size + 1)
            if self.with_boxes:
                self.boxes = _longer(self.boxes, size)
        used = int(self.state[one_pass.ID_BYTES])
        if used + id_bytes > len(self.id_bytes):
            self.id_bytes = _longer(self.id_bytes, 2 * (used + id_bytes))


def _longer(array: NDArray[Any], size: int) -> NDArray[Any]:
    grown = np.empty((size, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown


def read_csv(paths: Sequence[DataPath], rows: Rows) -> None:
    """All rows of the files, appended to `rows`; those at fault have label -1.

    Raises DataError for a file or header that cannot be read, and for rows as `rows.faults` says; TooFine when
    coordinates need `in_floats`.
    """
    rows.make_room(sum(path.size() for path in paths) // USUAL_ROW)
    for path in paths:
        rows.files.append((path, rows.num_runs))
        try:
            with path.open() as file:
                _File(path, rows, file).read()
        except UNREADABLE as error:
            raise DataError(f"{path}: cannot be read to its end ({error}). Fetch or export it again.") from error


class _File:
    """One file while it is read. Line 1 is the header."""

    def __init__(self, path: DataPath, rows: Rows, file: BinaryIO) -> None:
        self.path, self.rows, self.file = path, rows, file
        header = file.readline(LONGEST_LINE)
        self.columns = _header(header, path)
        self.roles = _roles(self.columns, rows, path)
        self.names = np.array(memoryview("".join(rows.classes).encode()), np.uint8)
        lengths = [len(name.encode()) for name in rows.classes]
        self.name_offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.slots = slots_of(self.names, self.name_offsets)
        self.buffer = np.zeros(CHUNK + SPARE, np.uint8)
        self.odd_lines: dict[int, str] = {}
        """Line -> why it is no plain text; such lines are handed on cut short, so that they are faults."""
        rows.state[one_pass.LINE], rows.state[one_pass.FIRST_RUN] = 1, rows.num_runs

    def read(self) -> None:
        begun, view = 0, self.buffer.data
        while count := self.file.readinto(view[begun:CHUNK]):  # type: ignore[attr-defined]
            total = begun + count
            end = total - _length_of_last(self.buffer, total)
            if not end and total == CHUNK:
                raise DataError(
                    f"{self.path}: line {self.rows.state[one_pass.LINE] + 1} is longer than {CHUNK} bytes. "
                    "Check that this is a CSV file."
                )
            self._take(self.buffer, end)
            self.buffer[: total - end] = self.buffer[end:total]
            begun = total - end
        if begun:
            self.rows.notes.append(f"{self.path}: no line break at its end; if it was cut, rows are missing")
            self.buffer[begun] = NEWLINE
            self._take(self.buffer, begun + 1)

    def _take(self, chunk: NDArray[np.uint8], end: int) -> None:
        if any(one_pass.odd_bytes(chunk[:end])):
            plain = self._plain_lines(chunk[:end].tobytes())
            chunk, end = np.array(memoryview(plain + bytes(SPARE)), np.uint8), len(plain)
        rows, state = self.rows, self.rows.state
        faults, hard = np.empty((FAULTS_AT_ONCE, 5), np.int64), np.empty((FAULTS_AT_ONCE, 3), np.int64)
        state[one_pass.AT] = 0
        while state[one_pass.AT] < end:
            left = int(end - state[one_pass.AT])
            # A sound row has a comma or line break for each column, and an id; one at fault may be two bytes.
            rows.make_room(left // (len(self.roles) + 1) + FAULTS_AT_ONCE + 1, left)
            first_row, first_line = len(rows), int(state[one_pass.LINE]) + 1
            one_pass.parse(
                chunk,
                end,
                self.roles,
                self.names,
                self.name_offsets,
                self.slots,
                rows.boxes,
                rows.labels,
                rows.flags,
                rows.run_rows,
                rows.run_ids,
                rows.id_bytes,
                state,
                faults,
                hard,
            )
            if state[one_pass.TOO_FINE]:
                raise TooFine
            for row, corner, at in hard[: state[one_pass.HARD]].tolist():
                rows.boxes[row, corner] = float(_text(chunk, at).partition(",")[0])
            reports = faults[: state[one_pass.FAULTS]]
            for line, at, wrong, column, row in reports[reports[:, 2] != one_pass.BLANK].tolist():
                self._report(chunk, line, at, wrong, column=column, row=row)
            if rows.with_boxes:
                self._settle(first_row, first_line, reports[reports[:, 4] < 0, 0].tolist())

    def _plain_lines(self, chunk: bytes) -> bytes:
        """The lines without quotes, those that are no UTF-8 or not quoted right cut short."""
        out, first = [], int(self.rows.state[one_pass.LINE]) + 1
        for number, line in enumerate(chunk.split(b"\n")[:-1], first):
            try:
                text = line.decode()
                fields = next(csv.reader([text.rstrip("\r")], strict=True), [""]) if '"' in text else []
                if any(mark in part for part in fields for mark in ',"\n'):
                    raise csv.Error("a field holds a comma or a quote")
                out.append(",".join(fields).encode() if fields else line)
            except (UnicodeDecodeError, csv.Error) as error:
                what = "no UTF-8 text" if isinstance(error, UnicodeDecodeError) else "not quoted as CSV is"
                self.odd_lines[number] = f"is {what} ({error})"
                name = line.partition(b",")[0].strip(b'"')
                out.append(name if name.strip() and name.isascii() else b",")
        return b"\n".join([*out, b""])

    def _report(self, chunk: NDArray[np.uint8], line: int, at: int, wrong: int, *, column: int, row: int) -> None:
        """A row that is at fault, by its text."""
        if row >= 0:
            self.rows.left_out += 1
        text = _text(chunk, at)
        fields = text.split(",")
        value, name = fields[column] if column < len(fields) else "", self.columns[column]
        rule, fix = "line-malformed", "Correct the line, or fetch the file again"
        if line in self.odd_lines:
            why = self.odd_lines.pop(line)
        elif len(fields) != len(self.columns) and text:
            why = f"has {len(fields)} columns, the header {len(self.columns)}"
        elif wrong == one_pass.UNKNOWN_LABEL:
            rule, why = "label-unknown", f"names the class {value!r}, which {self.rows.described} does not list"
            fix = "Correct it, or use the descriptions that belong to this file"
        elif wrong == one_pass.NO_IMAGE:
            why = f"has no image id that could name a file ({value!r})"
        elif name in CORNERS and value.strip().lower().lstrip("+-") in ("nan", "inf", "infinity"):
            why = f"has {value} for {name}, which is no position"
            return self.rows.faults.box(
                Fault("box-not-finite", str(self.path), f"line {line}", why, "Correct the file")
            )
        else:
            expected = "a number" if name in CORNERS else "0, 1 or -1" if name in FLAGS else "0 or 1"
            why = f"has {value!r} for {name}, which is not {expected}"
        return self.rows.faults.record(Fault(rule, str(self.path), f"line {line}", why, fix))

    def _settle(self, first_row: int, first_line: int, not_kept: list[int]) -> None:
        """Boxes that cannot be, among the rows from `first_row` on; their labels become -1."""
        rows = self.rows
        one = UNIT if rows.boxes.dtype == np.int32 else 1
        odd = first_row + one_pass.suspects(rows.boxes[first_row : len(rows)], one)
        odd = odd[rows.labels[odd] >= 0]
        if not len(odd):
            return
        lines = odd - first_row + first_line
        for line in sorted(not_kept):
            lines[lines >= line] += 1

        def record(k: int) -> tuple[str, str]:
            label = rows.classes[int(rows.labels[odd[k]])]
            return str(self.path), f"line {lines[k]} (image {rows.image_of(int(odd[k]))}, class {label})"

        values = rows.boxes[odd] / one
        near = np.asarray(((values >= -one_pass.BEYOND) & (values <= 1 + one_pass.BEYOND)).all(1))
        for k in np.flatnonzero(~near).tolist():
            why = f"has ({', '.join(f'{v:.10g}' for v in values[k])}), and fractions of the image go from 0 to 1"
            rows.faults.box(Fault("box-not-relative", *record(k), why, "Divide pixels by the image's width and height"))
        kept = near.copy()
        some = np.flatnonzero(near)
        kept[some] = rows.faults.settle_boxes(
            values[some], "relative", np.zeros(2, np.int64), lambda k: record(int(some[k]))
        )
        rows.left_out += int((~kept).sum())
        rows.labels[odd[~kept]] = -1


def _header(line: bytes, path: DataPath) -> list[str]:
    try:
        text = line.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: line 1 is no UTF-8 text ({error}). Save it again as plain text.") from error
    if not text.endswith("\n"):
        raise DataError(f"{path}: line 1 is no header of a CSV file that has rows. Fetch the file again.")
    return [name.strip().strip('"') for name in text.split(",")]


def _roles(columns: list[str], rows: Rows, path: DataPath) -> NDArray[np.int8]:
    """What each column is. Raises DataError when one is lacking or stands twice."""
    needed = NEEDED | (CORNERS if rows.with_boxes else CONFIDENCE)
    for name in needed:
        if name not in columns:
            raise DataError(
                f"{path}: line 1 names no column {name!r}. Found: {', '.join(columns)[:200]}. "
                "Put back the header of the official file."
            )
    flags = {name: FLAG + bit.bit_length() - 1 for name, bit in FLAGS.items()} if rows.with_boxes else {}
    known = needed | flags
    twice = [name for name in known if columns.count(name) > 1]
    if twice:
        raise DataError(f"{path}: line 1 names the column {twice[0]!r} twice. Take one of them out.")
    lacking = [name for name in flags if name not in columns]
    if lacking:
        rows.notes.append(f"{path}: no column {', '.join(lacking)}; such boxes are taken as having none of them")
    return np.array([known.get(name, one_pass.IGNORED) for name in columns], np.int8)


def _length_of_last(buffer: NDArray[np.uint8], end: int) -> int:
    """Bytes after the last line break."""
    back = 256
    while True:
        breaks = np.flatnonzero(buffer[max(end - back, 0) : end] == NEWLINE)
        if len(breaks):
            return min(back, end) - int(breaks[-1]) - 1
        if back >= end:
            return end
        back *= 8


def _text(chunk: NDArray[np.uint8], at: int) -> str:
    """What is left of a line from a byte on."""
    return chunk[at : at + LONGEST_LINE].tobytes().partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
