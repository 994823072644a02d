"""`headstart report`: the page of a run again, or its tables as text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from headstart.terminal import say


def report(
    run: Annotated[list[Path], typer.Argument(help="A run directory; several stand in one table.")],
    written: Annotated[
        Literal["html", "pdf", "md", "latex", "csv"],
        typer.Option("--format", help="The page (pdf: printed by a Chromium or Chrome), or a table to read."),
    ] = "html",
    table: Annotated[Literal["answer", "trials"], typer.Option(help="Of text: the answer, or every trial.")] = "answer",
    figures: Annotated[
        Path | None, typer.Option(help="Write the figures of a run into this folder (extra `plots`), and nothing else.")
    ] = None,
    figures_as: Annotated[Literal["pdf", "png"], typer.Option(help="Format of figures.")] = "pdf",
) -> None:
    """Build the report of a run again, and say where it is; or print its answer as Markdown, LaTeX or CSV."""
    from headstart import api

    if figures is not None:
        for one in run:
            folder = figures / one.resolve().name if len(run) > 1 else figures
            _tell(api.write_figures(one, folder, figures_as))
    elif written == "html":
        _tell(api.build_report(one) for one in run)
    elif written == "pdf":
        _tell(api.build_report(one, "pdf") for one in run)
    else:
        say(api.report_table(run, written, table).rstrip("\n"))


def _tell(paths: Iterable[Path]) -> None:
    for path in paths:
        say(str(path))
