"""`headstart weights`: where candidates come from and what they hold."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.flags import Offline, TrustCode
from headstart.cli.show import print_table
from headstart.terminal import say

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
    wide: Annotated[bool, typer.Option("--wide", help="All columns, in lines of any length.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every fact as JSON.")] = False,
) -> None:
    """List the weights that are known by name."""
    from headstart import api
    from headstart.weights.listing import how_timed, narrow

    rows = api.list_weights(supervision.value if supervision else None, license, as_json)
    print_table(rows if wide or as_json else narrow(rows), as_json)
    if not as_json and (way := how_timed()):
        say(way)


Which = Annotated[
    str, typer.Argument(metavar="WEIGHTS", help="A file, a weights card (TOML), a name of the list, or a URI.")
]
TrustPickle = Annotated[
    bool, typer.Option("--trust-pickle", help="Run what a pickle says. Only for files that you made yourself.")
]


@app.command()
def show(weights: Which, trust_code: TrustCode = False) -> None:
    """Say what these weights are: lineage, preprocessing, license, and how they fit their backbone."""
    from headstart import api

    say(api.describe_weights(weights, trust_code).text())


@app.command("import")
def import_(
    weights: Which,
    out: Annotated[Path, typer.Argument(help="A folder, or a file that ends in .safetensors.")],
    trust_pickle: TrustPickle = False,
    trust_code: TrustCode = False,
    offline: Offline = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write any weights as a checkpoint of our own: the backbone under canonical names, with all its facts."""
    from headstart import api

    done = api.import_weights(
        weights, out, trust_pickle=trust_pickle, trust_code=trust_code, offline=offline, overwrite=overwrite
    )
    say(done.text())


class Layout(StrEnum):
    """Libraries whose layout can be written."""

    timm = "timm"
    torchvision = "torchvision"
    detectron2 = "detectron2"
    mmdetection = "mmdetection"


@app.command()
def export(
    weights: Which,
    out: Annotated[Path, typer.Argument(help="The file: .safetensors for timm, .pkl for Detectron2, else .pth.")],
    to: Annotated[Layout, typer.Option(help="Library that will read it.")],
    fold: Annotated[
        bool, typer.Option("--fold", help="Put the preprocessing into the first convolution, where that is exact.")
    ] = False,
    trust_pickle: TrustPickle = False,
    trust_code: TrustCode = False,
    offline: Offline = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write the backbone of any weights for another library, and say what to set there."""
    from headstart import api

    done = api.export_weights(
        weights,
        out,
        to.value,
        fold,
        trust_pickle=trust_pickle,
        trust_code=trust_code,
        offline=offline,
        overwrite=overwrite,
    )
    say(done.text())


@app.command()
def verify(
    weights: Which, trust_pickle: TrustPickle = False, trust_code: TrustCode = False, offline: Offline = False
) -> None:
    """Prove that weights load as they are meant; ends with 1 where there is something to look at."""
    from headstart import api

    found = api.verify_weights(weights, trust_pickle, trust_code, offline)
    say(found.text())
    if not found.good:
        raise typer.Exit(1)
