"""How a command that ran a study ends: its answer, its failures, its status."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from headstart.terminal import say, tell

if TYPE_CHECKING:
    from headstart.api import RunSummary


MOST_WARNINGS = 20
"""That are told again at the end; all are in the report, and those of jobs in their logs."""


def finish(summary: RunSummary, quiet: bool, as_json: bool) -> None:
    """Say what came of a study, and end with 1 where jobs failed."""
    if as_json:
        facts = {
            "out": str(summary.out),
            "report": str(summary.report),
            "done_already": summary.done_already,
            "failed": [{"job": label, "message": message} for label, message in summary.failed],
            "warnings": list(summary.warnings),
        }
        say(json.dumps(facts, indent=1))
    elif not quiet:
        print_lines(summary.lines)
        tell_again(summary.warnings)
    end_with_failures(summary.failed, summary.exit_code)


def tell_again(warnings: Sequence[str]) -> None:
    """What was warned of meanwhile, where the answer has not pushed it off the screen."""
    for said in warnings[:MOST_WARNINGS]:
        tell(f"warning: {said}")
    if (more := len(warnings) - MOST_WARNINGS) > 0:
        tell(f"and {more} more warnings: they are in the report, under What was run")


def print_lines(lines: list[str]) -> None:
    """One after the other."""
    for line in lines:
        say(line)


def end_with_failures(failed: list[tuple[str, str]], exit_code: int = 1) -> None:
    """Say what failed, and end with a status that says so; nothing where all is well."""
    for label, message in failed:
        tell(f"failed: {label}: {message}")
    if failed:
        raise typer.Exit(exit_code or 1)
