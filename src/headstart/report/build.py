"""From a run directory to `report.html`: one file that needs no network."""

from __future__ import annotations

from pathlib import Path

from headstart.page.document import document
from headstart.report import (
    activations,
    answer,
    composition,
    findings,
    neighbors,
    precision,
    provenance,
    screens,
    trials,
)
from headstart.report.curves import axes, probes
from headstart.report.products import section as products
from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render
from headstart.report.why import section as why
from headstart.report.words import plural
from headstart.store.files import write_text
from headstart.store.sealing import seal

SECTIONS = (
    answer.section,
    products.section,
    screens.section,
    axes.section,
    probes.section,
    why.section,
    findings.section,
    trials.section,
    precision.section,
    neighbors.section,
    activations.section,
    composition.section,
    provenance.section,
)
"""In the order of reading. Each gives None where the run has nothing for it; provenance comes last."""


def build(run: Path) -> Path:
    """Write `run`/report.html, whole or not at all, from metrics.json and the store. Returns its path.

    Raises StudyError where the run has no results yet and StoreError where metrics.json is damaged; optional files
    that are missing leave their section out, and "What was run" says so.
    """
    out = run / "report.html"
    write_text(out, page(RunDir.open(run)))
    seal(run, [out.name])
    return out


def page(run: RunDir) -> str:
    """The report as one HTML document."""
    sections: list[Section] = [section for make in SECTIONS if (section := make(run)) is not None]
    title = str(run.metrics.get("title") or run.metrics.get("study") or "Study")
    seeds, trials = run.seeds, len(run.metrics["trials"])
    body = render(
        "report",
        title=title,
        name=run.metrics.get("study") or "",
        against=findings.contradictions(run),
        sections=sections,
        facts=[
            plural(len(run.weights), "candidate"),
            *([plural(len(run.tasks), "task"), plural(len(seeds), "seed")] if trials else []),
            plural(trials, "trial") if trials else "nothing trained",
        ],
        one_seed=len(seeds) == 1 and trials > 0,
    )
    scripted = any(s.scripted for s in sections)
    return document(f"{title} – Headstart", body, f"Results of the study {run.metrics.get('study') or title}", scripted)
