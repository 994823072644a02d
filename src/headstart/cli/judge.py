"""`headstart judge`: anyone's table of scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from headstart.cli.evaluate import uncollected
from headstart.cli.flags import AsJson, Quiet
from headstart.terminal import say


def judge(
    table: Annotated[Path, typer.Argument(help="A CSV file: data set, model, score; seed, images, group if known.")],
    columns: Annotated[
        list[str] | None, typer.Option("--columns", help="Which column is what, such as score=mAP. Repeat it.")
    ] = None,
    better: Annotated[
        Literal["higher", "lower"] | None,
        typer.Option(help="Which scores are better; by default told from the score's name."),
    ] = None,
    unit: Annotated[str | None, typer.Option(help="The unit of the scores, in a word; nothing is converted.")] = None,
    standardize: Annotated[
        bool, typer.Option("--standardize", help="Compare in standard deviations of the models within each data set.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write a page and judgement.json into this folder.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Which models of a leaderboard are the best, over data sets like its own? No model is needed."""
    with uncollected():
        # As `evaluate` does: `headstart.api` imports what the other commands need.
        from headstart.api.judging import judge as judged

        result = judged(table, columns or (), better, unit=unit, standardize=standardize, out=out)
        if as_json:
            say(json.dumps(result.to_json(), indent=1))
        elif not quiet:
            say(result.text())
