"""`headstart suite`: one answer over many data sets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli.finish import end_with_failures
from headstart.cli.flags import AsJson, Budget, Extend, OnBadImage, Out, Size, Starts, size_hw, words_of
from headstart.cli.groups import Group, Running, with_groups
from headstart.terminal import say


@dataclass(frozen=True, kw_only=True)
class Fixed(Group):
    """What is fixed by hand."""

    updates: Annotated[
        int | None,
        typer.Option(min=1, help="Train every candidate for so many updates, in place of as long as it helps."),
    ] = None
    rate: Annotated[
        float | None, typer.Option(help="One rate of the heads for all, in place of a search; said wherever it counts.")
    ] = None
    protocol: Annotated[
        str | None, typer.Option(metavar="voc-area|coco|voc07-11pt", help="How detections are scored.")
    ] = None
    size: Size = None

    def keywords(self) -> dict[str, Any]:
        """`size` as height and width. Raises UsageError."""
        return super().keywords() | {"size": size_hw(self.size)}


@with_groups
def suite(
    folder: Annotated[Path, typer.Argument(help="A folder of data sets: RF100-VL, ODinW, your own.")],
    *,
    weights: Annotated[
        list[str], typer.Option("--weights", "-w", help="A candidate; `weights list` shows some. Repeat it.")
    ],
    task: Annotated[
        str | None, typer.Option(metavar="detect|segment|classify", help="By default what most data sets serve.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Trainings of each candidate on each data set; by default the budget's.")
    ] = None,
    starts: Starts = None,
    budget: Annotated[Budget, typer.Option(help="How long each training is.")] = "normal",
    fixed: Fixed,
    groups: Annotated[
        Path | None, typer.Option(help="A CSV file with the columns dataset,group: an answer for each group, too.")
    ] = None,
    seen: Annotated[
        Path | None,
        typer.Option(help="A CSV file with the columns weights,dataset: what was pre-trained on beside the lineage."),
    ] = None,
    published: Annotated[
        str | None, typer.Option(help="Show published scores on this suite beside, such as rf100-vl.")
    ] = None,
    extend: Extend = False,
    out: Out = None,
    on_bad_image: OnBadImage = "skip",
    running: Running,
    as_json: AsJson = False,
) -> None:
    """Which of these weights should I start from, over data sets like these?"""
    from headstart import api

    found = api.suite(
        folder,
        weights,
        task,
        seeds,
        starts=words_of(starts),
        budget=budget,
        **fixed.keywords(),
        groups=groups,
        seen=seen,
        published=published,
        extend=extend,
        out=out,
        on_bad_image=on_bad_image,
        **running.keywords(),
    )
    if as_json:
        say(json.dumps(found.answer.to_json(), indent=1))
    elif not running.quiet:
        say(found.text())
    end_with_failures(found.run.failed, found.run.exit_code)
