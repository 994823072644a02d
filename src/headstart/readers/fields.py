"""Numbers in text annotation, read strictly: what else `float()` takes (1_0, nan, other scripts' digits) is none."""

from __future__ import annotations

import re

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"[+-]?\d{1,15}(\.0*)?", re.ASCII)


def number(text: str) -> float | None:
    """The decimal number; None where the text is none. A number too large for float64 is infinite."""
    return float(text) if NUMBER.fullmatch(text) else None


def whole(text: str) -> int | None:
    """The whole number of at most 15 digits, written as 3 or 3.0; None where the text is none."""
    return int(text.partition(".")[0]) if WHOLE.fullmatch(text) else None
