"""A checkup in lines for a terminal."""

from __future__ import annotations

from headstart.doctor.checkup import Checkup

SHOWN = 3


def told(checkup: Checkup) -> list[str]:
    """What was read, then each finding with its first faults and what to do."""
    out = [line for line in checkup.table.summary() if not line.startswith("left out: ")]
    out += checkup.overlap
    for finding in checkup.findings:
        out.append("")
        out.append(f"{finding.severity}  {finding.rule}: {finding.what}: {finding.count:,}")
        out += [f"    {str(fault).rpartition('. ')[0] or fault}" for fault in finding.faults[:SHOWN]]
        out += [f"    and {finding.count - SHOWN:,} more"] if finding.count > SHOWN else []
        out.append(f"    {finding.fix}")
    errors = sum(f.count for f in checkup.findings if f.severity == "error")
    warnings = sum(f.count for f in checkup.findings) - errors
    said = f"{_plural(errors, 'error')}, {_plural(warnings, 'warning')}"
    if not checkup.findings:
        notes = len(checkup.table.notes)
        said = "nothing wrong was found" + (f"; how it was read: {_plural(notes, 'note')} above" if notes else "")
    return [*out, "", said + ("" if checkup.looked_at_images else "; images were not decoded (--images does that)")]


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
