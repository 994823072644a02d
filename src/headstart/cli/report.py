"""`headstart report`: the page of a run again, or its tables as text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from headstart.terminal import say


def report(
    run: Annotated[list[Path], typer.Argument(help="A run directory; several stand in one table.")],
    written: Annotated[
        Literal["html", "md", "latex", "csv"],
        typer.Option("--format", help="The page, or a table on standard output."),
    ] = "html",
    table: Annotated[Literal["answer", "trials"], typer.Option(help="Of text: the answer, or every trial.")] = "answer",
) -> None:
    """Build the report of a run again, and say where it is; or print its answer as Markdown, LaTeX or CSV."""
    from headstart import api

    if written == "html":
        for one in run:
            say(str(api.build_report(one)))
    else:
        say(api.report_table(run, written, table).rstrip("\n"))
