"""How a command that ran a study ends: its answer, its failures, its status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from headstart.terminal import say, tell

if TYPE_CHECKING:
    from headstart.api import RunSummary


def finish(summary: RunSummary, quiet: bool, as_json: bool) -> None:
    """Say what came of a study, and end with 1 where jobs failed."""
    if as_json:
        facts = {
            "out": str(summary.out),
            "report": str(summary.report),
            "done_already": summary.done_already,
            "failed": [{"job": label, "message": message} for label, message in summary.failed],
        }
        say(json.dumps(facts, indent=1))
    elif not quiet:
        print_lines(summary.lines)
    end_with_failures(summary.failed, summary.exit_code)


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
