"""The paper's findings on this data: contradictions first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from headstart.page.intervals import Band, IntervalRow, interval_chart
from headstart.page.numbers import MINUS, finite, measured
from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render
from headstart.report.words import capital

ORDER = ("contradicted", "depends on the measure", "supported", "not distinguishable", "not tested")
GROUPS = (
    ("alternatives", "Alternatives", "other ways to ask, listed beforehand"),
    ("controls", "Controls", "the effect must be seen beyond each of them"),
    ("beside", "Beside it", "shown, but no part of the verdict"),
)
CLASSES = {"contradicted": "contradicted", "depends on the measure": "depends", "supported": "supported"}


def ordered(run: RunDir) -> list[dict[str, Any]]:
    """Findings, contradictions first, then those that depend on the measure; the study's order within each verdict."""
    findings = list(run.metrics.get("findings") or [])
    return sorted(findings, key=lambda f: ORDER.index(f["verdict"]) if f["verdict"] in ORDER else len(ORDER))


def contradictions(run: RunDir) -> Markup | None:
    """What stands above everything else when the study contradicts the paper."""
    against = [f for f in ordered(run) if f["verdict"] == "contradicted" and f.get("primary")]
    if not against:
        return None
    return render("contradictions", findings=[_shown(f) for f in against], tested=_tested(run))


def section(run: RunDir) -> Section | None:
    """None where the study explains nothing (comparisons have no findings)."""
    findings = ordered(run)
    if not findings:
        return None
    verdicts = [f["verdict"] for f in findings]
    tally = [(verdict, verdicts.count(verdict)) for verdict in dict.fromkeys(verdicts)]
    body = render("findings", findings=[_shown(f) for f in findings], tally=tally)
    return Section("findings", "The paper’s findings on this data", body)


def _tested(run: RunDir) -> int:
    """Findings with a test of their own; one that only joins others (F2) would count these twice."""
    return sum(f["verdict"] != "not tested" and bool(f.get("primary")) for f in run.metrics["findings"])


def _shown(finding: dict[str, Any]) -> dict[str, Any]:
    unit = finding.get("unit") or ""
    primary = finding.get("primary")
    primary = None if primary is None or finite(primary.get("effect")) is None else _typeset(primary)
    groups = [(heading, note, [_typeset(m) for m in finding.get(key) or []]) for key, heading, note in GROUPS]
    groups = [(heading, note, measures) for heading, note, measures in groups if measures]
    return {
        "id": finding["id"],
        "claim": finding["claim"],
        "verdict": finding["verdict"],
        "css": CLASSES.get(finding["verdict"], "other"),
        "why": capital(_minus(finding.get("why") or "")),
        "measure": _minus(finding.get("measure") or ""),
        "scope": finding.get("scope") or "",
        "unit": unit,
        "primary": primary,
        "expected": _expected(primary) if primary else "",
        "seen": _seen(finding, primary, unit) if primary else "",
        "chart": _primary_chart(finding["id"], primary, unit) if primary else None,
        "groups": [(h, note, _charts(finding["id"], h, ms, unit)) for h, note, ms in groups],
        "table": ([primary] if primary else []) + [m for _, _, ms in groups for m in ms],
        "number": sum(len(ms) for _, _, ms in groups),
    }


def _typeset(measure: dict[str, Any]) -> dict[str, Any]:
    return measure | {"name": _minus(measure["name"])}


def _minus(text: str) -> str:
    """Minus signs in "boxes - labels" and "-0.3"; hyphens inside words stay."""
    return re.sub(r"(?<!\S)-(?= )|(?<![\w-])-(?=\d)", MINUS, text)


def _expected(measure: dict[str, Any]) -> str:
    sign = finite(measure.get("predicted_sign"))
    return "" if not sign else f"The paper predicts an effect {'above' if sign > 0 else 'below'} zero."


def _seen(finding: dict[str, Any], primary: dict[str, Any], unit: str) -> str:
    """The smallest effect that the study finds, and what would halve it."""
    smallest, tests, halved = finite(primary.get("detectable")), finding["tests"], finding["halved"]
    if not smallest:
        return ""
    step = f"the first of {tests} tests of {finding['id'][:2]}" if tests > 1 else "this test"
    said = f"In 80 % of such studies {step} finds an effect of ±{measured(smallest, unit)} {unit}."
    if not halved:
        return said
    seeds, images = halved["seeds"], halved["images"]
    ways = ([f"{seeds} seeds"] if seeds else []) + ([f"{images:,} test images"] if images else [])
    if not ways:
        return said + " Neither seeds alone nor test images alone would halve it."
    return said + f" Half of it would take {' or '.join(ways)}."


def _primary_chart(name: str, primary: dict[str, Any], unit: str) -> Markup:
    smallest = finite(primary.get("detectable"))
    bands = []
    if smallest:
        said = f"Effects within ±{measured(smallest, unit)} {unit} were too small for this study to see reliably"
        bands = [Band(-smallest, smallest, said)]
    row = replace(_row(primary), strong=True)
    return interval_chart([row], f"{name}: primary measure", unit, signed=True, bands=bands, zero=True)


def _charts(name: str, heading: str, measures: Sequence[dict[str, Any]], default: str) -> list[Markup]:
    """One chart for each unit: values of different units have no common axis."""
    units = dict.fromkeys(m.get("unit") or default for m in measures)
    return [
        interval_chart(
            [_row(m) for m in measures if (m.get("unit") or default) == unit],
            f"{name}: {heading}, {unit}",
            unit,
            signed=True,
            zero=True,
        )
        for unit in units
    ]


def _row(measure: dict[str, Any]) -> IntervalRow:
    effect, lo, hi = (finite(measure.get(key)) for key in ("effect", "lo", "hi"))
    return IntervalRow(measure["name"], effect, lo, hi, tuple(measure.get("per_seed") or ()), series=0)
