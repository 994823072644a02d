"""What was found along axes and of factorials, in words for the terminal and the report."""

from __future__ import annotations

from typing import Any

from headstart.page.numbers import bracket, measured


def point_words(value: Any, setting: str) -> str:
    """A value on an axis: shares of the data in percent, None as all."""
    if setting == "limit":
        return "all" if value is None else f"{100 * value:g} %" if value < 1 else f"{value:g}"
    return "-".join(map(str, value)) or "none" if isinstance(value, list) else "none" if value is None else f"{value}"


def question_words(row: dict[str, Any]) -> str:
    """Label more, or change weights? In a sentence; empty where it is not known."""
    asked = row.get("question")
    if not asked:
        return ""
    more, change = asked["more"], asked["change"]
    step = [point_words(row["points"][more[end]], "limit") for end in ("from", "to")]
    return (
        f"Label more, or change weights? With {asked['weights']}, going from {step[0]} to {step[1]} of the images "
        f"brought {_effect(more)}; changing it for {asked['best']} on {step[1]} of them brings {_effect(change)}."
    )


def _effect(effect: dict[str, Any]) -> str:
    return (
        f"{measured(effect['effect'], signed=True)} points {bracket(effect['lo'], effect['hi'], signed=True)}".rstrip()
    )


def effect_words(row: dict[str, Any], effect: dict[str, Any]) -> str:
    """What an effect of a factorial is of."""
    first, second = row["factors"]
    rows = list(row["cells"])
    columns = list(row["cells"][rows[0]])
    if effect["first"] and effect["second"]:
        return f"{first} x {second}: {effect['first']} and {effect['second']}, beyond their sum"
    if effect["first"]:
        return f"{first}: {effect['first']} less {rows[0]}"
    return f"{second}: {effect['second']} less {columns[0]}"
