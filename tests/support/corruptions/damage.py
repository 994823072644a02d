"""Ways to damage an annotation file, each labelled beforehand: must it be noticed, or does it change nothing?

A `Damage` takes a file's bytes and a random generator to other bytes (None: it does not apply here). `noticed`: reading
must end in a DataError. Otherwise reading must give the table that the sound file gives.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Apply = Callable[[bytes, random.Random], bytes | None]
NOT_NUMBERS = ("nan", "inf", "-inf", "1e400", "abc", "0x1F", "1,5", "--3", "1e", "\u4e8c")
HUGE = ("1e30", "9" * 30, "1e17")
JUNK = b"\xff\xfe\x00\x81\x00\xd8" * 7


@dataclass(frozen=True)
class Damage:
    """See the module. `files`: pattern of the names of the files that it is for."""

    name: str
    files: str
    noticed: bool
    apply: Apply
    says: str = ""
    """What the message must hold besides the file's name."""


@dataclass(frozen=True)
class Kit:
    """All damages of one format."""

    damages: list[Damage] = field(default_factory=list)

    def add(self, name: str, files: str, noticed: bool, apply: Apply, says: str = "") -> None:
        self.damages.append(Damage(name, files, noticed, apply, says))


def junk(data: bytes, draw: random.Random) -> bytes:
    """A file of another kind."""
    return JUNK


def emptied(data: bytes, draw: random.Random) -> bytes:
    return b""


def byte_order_mark(data: bytes, draw: random.Random) -> bytes:
    return b"\xef\xbb\xbf" + data


def windows_lines(data: bytes, draw: random.Random) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def blank_lines(data: bytes, draw: random.Random) -> bytes:
    return data + b"\n \n\n"


def invalid_utf8(data: bytes, draw: random.Random) -> bytes:
    """A byte that UTF-8 does not have, inside the text (after a letter or digit, so that no line ends there)."""
    at = [m.end() for m in re.finditer(rb"[A-Za-z0-9]", data)]
    k = draw.choice(at)
    return data[:k] + b"\xff\xfe" + data[k:]


def cut(closing: bytes) -> Apply:
    """The file ends before its last closing bracket, tag or quote."""

    def apply(data: bytes, draw: random.Random) -> bytes | None:
        end = data.rstrip().rfind(closing)
        return data[: draw.randrange(1, end)] if end > 1 else None

    return apply


def in_json(change: Callable[[dict, random.Random], bool]) -> Apply:
    """Load, change in place (False: does not apply), dump."""

    def apply(data: bytes, draw: random.Random) -> bytes | None:
        whole = json.loads(data)
        return json.dumps(whole).encode() if change(whole, draw) else None

    return apply


def set_key(table: str, key: str, values: Sequence[object]) -> Apply:
    """One record of a JSON list gets another value under `key` (callables are given the old one)."""

    def change(whole: dict, draw: random.Random) -> bool:
        records = [r for r in whole.get(table, []) if key in r]
        if not records:
            return False
        record, value = draw.choice(records), draw.choice(values)
        record[key] = value(record[key]) if callable(value) else value
        return True

    return in_json(change)


def drop_key(table: str, key: str) -> Apply:
    def change(whole: dict, draw: random.Random) -> bool:
        records = [r for r in whole.get(table, []) if key in r]
        if records:
            del draw.choice(records)[key]
        return bool(records)

    return in_json(change)


def drop_table(name: str) -> Apply:
    return in_json(lambda whole, draw: whole.pop(name, None) is not None)


def repeat_record(table: str) -> Apply:
    def change(whole: dict, draw: random.Random) -> bool:
        records = whole.get(table) or []
        if records:
            records.append(dict(draw.choice(records)))
        return bool(records)

    return in_json(change)


def shuffled(table: str) -> Apply:
    def change(whole: dict, draw: random.Random) -> bool:
        draw.shuffle(whole.get(table) or [])
        return True

    return in_json(change)


def in_line(separator: str, change: Callable[[list[str], random.Random], bool], first: int = 0) -> Apply:
    """Change the fields of one line in place; the first `first` lines (a header) are left alone."""

    def apply(data: bytes, draw: random.Random) -> bytes | None:
        lines = data.decode("utf-8-sig").splitlines()
        at = [k for k in range(first, len(lines)) if lines[k].strip()]
        draw.shuffle(at)
        for k in at:
            fields = lines[k].split(separator if separator != " " else None)
            if change(fields, draw):
                lines[k] = separator.join(fields)
                return ("\n".join(lines) + "\n").encode()
        return None

    return apply


def set_field(separator: str, column: int, values: Sequence[str], first: int = 0) -> Apply:
    """One line gets another value in a column."""

    def change(fields: list[str], draw: random.Random) -> bool:
        if len(fields) <= column:
            return False
        fields[column] = draw.choice(values)
        return True

    return in_line(separator, change, first)


def longer_name(fields: list[str], draw: random.Random) -> bool:
    """The first field gets a digit at its end: a name that is not there."""
    fields[0] += str(draw.randrange(10))
    return True


def drop_field(separator: str, column: int, first: int = 0) -> Apply:
    def change(fields: list[str], draw: random.Random) -> bool:
        if len(fields) <= column:
            return False
        del fields[column]
        return True

    return in_line(separator, change, first)


def swap_fields(separator: str, a: int, b: int, first: int = 0) -> Apply:
    """Two columns of one line change places; applies where they differ."""

    def change(fields: list[str], draw: random.Random) -> bool:
        if len(fields) <= max(a, b) or fields[a] == fields[b]:
            return False
        fields[a], fields[b] = fields[b], fields[a]
        return True

    return in_line(separator, change, first)


def in_tag(tag: str, values: Sequence[str]) -> Apply:
    """The text of one XML element becomes another."""

    def apply(data: bytes, draw: random.Random) -> bytes | None:
        found = list(re.finditer(f"(<{tag}>)([^<]*)(</{tag}>)".encode(), data))
        if not found:
            return None
        m = draw.choice(found)
        return data[: m.start(2)] + draw.choice(values).encode() + data[m.end(2) :]

    return apply


def without_tag(tag: str) -> Apply:
    """One XML element and what is in it is gone."""

    def apply(data: bytes, draw: random.Random) -> bytes | None:
        found = list(re.finditer(f"<{tag}>.*?</{tag}>".encode(), data, re.S))
        if not found:
            return None
        m = draw.choice(found)
        return data[: m.start()] + data[m.end() :]

    return apply


def plain_text(kit: Kit, files: str, empty_is_noticed: bool | None = True) -> None:
    """What any text file may suffer. empty_is_noticed None: an empty file has a meaning of its own in this format."""
    kit.add("junk", files, True, junk)
    kit.add("invalid UTF-8", files, True, invalid_utf8)
    kit.add("byte order mark", files, False, byte_order_mark)
    kit.add("Windows line ends", files, False, windows_lines)
    kit.add("blank lines at the end", files, False, blank_lines)
    if empty_is_noticed is not None:
        kit.add("empty", files, empty_is_noticed, emptied)


def voc_objects(kit: Kit, files: str) -> None:
    """VOC's XML."""
    plain_text(kit, files)
    kit.add("cut", files, True, cut(b"</annotation>"))
    kit.add("entity bomb", files, True, lambda d, r: b'<!DOCTYPE a [<!ENTITY b "x">]>' + d, "DOCTYPE")
    for corner in ("xmin", "ymin", "xmax", "ymax"):
        kit.add(f"{corner} no number", files, True, in_tag(corner, (*NOT_NUMBERS, "")))
    for corner in ("xmin", "ymin"):
        kit.add(f"{corner} huge", files, True, in_tag(corner, HUGE))
    for corner in ("xmax", "ymax"):
        kit.add(f"{corner} negative", files, True, in_tag(corner, ("-5", "-1e9")))
    for tag in ("name", "bndbox", "xmin", "ymax"):
        kit.add(f"no {tag}", files, True, without_tag(tag))
    kit.add("another root", files, True, lambda d, r: d.replace(b"annotation>", b"annotations>"))
    kit.add("spaces around numbers", files, False, lambda d, r: d.replace(b"<xmin>", b"<xmin> \n"))
    kit.add("an unknown tag", files, False, lambda d, r: d.replace(b"<object>", b"<object><pose>\xc3\xa9</pose>"))
