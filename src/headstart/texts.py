"""Texts of others read as values: JSON and TOML. What they hold that no file can mean is a fault of the text like any
other, and not a fault of whatever meets it later.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any

DEEPEST = 64
"""Most lists and tables within each other. Settings, headers and hierarchies have a few; what walks through values
calls itself for each, and Python ends at about a thousand."""
LARGEST = 1 << 64
"""TOML's whole numbers have 64 bits; Python's have no end, and do not always become floats."""


def json_of(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError, also for what nests deeper than `DEEPEST`.

    For small texts: those of large annotation files have readers of their own.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_too_deep()) from None
    _require_shallow(value)
    return value


def toml_of(text: str) -> dict[str, Any]:
    """The values of a TOML text. Raises ValueError (`tomllib.TOMLDecodeError` is one), also for what nests deeper than
    `DEEPEST`, and for whole numbers of more than 64 bits."""
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise ValueError(_too_deep()) from None
    _require_shallow(values, LARGEST)
    return values


def _require_shallow(value: Any, largest: int = 0) -> None:
    """Without calling itself. largest: of whole numbers; 0: any."""
    level = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
            elif largest and isinstance(one, int) and abs(one) >= largest:
                raise ValueError(f"a whole number of {len(str(one)) if abs(one) < 10**99 else 'many'} digits")
        level = inner
        if not level:
            return
    raise ValueError(_too_deep())


def _too_deep() -> str:
    return f"nested more than {DEEPEST} deep"
