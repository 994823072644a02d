"""Weights cards: TOML files that say what a checkpoint holds and how it was trained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from headstart.errors import WeightsError
from headstart.recipes.settings import Name, Settings
from headstart.texts import toml_of

NAMED = 50
"""How many faults a message names of those that it counts: each is looked for in the whole text."""
Three = Annotated[list[float], Field(min_length=3, max_length=3)]


class _Strict(Settings):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class _CardPreprocessing(_Strict):
    channel_order: Literal["rgb", "bgr"]
    scale: float = Field(gt=0)
    mean: Three
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)]


class Card(_Strict):
    """A weights card as written."""

    name: Name
    backbone: str
    file: str
    key_prefix: str | None = None
    checkpoint_key: str | None = None
    norm_eps: float | None = Field(default=None, ge=0)
    lineage: list[str] = Field(min_length=1)
    licence: str
    source: str = ""
    variant: Literal["", "ema", "raw"] = ""
    first_convolution: Literal["", "repeat", "sum"] = ""
    ignore: list[str] = Field(default_factory=list)
    preprocessing: _CardPreprocessing


def read_card(path: Path) -> Card:
    """A card as it is written. Raises WeightsError that names every fault with its line."""
    try:
        text = path.read_text(encoding="utf-8")
        values = toml_of(text)
    except ValueError as error:  # of the text, or of its bytes
        raise WeightsError(f"{path}: not a readable weights card: {error}. Correct the file.") from error
    try:
        return Card.model_validate(values)
    except ValidationError as error:
        faults = "".join(f"\n  {_fault(fault, text)}" for fault in error.errors()[:NAMED])
        raise WeightsError(
            f"{path}: {error.error_count()} faults in this weights card:{faults}\n"
            f"Keys of a card: {', '.join(Card.model_fields)}."
        ) from error


def _fault(fault: Any, text: str) -> str:
    keys = [str(part) for part in fault["loc"]]
    line = _line(text, keys)
    what = {"extra_forbidden": "unknown key", "missing": "missing key"}.get(fault["type"], fault["msg"])
    return f"{f'line {line}: ' if line else ''}{'.'.join(keys)}: {what}"


def _line(text: str, keys: list[str]) -> int | None:
    """Line of the key, or of its table where the key is missing or in an inline table; None if neither is found."""
    table, last = "", None
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            table = header[1].strip()
            last = number if table == keys[0] else last
        elif assigned := re.match(r"\s*([\w.-]+)\s*=", line):
            here = [*([table] if table else []), *assigned[1].split(".")]
            if here == keys[: len(here)]:
                last = number
    return last
