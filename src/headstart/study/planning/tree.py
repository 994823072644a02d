"""A plan as a tree: each job under what needs it, whether it is done, and of one that is not what has changed.

Why a job is not done is told by the finished job of its kind that differs in the fewest settings: "recipe.lr was
0.004".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headstart.errors import StoreError
from headstart.store.files import read_json
from headstart.store.store import Store
from headstart.study.jobs import VERSIONS, Expansion, Job, as_json

MOST_LOOKED_AT = 200
"""Finished jobs of a kind that one is compared with; those of the same label first."""
MOST_TOLD = 3
"""Differences that a line tells."""


@dataclass
class Tree:
    """The jobs of a study as lines. store: where finished ones are."""

    expansion: Expansion
    store: Store
    _stored: dict[str, list[tuple[str, dict[str, Any]]]] | None = None
    _told: set[str] = field(default_factory=set)
    _is_whole: dict[str, bool] = field(default_factory=dict)

    def lines(self, most: int = 100) -> list[str]:
        """At most so many lines, and one that says how many jobs more there are."""
        self._told.clear()
        found: list[str] = []
        for line in self._all():
            if len(found) == most:
                found.append(f"... and {len(self.expansion.known) - len(self._told):,} jobs more")
                break
            found.append(line)
        return found

    def _all(self) -> Iterator[str]:
        needed = {job.key for known in self.expansion.known for job in known.inputs.values()}
        for job in self.expansion.known:
            if job.key not in needed:
                yield from self._of(job, "", "")

    def _of(self, job: Job, before: str, below: str) -> Iterator[str]:
        if job.key in self._told:
            yield f"{before}{job.label}: {'done' if job.key in self.expansion.done else 'as above'}"
            return
        self._told.add(job.key)
        done = job.key in self.expansion.done
        yield f"{before}{job.label}: {'done' if done else self.why(job)}"
        parts = [] if self._whole(job) else list({needed.key: needed for needed in job.inputs.values()}.values())
        for k, needed in enumerate(parts, 1):
            last = k == len(parts)
            yield from self._of(needed, f"{below}{'└─ ' if last else '├─ '}", f"{below}{'   ' if last else '│  '}")

    def _whole(self, job: Job) -> bool:
        """Whether a job is done, and all that it was made from."""
        if job.key not in self._is_whole:
            done = job.key in self.expansion.done
            self._is_whole[job.key] = done and all(map(self._whole, job.inputs.values()))
        if self._is_whole[job.key]:
            self._told.add(job.key)
        return self._is_whole[job.key]

    def why(self, job: Job) -> str:
        """Why a job is not done, in a few words."""
        if job.name in self.expansion.again:
            return "made again; its large files were dropped and are needed"
        folder = self.store.find_any(job.name)
        if folder is not None:
            return "waits; what is stored is damaged"
        nearest = self._nearest(job)
        if nearest is None:
            return "waits; no job of its kind was made"
        name, changes = nearest
        shown = "; ".join(changes[:MOST_TOLD]) + (f"; {len(changes) - MOST_TOLD} more" if changes[MOST_TOLD:] else "")
        return f"waits; {shown} ({name})"

    def _nearest(self, job: Job) -> tuple[str, list[str]] | None:
        others = self._records().get(job.kind, [])
        others = sorted(others, key=lambda other: other[1].get("label") != job.label)[:MOST_LOOKED_AT]
        now = _flat(as_json(job.settings))
        compared = [(name, _differences(job, now, there)) for name, there in others]
        return min(compared, key=lambda found: (len(found[1]), found[0]), default=None)

    def _records(self) -> dict[str, list[tuple[str, dict[str, Any]]]]:
        """`job.json` of finished jobs by kind, read once."""
        if self._stored is None:
            self._stored = {}
            for entry in self.store.entries():
                try:
                    said = read_json(self.store.find_any(entry.name) / "job.json")  # type: ignore[operator]
                    self._stored.setdefault(said["kind"], []).append((entry.name, said))
                except (StoreError, KeyError, TypeError):
                    continue
        return self._stored


def _differences(job: Job, now: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """What was otherwise for a finished job."""
    before, version, inputs = _flat(there.get("settings")), there.get("version"), job.inputs
    found = [
        f"{name} was {_short(before.get(name))}"
        for name in sorted({*now, *before})
        if now.get(name) != before.get(name)
    ]
    if version != VERSIONS.get(job.kind, 1):
        found.insert(0, f"its kind had version {version}")
    keys = there.get("inputs") or {}
    found += [f"{role} is another" for role in inputs if role not in keys or keys[role] != inputs[role].key]
    return found + [f"{role} is not read any more" for role in keys if role not in inputs]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Settings by their dotted names; of an empty table nothing."""
    if isinstance(value, dict):
        return {key: v for part in value for key, v in _flat(value[part], f"{name}.{part}" if name else part).items()}
    return {name: value}


def _short(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
