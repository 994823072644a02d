"""`headstart compare`: which weights to start from, on a data set."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from headstart.cli.finish import finish
from headstart.cli.flags import AsJson, Budget, DataArgument, Extend, Out, Resize, Size, Starts, size_hw, words_of
from headstart.cli.groups import ReadingImages, Running, with_groups
from headstart.errors import UsageError
from headstart.tasks.table import trained_tasks
from headstart.terminal import say


@with_groups
def compare(
    data: DataArgument,
    *,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            "-w",
            help="A candidate, such as timm:resnet50.a1_in1k; `weights list` shows some. Repeat it. Without any: an "
            "ImageNet classifier, a detector, a self-supervised network and random values.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="|".join(trained_tasks()), help="Only this task; by default all that the data serve."),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Trainings of each candidate, at most; by default what the budget allows."),
    ] = None,
    starts: Starts = None,
    screen: Annotated[
        int | None,
        typer.Option(
            min=2, help="Of eight candidates or more, train only so many: the most promising by their features."
        ),
    ] = None,
    budget: Annotated[Budget, typer.Option(help="How long each training is.")] = "normal",
    license: Annotated[
        str | None,
        typer.Option(
            "--license", "--licence", help="Of the weights, such as apache-2.0, or commercial; others are refused."
        ),
    ] = None,
    max_ms: Annotated[
        float | None, typer.Option(min=0, help="Milliseconds of an image of 224 x 224 pixels where networks run.")
    ] = None,
    max_hours: Annotated[
        float | None, typer.Option(min=0, help="Of the whole comparison, at most, as `plan` estimates it.")
    ] = None,
    extend: Extend = False,
    explain: Annotated[
        bool, typer.Option(help="Say why: the best candidate against the default one, on held-out images.")
    ] = True,
    pairs: Annotated[
        Literal["best", "all"], typer.Option(help="Which candidates are explained: the best, or all, two by two.")
    ] = "best",
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Run every seed of every candidate and search each one's rate anew, in place of dropping those that "
            "cannot win and running seeds where they decide.",
        ),
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it would do: jobs, minutes, what it could find. Runs nothing.")
    ] = False,
    probes: Annotated[
        bool,
        typer.Option(
            "--probes",
            help="Probe frozen features further: linear SVM and k-NN, every stage, 1 to 16 images of each class.",
        ),
    ] = False,
    curve: Annotated[
        bool,
        typer.Option(
            "--curve",
            help="Label more, or change weights? Repeat trainings on a quarter and half of the data: thrice the work.",
        ),
    ] = False,
    size: Size = None,
    resize: Resize = None,
    out: Out = None,
    reading: ReadingImages,
    running: Running,
    as_json: AsJson = False,
) -> None:
    """Which of these weights should I start from for this data?"""
    from headstart import api

    asked: dict[str, Any] = {
        "starts": words_of(starts),
        "budget": budget,
        "license": license,
        "max_ms": max_ms,
        "max_hours": max_hours,
        "explain": explain,
        "pairs": pairs,
        "full": full,
        "probes": probes,
        "curve": curve,
        "size": size_hw(size),
        "resize": resize,
        "out": out,
        **reading.keywords(),
        **running.keywords(),
    }
    if plan:
        if screen is not None:
            raise UsageError(
                "--screen looks at the weights first, so it cannot be planned. Leave out --screen or --plan."
            )
        return say(api.plan_comparison(data, weights or (), task, seeds, **asked).text())
    summary = api.compare(data, weights or (), task, seeds, screen=screen, extend=extend, **asked)
    finish(summary, running.quiet, as_json)
