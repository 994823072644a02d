"""`headstart report`: the page of a run again, or its tables as text."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from headstart.terminal import say


class ReportFormat(StrEnum):
    """What a report is written as."""

    html = "html"
    md = "md"
    latex = "latex"
    csv = "csv"


class ReportTable(StrEnum):
    """Which table is printed."""

    answer = "answer"
    trials = "trials"


def report(
    run: Annotated[list[Path], typer.Argument(help="A run directory; several stand in one table.")],
    written: Annotated[
        ReportFormat, typer.Option("--format", help="The page, or a table on standard output.")
    ] = ReportFormat.html,
    table: Annotated[ReportTable, typer.Option(help="Of text: the answer, or every trial.")] = ReportTable.answer,
) -> None:
    """Build the report of a run again, and say where it is; or print its answer as Markdown, LaTeX or CSV."""
    from headstart import api

    if written is ReportFormat.html:
        for one in run:
            say(str(api.build_report(one)))
    else:
        text = cast("Literal['md', 'latex', 'csv']", written.value)
        say(api.report_table(run, text, table.value).rstrip("\n"))
