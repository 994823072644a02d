"""`headstart explain`: two weights on a data set, nothing trained but probes."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.cli.finish import finish
from headstart.cli.flags import AsJson, Budget, DataArgument, Out
from headstart.cli.groups import ReadingImages, Running, with_groups
from headstart.tasks.table import trained_tasks


@with_groups
def explain(
    a: Annotated[str, typer.Argument(metavar="W1", help="Weights, such as timm:resnet50.a1_in1k, or a card.")],
    b: Annotated[str, typer.Argument(metavar="W2", help="Others.")],
    data: DataArgument,
    *,
    task: Annotated[
        str | None,
        typer.Option(metavar="|".join(trained_tasks()), help="Only as for this task; by default all the data serve."),
    ] = None,
    budget: Annotated[Budget, typer.Option(help="How large images are: as `compare` has them.")] = "quick",
    out: Out = None,
    reading: ReadingImages,
    running: Running,
    as_json: AsJson = False,
) -> None:
    """How do two weights see these images? Neighbors, activations, and what a probe gets right."""
    from headstart import api

    summary = api.explain_weights(a, b, data, task, budget=budget, out=out, **reading.keywords(), **running.keywords())
    finish(summary, running.quiet, as_json)
