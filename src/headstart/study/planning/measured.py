"""What jobs took where they are finished, for those that still wait."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from headstart.store.store import Store
from headstart.study.jobs import Expansion
from headstart.study.planning.keeping import large_files

ENOUGH = 50
"""Finished jobs of a kind that are looked at."""


@dataclass(frozen=True)
class Rate:
    """Of a kind of job. slower: measured seconds for each that was guessed. size: bytes of one when it is made; kept:
    of them what stays when its large files are dropped."""

    slower: float
    size: float
    kept: float


def rates(expansion: Expansion, store: Store) -> dict[str, Rate]:
    """By kind, of the study's own finished jobs; none of a kind that has none."""
    looked: dict[str, list[tuple[float, float, int, int]]] = defaultdict(list)
    for job in expansion.known:
        if job.key in expansion.done and len(looked[job.kind]) < ENOUGH:
            entry = store.entry(job.name)
            kept = entry.whole - sum(large_files(job, store).values())
            looked[job.kind].append((entry.seconds, job.cost, entry.whole, kept))
    found = {}
    for kind, of_kind in looked.items():
        seconds, costs, sizes, kept = (sum(column) for column in zip(*of_kind, strict=True))
        if seconds and costs:
            found[kind] = Rate(seconds / costs, sizes / len(of_kind), kept / len(of_kind))
    return found
