"""Plain text for a terminal: tables and mappings that other programs can cut, too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.terminal import printable, say


def print_table(rows: Sequence[Mapping[str, Any]], as_json: bool = False) -> None:
    """Print rows that share their keys, as aligned columns under the keys, or as a JSON list."""
    if as_json:
        say(json.dumps(list(rows), indent=1, default=str))
        return
    if not rows:
        return
    keys = list(rows[0])
    cells = [keys, *([_text(row.get(key)) for key in keys] for row in rows)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(keys))]
    numeric = [all(isinstance(row.get(key), int | float) for row in rows) for key in keys]
    for line in cells:
        padded = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(line, widths, numeric, strict=True)]
        say("  ".join(padded).rstrip())


def print_mapping(mapping: Mapping[str, Any], as_json: bool = False) -> None:
    """Print one line a key, nested mappings indented, or JSON."""
    if as_json:
        say(json.dumps(mapping, indent=1, default=str))
        return
    _print_nested(mapping, "")


def _print_nested(mapping: Mapping[str, Any], indent: str) -> None:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            say(f"{indent}{key}:")
            _print_nested(value, indent + "  ")
        else:
            say(f"{indent}{key}: {_text(value)}")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return printable(str(value), one_line=True)
