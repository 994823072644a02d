"""Scores that others have published on suites of data sets: shown beside one's own, never mixed with them."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import UsageError

FILE = Path(__file__).parent / "published.csv"


@dataclass(frozen=True)
class Published:
    """One number of one model over a whole suite, as its source gives it. looked_up: year and month."""

    suite: str
    model: str
    protocol: str
    score: float
    source: str
    looked_up: str


def published(suite: str | None, folder: str) -> tuple[Published, ...]:
    """Of the suite that is named; of none named, where the folder's name is one. Raises UsageError for an unknown."""
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = [Published(**(row | {"score": float(row["score"])})) for row in csv.DictReader(file)]  # type: ignore[arg-type]
    known = dict.fromkeys(row.suite for row in rows)
    if suite is not None and suite not in known:
        raise UsageError(f"--published {suite}: not known. Known are {', '.join(known)}.")
    name = suite or next((k for k in known if _plain(k) == _plain(folder)), None)
    return tuple(row for row in rows if row.suite == name)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
