"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from headstart.readers.options import ReadKeywords


class OnBad(StrEnum):
    """What happens to what is wrong in the data."""

    error = "error"
    skip = "skip"


Format = Annotated[str | None, typer.Option("--format", help="Format of the data; by default it is recognized.")]
OnBadBox = Annotated[
    OnBad, typer.Option("--on-bad-box", help="A box that cannot be: stop, or leave it out and list it.")
]
OnBadRecord = Annotated[
    OnBad, typer.Option("--on-bad-record", help="Another fault in an image's annotation: stop, or leave out and list.")
]
Read = Annotated[
    list[str] | None, typer.Option("--read", help="An option of the reader, such as zero_based=true. Repeat it.")
]
Device = Annotated[
    str,
    typer.Option(
        help="Where networks run: auto (every GPU that is there, else the CPU), cpu, cuda, or some GPUs: cuda:0,1."
    ),
]
Noise = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Share of the images that exchange their boxes and labels in pre-training: effects must go away with it.",
    ),
]
TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="Run the Python files that a study, card, checkpoint or model names as backbones. Remembered by digest.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def read_options(on_bad_box: OnBad, on_bad_record: OnBad, read: list[str] | None = None) -> ReadKeywords:
    """Options of `open_dataset` that differ from its defaults. Raises UsageError for words that are none."""
    from headstart.readers.options import assigned

    options = assigned(read or [])
    if on_bad_box is OnBad.skip:
        options.setdefault("on_bad_box", "skip")
    if on_bad_record is OnBad.skip:
        options.setdefault("on_bad_record", "skip")
    return options
