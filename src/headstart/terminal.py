"""The one place that writes to a terminal: answers on standard output, everything else on standard error.

What is printed holds names of files and classes and messages about them, which others have made. Characters in them
that command a terminal (colors, titles, a cursor that goes back over what was said), or turn the direction of the
text, are shown as their codes: `\\x1b[31m`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_COMMANDS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # marks of direction, separators of lines
    r"\ud800-\udfff]"  # bytes of a file's name that are no UTF-8
)


class OutputClosed(Exception):
    """Who read what is printed has enough, as `head` has: no fault, and nobody is told."""


def printable(text: str, one_line: bool = False) -> str:
    """The text with all that commands a terminal as codes; one_line: tabs and line feeds, too."""
    text = _COMMANDS.sub(_code, text)
    return text.replace("\n", "\\n").replace("\t", "\\t") if one_line else text


def say(text: str = "") -> None:
    """An answer: a line, or several, on standard output."""
    _write(printable(text) + "\n", sys.stdout)


def tell(text: str, stream: TextIO | None = None) -> None:
    """What is not the answer: a line on standard error, at once."""
    _write(printable(text) + "\n", stream or sys.stderr)


def over(text: str, last: bool) -> None:
    """A line that is written over the one before it, on a terminal only; `last` is not written over."""
    if sys.stderr.isatty():
        _write(f"\r\x1b[K{printable(text, one_line=True)}" + ("\n" if last else ""), sys.stderr)


def _code(found: re.Match[str]) -> str:
    number = ord(found[0])
    if 0xDC80 <= number <= 0xDCFF:  # how Python holds a byte that is no text
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def _write(text: str, stream: TextIO) -> None:
    with _named(stream):
        try:
            stream.write(text)
        except UnicodeEncodeError:  # a terminal that has not all characters
            encoding = stream.encoding or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        if stream is not sys.stdout:
            stream.flush()


def flush() -> None:
    """Write what was said and is not written yet. Raises OutputClosed, or OSError that says which output it is."""
    with _named(sys.stdout):
        sys.stdout.flush()


@contextmanager
def _named(stream: TextIO) -> Iterator[None]:
    """Faults of writing as those of this output."""
    try:
        yield
    except BrokenPipeError:
        raise OutputClosed("nobody reads the output any more") from None
    except OSError as fault:
        where = "standard error" if stream is sys.stderr else "standard output"
        raise OSError(fault.errno, f"{where}: {fault.strerror}") from fault


def bytes_text(count: int) -> str:
    """Such as 512 B, 1.5 MB or 20 GB (powers of 1000, as disks are sold and `du --si` counts)."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 9.95 else f"{size:.1f} {unit}"
