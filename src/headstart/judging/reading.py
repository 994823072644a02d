"""The text of a table: its encoding, its separator, its rows, its numbers."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import DataError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
BLANK = {"", "-", "--", "–", "—", "?", "na", "n/a", "nan", "none", "null", "missing", "#n/a"}
"""Texts, in lower case, that say there is no number."""
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
WITH_COMMA = re.compile(r"[+-]?\d+,\d+(?:e[+-]?\d+)?", re.IGNORECASE)
SPREAD = re.compile(r"±|\+/-|\\pm|\(\s*[\d.]+\s*\)|\[.*\]")
PERCENT_NOTE = "scores are written with a percent sign"
MAGIC = {b"PK": "an Excel or zip file", b"PAR1": "a Parquet file", b"\x1f\x8b": "a gzip file", b"%PDF": "a PDF"}


@dataclass(frozen=True)
class Rows:
    """A table as text. lines: the line in the file of each row; comma: whether decimals are written with a comma."""

    path: str
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    separator: str
    notes: list[str]

    def where(self, row: int) -> str:
        """Place of a row for messages."""
        return f"{self.path}, row {self.lines[row]}"

    def column(self, place: int) -> list[str]:
        """The texts of a column."""
        return [row[place] for row in self.rows]


def read_rows(path: Path) -> Rows:
    """Raises DataError for what is no table of text, with the row where one is at fault."""
    text, notes = _text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise DataError(f"{path}: the file is empty. It needs a header and rows: data set, model, score.")
    separator = max(SEPARATORS, key=first.count)
    if first.count(separator) == 0:
        raise DataError(
            f"{path}, row 1: one column only ({first.strip()[:60]!r}). Columns are separated by commas, semicolons or "
            "tabs."
        )
    if separator != ",":
        notes.append(f"columns are separated by {SEPARATORS[separator]}")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    header: list[str] = []
    rows, lines = [], []
    try:
        for row in reader:
            cells = [" ".join(cell.split()) for cell in row]  # a quoted cell may hold line ends
            if not any(cells):
                continue
            if not header:
                header = cells
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{path}, row {reader.line_num}: {len(cells)} fields, the header has {len(header)}. Put texts that "
                    f"hold the separator ({separator!r}) in quotes, and write every field, empty ones too."
                )
            rows.append(cells)
            lines.append(reader.line_num)
    except csv.Error as fault:
        raise DataError(f"{path}, row {reader.line_num}: {fault}. Save the table as plain CSV again.") from fault
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(f"{path}: two columns are called {twice[0]!r}. Rename or remove one.")
    if not rows:
        raise DataError(f"{path}: a header and no rows. Each row gives a data set, a model and its score.")
    return Rows(str(path), header, rows, lines, separator, notes)


def numbers(rows: Rows, places: list[int]) -> tuple[list[list[float]], list[str]]:
    """Columns of numbers, nan where a cell is blank, and notes. One notation holds for all of them.

    Raises DataError with the row for a text that is no number.
    """
    columns = [rows.column(place) for place in places]
    filled = [c for column in columns for c in column if c.lower() not in BLANK]
    notes = []
    comma = any(WITH_COMMA.fullmatch(c.rstrip("% ")) for c in filled) and not any("." in c for c in filled)
    if comma:
        notes.append("decimals are written with a comma")
    if any(c.endswith("%") for c in filled):
        notes.append(PERCENT_NOTE)
    out = []
    for place, column in zip(places, columns, strict=True):
        out.append([_number(cell, rows, row, place, comma=comma) for row, cell in enumerate(column)])
    return out, notes


def any_number(column: list[str]) -> bool:
    """Whether a cell of the column is a number."""
    return any(NUMBER.fullmatch(c) or WITH_COMMA.fullmatch(c) for c in (cell.rstrip("% ") for cell in column))


def counts(rows: Rows, place: int) -> list[int]:
    """Numbers of images, 0 where a cell is blank; 1,000 and 1.000 are a thousand."""
    out = []
    for row, cell in enumerate(rows.column(place)):
        digits = re.sub(r"[,.\s_'](?=\d{3}(?:\D|$))", "", cell)
        if cell.lower() in BLANK:
            out.append(0)
        elif not re.fullmatch(r"\d+(\.0*)?", digits) or float(digits) < 1:
            raise DataError(
                f"{rows.where(row)}: {rows.header[place]} is {cell!r}; a number of images is a whole number above 0. "
                "Correct it, or leave it empty."
            )
        else:
            out.append(int(float(digits)))
    return out


def _number(cell: str, rows: Rows, row: int, place: int, *, comma: bool) -> float:
    if cell.lower() in BLANK:
        return math.nan
    text = cell.rstrip("% ").replace("−", "-")
    text = text.replace(",", ".") if comma else text
    if NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    advice = "Write one number, or leave the cell empty where there is none."
    if SPREAD.search(cell):
        advice = "Give the mean alone, or better a row for each seed: what spreads is told from the seeds."
    elif WITH_COMMA.fullmatch(text):
        advice = "Some numbers have a decimal comma and some a decimal point: write all of them in one way."
    raise DataError(f"{rows.where(row)}: {rows.header[place]} is {cell!r}, which is no number. {advice}")


def _text(path: Path) -> tuple[str, list[str]]:
    if path.is_dir():
        raise DataError(f"{path}: a folder. Name the table itself, a CSV file.")
    if not path.exists():
        near = sorted(p.name for p in path.parent.glob("*.[ct]sv"))[:3] if path.parent.is_dir() else []
        there = f" Tables there: {', '.join(near)}." if near else ""
        raise DataError(f"{path}: no such file.{there} Check the path.")
    data = path.read_bytes()
    for magic, what in MAGIC.items():
        if data.startswith(magic):
            raise DataError(f"{path}: {what}, not text. Save the table as CSV.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16"), ["the text is UTF-16"]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), ["the text is not UTF-8 and is read as Windows-1252"]
    if "\0" in text:
        raise DataError(f"{path}: binary, not text. Save the table as CSV.")
    return text, []
