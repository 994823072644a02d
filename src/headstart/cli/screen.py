"""`headstart screen`: many weights looked at, none fine-tuned."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from headstart.cli.flags import (
    AsJson,
    Budget,
    Format,
    Offline,
    OnBad,
    OnBadBox,
    OnBadImage,
    OnBadRecord,
    Out,
    Quiet,
    Read,
    TrustCode,
    read_options,
)
from headstart.terminal import say


def screen(
    data: Annotated[str, typer.Argument(help="Folder, archive or URL of a data set; its format is recognized.")],
    weights: Annotated[
        list[str], typer.Option("--weights", "-w", help="Eight or more; `weights list` shows some. Repeat it.")
    ],
    task: Annotated[str | None, typer.Option(metavar="detect|classify", help="By default what the data serve.")] = None,
    images: Annotated[int, typer.Option(min=20, help="Training images that are looked at.")] = 400,
    budget: Annotated[Budget, typer.Option(help="Decides the size that images are brought to.")] = Budget.quick,
    out: Out = None,
    format: Format = None,
    on_bad_box: OnBadBox = OnBad.error,
    on_bad_record: OnBadRecord = OnBad.error,
    on_bad_image: OnBadImage = OnBad.error,
    read: Read = None,
    trust_code: TrustCode = False,
    offline: Offline = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Which of many weights are worth fine-tuning on these data? Trains nothing."""
    from headstart import api

    found = api.screen(
        data,
        weights,
        task,
        images,
        budget=budget.value,
        out=out,
        format=format,
        on_bad_image=on_bad_image.value,
        read=read_options(on_bad_box, on_bad_record, read),
        trust_code=trust_code,
        offline=offline,
        quiet=quiet or as_json,
    )
    say(json.dumps(found.to_json(), indent=1) if as_json else "\n".join(found.lines()))
