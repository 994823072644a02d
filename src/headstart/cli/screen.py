"""`headstart screen`: many weights looked at, none fine-tuned."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from headstart.cli.flags import AsJson, Budget, DataArgument, Out, Resize, Size, size_hw
from headstart.cli.groups import ReadingImages, Running, with_groups
from headstart.terminal import say


@with_groups
def screen(
    data: DataArgument,
    *,
    weights: Annotated[
        list[str], typer.Option("--weights", "-w", help="Eight or more; `weights list` shows some. Repeat it.")
    ],
    task: Annotated[str | None, typer.Option(metavar="detect|classify", help="By default what the data serve.")] = None,
    images: Annotated[int, typer.Option(min=20, help="Training images that are looked at.")] = 400,
    budget: Annotated[
        Budget, typer.Option(help="Decides the size that images are brought to, without --size.")
    ] = "quick",
    size: Size = None,
    resize: Resize = None,
    out: Out = None,
    reading: ReadingImages,
    running: Running,
    as_json: AsJson = False,
) -> None:
    """Which of many weights are worth fine-tuning on these data? Trains nothing."""
    from headstart import api

    found = api.screen(
        data,
        weights,
        task,
        images,
        budget=budget,
        size=size_hw(size),
        resize=resize,
        out=out,
        **reading.keywords(),
        **running.keywords() | {"quiet": running.quiet or as_json},
    )
    say(json.dumps(found.to_json(), indent=1) if as_json else "\n".join(found.lines()))
