"""Changes of bytes, of the words of a text, and of pieces that a file is made of."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

Change = Callable[[bytes, Random], bytes]

BYTES = (0x00, 0x01, 0x0A, 0x0D, 0x20, 0x22, 0x2C, 0x2E, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)
CHUNKS = (
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xff" * 9,
    b"\0" * 64,
    b"\r\n",
    b"\x1b[31m",
    b"\xed\xa0\x80",
    b"\xc3\x28",
    "\u202e\u00e9\u732b".encode(),
    b"{",
    b"[" * 3000,
    b"A" * 5000,
    b"../../x",
    b"'\"\\",
)
INTEGERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**62, 2**63 - 1, 2**63)
INTEGERS += (2**64 - 1, 2**40, 1_000_000)
NUMBERS = (
    *("0", "-1", "-0", "1", "0.5", "-0.5", "1.5", "2", "255", "65536", "2147483648", "9223372036854775808"),
    *("18446744073709551616", "-9223372036854775809", "1e308", "-1e308", "1e309", "5e-324", "1e-9", "nan", "NaN"),
    *("inf", "-inf", "Infinity", "1e", "0x10", "1_000", "007", "+3", "1,5", "\u0663", "9" * 400, "9" * 5000, "1e17"),
)
WORDS = (
    *("", '""', "null", "true", "false", "None", "~", "[]", "{}", "[[]]", "\0", "a b", "\u00e9", "\U0001f600"),
    *("../../../etc/passwd", "/dev/zero", "a" * 300, "a/" * 2000, "<b>", "&amp;", "\x1b[2J", "-", ".", "..", "*", "%s"),
    *("con", "x.jpg", "\ufeff", "\u2028", "=", ":", "#", ";", "\\", "//", "http://[", "file:///", "data:x"),
)
TOKENS = re.compile(r'"[^"\n]*"|[A-Za-z_][\w.-]*|[-+]?\d[\d.]*(?:[eE][-+]?\d+)?|\s+|.', re.DOTALL)


def times(draw: Random) -> int:
    """How often one input is changed: mostly once or twice, so that most of it stays valid."""
    return draw.choice((1, 1, 1, 1, 2, 2, 3, 6))


def of_bytes(content: bytes, draw: Random) -> bytes:
    """Any bytes."""
    data = bytearray(content)
    for _ in range(times(draw)):
        _one_of_bytes(data, draw)
    return bytes(data)


def _one_of_bytes(data: bytearray, draw: Random) -> None:
    at = draw.randrange(len(data) + 1)
    end = min(len(data), at + draw.choice((1, 2, 4, 8, 33, 300)))
    what = draw.randrange(9)
    if what == 0 and at < len(data):
        data[at] ^= 1 << draw.randrange(8)
    elif what == 1 and at < len(data):
        data[at] = draw.choice(BYTES)
    elif what == 2:
        data[at:at] = draw.choice(CHUNKS)
    elif what == 3:
        del data[at:end]
    elif what == 4:
        data[at:at] = data[at:end] * draw.choice((1, 1, 2, 50))
    elif what == 5:
        del data[at:]
    elif what == 6:
        number = packed(draw, draw.choice((1, 2, 4, 8)))
        data[at : at + len(number)] = number
    elif what == 7:
        other = draw.randrange(len(data) + 1)
        data[at:end] = data[other : other + end - at]
    else:
        data[0:0] = draw.choice(CHUNKS)


def packed(draw: Random, size: int) -> bytes:
    """A number of so many bytes at the edge of what they hold."""
    order = draw.choice(("<", "<", ">"))
    number = draw.choice(INTEGERS) & ((1 << 8 * size) - 1)
    return struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size], number)


def of_words(content: bytes, draw: Random) -> bytes:
    """The words, numbers and signs of a text."""
    words = TOKENS.findall(content.decode("utf-8", "surrogateescape"))
    for _ in range(times(draw)):
        if words:
            _one_of_words(words, draw)
    return "".join(words).encode("utf-8", "surrogateescape")


def _one_of_words(words: list[str], draw: Random) -> None:
    at, what = draw.randrange(len(words)), draw.randrange(8)
    while words[at].isspace() and draw.random() < 0.8:
        at = draw.randrange(len(words))
    if what < 3:
        numbers = words[at].lstrip("+-")[:1].isdigit() or draw.random() < 0.2
        new = draw.choice(NUMBERS if numbers else WORDS)
        words[at] = f'"{new}"' if words[at].startswith('"') and draw.random() < 0.8 else new
    elif what == 3:
        del words[at]
    elif what == 4:
        words[at:at] = words[at : at + draw.choice((1, 3, 9))] * draw.choice((1, 1, 1, 40))
    elif what == 5:
        other = draw.randrange(len(words))
        words[at], words[other] = words[other], words[at]
    elif what == 6:
        words.insert(at, draw.choice((*"[]{}()<>,:;=\"'#&*!|%@`\n\t", "[[", "]]", '"""')))
    else:
        del words[at : at + draw.choice((2, 10, 100))]


def of_lines(content: bytes, draw: Random) -> bytes:
    """The lines of a text, and where they end."""
    lines = content.splitlines(keepends=True)
    for _ in range(times(draw)):
        at, what = draw.randrange(len(lines) + 1), draw.randrange(6)
        if what == 0:
            del lines[at : at + 1]
        elif what == 1 and at < len(lines):
            lines[at:at] = [lines[at]] * draw.choice((1, 2, 300))
        elif what == 2:
            lines.insert(at, draw.choice((b"\n", b"\r", b" \n", b"\0\n", b"#\n", b",,,\n", b"x\n", b"-1 " * 9 + b"\n")))
        elif what == 3 and lines:
            draw.shuffle(lines)
        elif what == 4:
            lines = [line.rstrip(b"\r\n") + draw.choice((b"\r\n", b"\r", b"\n\n")) for line in lines]
        elif at < len(lines):
            lines[at] = lines[at].rstrip(b"\r\n")
    return b"".join(lines)


def of_cells(content: bytes, draw: Random) -> bytes:
    """The fields of lines, apart by commas or spaces."""
    separator = b"," if content.count(b",") > content.count(b" ") else b" "
    rows = [line.split(separator) for line in content.split(b"\n")]
    for _ in range(times(draw)):
        row = draw.choice(rows)
        at, what = draw.randrange(len(row)), draw.randrange(6)
        if what < 3:
            row[at] = draw.choice(NUMBERS if draw.random() < 0.6 else WORDS).encode("utf-8", "surrogatepass")
        elif what == 3 and len(row) > 1:
            del row[at]
        elif what == 4:
            row.insert(at, draw.choice(row))
        else:
            row[at] = draw.choice(draw.choice(rows))
    return b"\n".join(map(separator.join, rows))


def either(*changes: Change) -> Change:
    """One of these."""

    def change(content: bytes, draw: Random) -> bytes:
        return draw.choice(changes)(content, draw)

    return change


def pieces_changed(pieces: Sequence[bytes], draw: Random, others: Sequence[bytes] = ()) -> list[bytes]:
    """The pieces of a file (fields, instructions), some left out, doubled, exchanged, replaced by others, or set to a
    number at the edge of what they hold."""
    changed = list(pieces)
    for _ in range(times(draw)):
        at, what = draw.randrange(len(changed)) if changed else 0, draw.randrange(7)
        if not changed or what == 0:
            changed.insert(at, draw.choice(others or pieces))
        elif what == 1:
            del changed[at]
        elif what == 2:
            changed[at:at] = changed[at : at + draw.choice((1, 2, 8))] * draw.choice((1, 1, 30))
        elif what == 3:
            other = draw.randrange(len(changed))
            changed[at], changed[other] = changed[other], changed[at]
        elif what == 4:
            changed[at] = draw.choice(others or pieces)
        elif what == 5 and len(changed[at]) in (1, 2, 4, 8):
            changed[at] = packed(draw, len(changed[at]))
        else:
            changed[at] = of_bytes(changed[at], draw) if len(changed[at]) > 1 else packed(draw, 1)
    return changed
