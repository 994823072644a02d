"""Numbers in text annotation, read strictly: what else `float()` takes (1_0, nan, other scripts' digits) is none."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"[+-]?\d{1,15}(\.0*)?", re.ASCII)
DIGITS = 15
"""Of a whole number that is read; those of more are rounded by other programs."""
LARGEST_SIDE = 1_000_000
"""Of an image, pixels."""
LONGEST = 64
"""Letters of a number."""


def number(text: str) -> float | None:
    """The decimal number; None where the text is none. A number too large for float64 is infinite."""
    return float(text) if NUMBER.fullmatch(text) else None


def whole(text: str) -> int | None:
    """The whole number of at most 15 digits, written as 3, 3.0 or 3.000e+00; None where the text is none."""
    if WHOLE.fullmatch(text):
        return int(text.partition(".")[0])
    if len(text) > LONGEST or not NUMBER.fullmatch(text):
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:  # An exponent beyond all that Decimal knows.
        return None
    return int(value) if value.adjusted() < DIGITS and value == value.to_integral_value() else None


def exact(value: Any) -> Any:
    """A float of JSON that is exactly whole as an int, as ids that went through pandas are; anything else as it is."""
    return int(value) if type(value) is float and value.is_integer() and abs(value) < 10**DIGITS else value
