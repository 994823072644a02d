"""`headstart explain`: two weights on a data set, nothing trained but probes."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.cli.finish import finish
from headstart.cli.flags import (
    AsJson,
    Budget,
    Device,
    Format,
    Offline,
    OnBad,
    OnBadBox,
    OnBadImage,
    OnBadRecord,
    Out,
    Overwrite,
    Quiet,
    Read,
    TrustCode,
    Workers,
    read_options,
)
from headstart.tasks.table import trained_tasks


def explain(
    a: Annotated[str, typer.Argument(metavar="W1", help="Weights, such as timm:resnet50.a1_in1k, or a card.")],
    b: Annotated[str, typer.Argument(metavar="W2", help="Others.")],
    data: Annotated[str, typer.Argument(help="Folder, archive or URL of a data set; its format is recognized.")],
    task: Annotated[
        str | None,
        typer.Option(metavar="|".join(trained_tasks()), help="Only as for this task; by default all the data serve."),
    ] = None,
    budget: Annotated[Budget, typer.Option(help="How large images are: as `compare` has them.")] = Budget.quick,
    out: Out = None,
    workers: Workers = None,
    device: Device = "auto",
    format: Format = None,
    on_bad_box: OnBadBox = OnBad.error,
    on_bad_record: OnBadRecord = OnBad.error,
    on_bad_image: OnBadImage = OnBad.error,
    read: Read = None,
    trust_code: TrustCode = False,
    offline: Offline = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """How do two weights see these images? Neighbors, activations, and what a probe gets right."""
    from headstart import api

    summary = api.explain_weights(
        a,
        b,
        data,
        task,
        budget=budget.value,
        out=out,
        workers=workers,
        device=device,
        format=format,
        on_bad_image=on_bad_image.value,
        read=read_options(on_bad_box, on_bad_record, read),
        trust_code=trust_code,
        offline=offline,
        overwrite=overwrite,
        quiet=quiet,
    )
    finish(summary, quiet, as_json)
