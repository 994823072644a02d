"""What a URI may choose of a file after `#`: `file:PATH#ema`, `file:PATH@resnet18#raw,repeat`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headstart.errors import WeightsError
from headstart.weights.wrappers import Variant

FirstConvolution = Literal["", "repeat", "sum"]
WORDS = ("ema", "raw", "repeat", "sum")


@dataclass(frozen=True)
class Choices:
    """What is taken of a file that allows several readings."""

    variant: Variant = ""
    """ema: averaged weights; raw: as trained; "": the averaged ones where there are both."""
    first_convolution: FirstConvolution = ""
    """What becomes of a first convolution that takes no three channels; "": it is refused."""


def split_choices(uri: str, base: Path = Path()) -> tuple[str, Choices]:
    """(the URI without its choices, these). Only `file:` and `hf:` have them. Raises WeightsError."""
    scheme = uri.partition(":")[0]
    plain, mark, words = uri.rpartition("#")
    asked = [word.strip() for word in words.split(",")]
    if scheme not in ("file", "hf") or not mark or not any(word in WORDS for word in asked):
        return uri, Choices()
    if scheme == "file" and (base / uri.removeprefix("file:")).exists():
        return uri, Choices()
    for word in asked:
        if word not in WORDS:
            raise WeightsError(f"{uri}: {word!r} is no choice. After # come {', '.join(WORDS)}, with commas between.")
    for pair in (("ema", "raw"), ("repeat", "sum")):
        if all(word in asked for word in pair):
            raise WeightsError(f"{uri}: {' and '.join(pair)} exclude each other. Give one.")
    variant: Variant = "ema" if "ema" in asked else "raw" if "raw" in asked else ""
    first: FirstConvolution = "repeat" if "repeat" in asked else "sum" if "sum" in asked else ""
    return plain, Choices(variant, first)
