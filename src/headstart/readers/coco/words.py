"""Values of a JSON file in messages."""

from __future__ import annotations

from typing import Any


def short(value: Any) -> str:
    """A value of the file in a message, however long or deep it is."""
    if isinstance(value, (list, dict)) and len(value) > 8:
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)} entries"
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a whole number of more than 30 digits"
    try:
        text = repr(value[:60] if isinstance(value, str) else value)
    except RecursionError:
        return "lists within lists"
    return text if len(text) <= 60 else f"{text[:57]}..."
