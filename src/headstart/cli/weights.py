"""`headstart weights`: where candidates come from and what they hold."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.cli.show import print_table

app = typer.Typer(help="Starting weights: which there are, and what they hold.", no_args_is_help=True)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the weights that are known by name."""
    from headstart import api

    print_table(api.list_weights(), as_json)


@app.command()
def show(
    uri: Annotated[str, typer.Argument(help="random:NAME, timm:NAME, tv:ENUM, file:PATH, or a weights card (TOML).")],
) -> None:
    """Say what these weights are: lineage, preprocessing, license, and how they fit their backbone."""
    from headstart import api

    for line in api.describe_weights(uri):
        print(line)
