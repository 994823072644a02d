"""`headstart weights`: where candidates come from and what they hold."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from headstart.cli.show import print_table

app = typer.Typer(help="Starting weights: which there are, and what they hold.", no_args_is_help=True)


class Supervision(StrEnum):
    """What the last training used of the images' annotations."""

    boxes = "boxes"
    labels = "labels"
    masks = "masks"
    self = "self"
    none = "none"


@app.command("list")
def list_(
    supervision: Annotated[
        Supervision | None, typer.Option(help="Only weights last trained so; none: random weights.")
    ] = None,
    license: Annotated[
        str | None,
        typer.Option("--license", "--licence", help="Only under this license; commercial: all that allow such use."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every fact as JSON.")] = False,
) -> None:
    """List the weights that are known by name."""
    from headstart import api

    rows = api.list_weights(supervision.value if supervision else None, license, as_json)
    print_table(rows, as_json)


@app.command()
def show(
    uri: Annotated[str, typer.Argument(help="random:NAME, timm:NAME, tv:ENUM, file:PATH, or a weights card (TOML).")],
) -> None:
    """Say what these weights are: lineage, preprocessing, license, and how they fit their backbone."""
    from headstart import api

    for line in api.describe_weights(uri):
        print(line)
