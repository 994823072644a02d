"""`headstart weights`: where candidates come from and what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from headstart.cli.flags import Offline, TrustCode
from headstart.cli.groups import Group, with_groups
from headstart.cli.show import print_table
from headstart.terminal import say

app = typer.Typer(help="Starting weights: which there are, and what they hold.", no_args_is_help=True)


@app.command("list")
def list_(
    supervision: Annotated[
        Literal["boxes", "labels", "masks", "self", "none"] | None,
        typer.Option(help="Only weights last trained so; none: random weights."),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option("--license", "--licence", help="Only under this license; commercial: all that allow such use."),
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", help="All columns, in lines of any length.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every fact as JSON.")] = False,
) -> None:
    """List the weights that are known by name."""
    from headstart import api
    from headstart.weights.listing import how_timed, narrow

    rows = api.list_weights(supervision, license, as_json)
    print_table(rows if wide or as_json else narrow(rows), as_json)
    if not as_json and (way := how_timed()):
        say(way)


Which = Annotated[
    str, typer.Argument(metavar="WEIGHTS", help="A file, a weights card (TOML), a name of the list, or a URI.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


@dataclass(frozen=True, kw_only=True)
class Trust(Group):
    """What may be done to load weights."""

    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Run what a pickle says. Only for files that you made yourself.")
    ] = False
    trust_code: TrustCode = False
    offline: Offline = False


@app.command()
def show(weights: Which, trust_code: TrustCode = False) -> None:
    """Say what these weights are: lineage, preprocessing, license, and how they fit their backbone."""
    from headstart import api

    say(api.describe_weights(weights, trust_code).text())


@app.command("import")
@with_groups
def import_(
    weights: Which,
    out: Annotated[Path, typer.Argument(help="A folder, or a file that ends in .safetensors.")],
    trust: Trust,
    overwrite: Overwrite = False,
) -> None:
    """Write any weights as a checkpoint of our own: the backbone under canonical names, with all its facts."""
    from headstart import api

    say(api.import_weights(weights, out, **trust.keywords(), overwrite=overwrite).text())


@app.command()
@with_groups
def export(
    weights: Which,
    out: Annotated[Path, typer.Argument(help="The file: .safetensors for timm, .pkl for Detectron2, else .pth.")],
    to: Annotated[
        Literal["timm", "torchvision", "detectron2", "mmdetection"], typer.Option(help="Library that will read it.")
    ],
    fold: Annotated[
        bool, typer.Option("--fold", help="Put the preprocessing into the first convolution, where that is exact.")
    ] = False,
    *,
    trust: Trust,
    overwrite: Overwrite = False,
) -> None:
    """Write the backbone of any weights for another library, and say what to set there."""
    from headstart import api

    say(api.export_weights(weights, out, to, fold, **trust.keywords(), overwrite=overwrite).text())


@app.command()
@with_groups
def verify(weights: Which, trust: Trust) -> None:
    """Prove that weights load as they are meant; ends with 1 where there is something to look at."""
    from headstart import api

    found = api.verify_weights(weights, **trust.keywords())
    say(found.text())
    if not found.good:
        raise typer.Exit(1)
