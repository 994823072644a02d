"""The whole check of one data set: read it leniently, apply every rule, count what is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.data.annotations import Annotations
from headstart.doctor.files import check_against, check_duplicates, check_images, check_listing
from headstart.doctor.rules import Finding, findings
from headstart.doctor.statistics import Statistics, statistics
from headstart.doctor.table import check_table
from headstart.readers.formats import open_dataset
from headstart.readers.options import ReadKeywords


@dataclass(frozen=True)
class Checkup:
    """What `check` found. `looked_at_images`: whether images were decoded."""

    table: Annotations
    findings: tuple[Finding, ...]
    statistics: Statistics
    looked_at_images: bool
    overlap: tuple[str, ...] = ()
    """What the search against another data set found, split by split; empty without one."""

    @property
    def clean(self) -> bool:
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """Plain data: every fault of every finding."""
        return {
            "data": self.table.root.name,
            "format": self.table.format,
            "images": len(self.table),
            "boxes": len(self.table.box_labels),
            "looked_at_images": self.looked_at_images,
            "findings": [
                {
                    "rule": f.rule,
                    "severity": f.severity,
                    "what": f.what,
                    "count": f.count,
                    "faults": [{"path": x.path, "record": x.record, "why": x.why, "fix": x.fix} for x in f.faults],
                }
                for f in self.findings
            ],
            "statistics": self.statistics.to_json(),
            "overlap": list(self.overlap),
            "notes": list(self.table.notes),
        }


def check(
    path: Path | str,
    images: bool = False,
    format: str | None = None,
    progress: Callable[[int, int, str], None] = lambda done, of, what: None,
    *,
    against: Path | str | None = None,
    read: ReadKeywords | None = None,
) -> Checkup:
    """Everything that is wrong with the data set at `path`, and what is in it.

    images: decode every image and mask too, and look for near-duplicates. Other arguments: see `open_dataset`. Bad
    boxes and records are found rather than raised. against: another data set, searched for near-duplicates of
    this one's images. read: options of `open_dataset`. Raises DataError when the data set cannot be read at all.
    """
    reading: ReadKeywords = {**(read or {}), "on_bad_box": "skip", "on_bad_record": "skip"}
    table = open_dataset(path, format, **reading)
    faults = [*table.left_out, *check_table(table), *check_listing(table)]
    sizes = None
    if images:
        looked = check_images(table, progress)
        # Reading may have reported a size already; it is one fault.
        said = {(f.rule, f.path) for f in faults}
        faults += [f for f in looked.faults if (f.rule, f.path) not in said]
        faults += check_duplicates(table, looked, progress)
        sizes = looked.sizes_hw
    shared: tuple[str, ...] = ()
    if against is not None:
        other = open_dataset(against, on_bad_box="skip", on_bad_record="skip")
        near, shared = check_against(table, other, progress)
        faults += near
    return Checkup(table, findings(faults), statistics(table, sizes), images, overlap=shared)
