"""Weights looked at without any training: their scores side by side."""

from __future__ import annotations

from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render
from headstart.screening.result import MEASURED, STATIC, screen_of


def section(run: RunDir) -> Section | None:
    """None where the study has no screen."""
    found = run.metrics.get("screen")
    if not found or not found["rows"]:
        return None
    screen = screen_of(found)
    names = [n for n in (*MEASURED, "tlogme", *STATIC) if any(n in row.scores for row in screen.rows)]
    what = "objects" if screen.task == "detect" else "images"
    return Section("screen", "Looked at, not trained", render("screen", screen=screen, names=names, what=what))
