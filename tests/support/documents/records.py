"""Numbers of the documents and the records that they come from.

`<!-- record: NAME -->` in a page ties the numbers after it, up to the next heading or the next such comment, to the
record NAME in `docs/records/PAGE.json`: all of them, in the order of the page. `<!-- no record: why -->` says that the
numbers there were not measured. Of a record, `from` says what made it, and `numbers` are lines of numbers as they are
written, or, where a run's own file was at hand, its values by name with every digit.

    python tests/support/documents/records.py docs/benchmarks.md    # after measuring again
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
RECORDS = ROOT / "docs" / "records"
MARKER = re.compile(r"<!-- (no )?record: (.+?) -->")
NUMBER = re.compile(r"(?<![\w.@/#])(?<![A-Za-z_]-)[-+]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?(?![\w@]|\.\d)")
"""Not digits within names, versions of three parts, addresses."""
UNIT = re.compile(r" ?%|[ -](?:points?|times|ms|s|CPU|min|minutes?|hours?|h|KB|kB|MB|GB|MiB|GiB|GFLOPs)\b")
SETTINGS = re.compile(
    r"IoUs?(?: of)? [\d.]+(?:(?:,| and| or) [\d.]+)*|9[05] %|`[^`]*`"
    r"|(?:Python|PyTorch|CUDA|Ray|Sec\.|version|arXiv:?) [\d.]+"
)
"""What looks so and is not: thresholds that a metric has by its name, levels of intervals, versions, code."""


@dataclass(frozen=True)
class Part:
    """A part of a page: from a heading or a marker to the next. kind: "record", "no record" or "" for neither."""

    heading: str
    kind: str
    name: str
    text: str

    @property
    def numbers(self) -> list[str]:
        """As they are written, in order."""
        return NUMBER.findall(self.text)

    @property
    def measured(self) -> list[str]:
        """Numbers that look measured: with a unit, or with decimals."""
        text = SETTINGS.sub(" ", self.text)
        found = NUMBER.finditer(text)
        return [n[0] for n in found if re.search(r"\d\.\d", n[0]) or UNIT.match(text, n.end())]


def parts_of(page: Path) -> Iterator[Part]:
    """Of Markdown. What is written in fenced blocks is a part of its section, headings there are none."""
    heading, kind, name, lines, fenced = "", "", "", list[str](), False
    for line in page.read_text().splitlines():
        fenced ^= line.startswith("```")
        marker = MARKER.fullmatch(line)
        if marker or (line.startswith("#") and not fenced):
            yield Part(heading, kind, name, "\n".join(lines))
            lines = []
            heading = heading if marker else line.lstrip("# ")
            kind, name = (("no record" if marker[1] else "record"), marker[2]) if marker else ("", "")
        else:
            lines.append(line)
    yield Part(heading, kind, name, "\n".join(lines))


def file_of(page: Path) -> Path:
    """Where the records of a page are."""
    return RECORDS / f"{page.stem.lower()}.json"


def records_of(page: Path) -> dict[str, Any]:
    """By name."""
    return json.loads(file_of(page).read_text()) if file_of(page).is_file() else {}


def fault_of(part: Part, record: dict[str, Any]) -> str:
    """How the numbers of a part differ from its record, "" if nothing does."""
    told = record["numbers"]
    named = told if isinstance(told, dict) else {f"number {k + 1}": n for k, n in enumerate(" ".join(told).split())}
    for (name, value), shown in zip(named.items(), part.numbers, strict=False):
        if not says(shown, value):
            return f"{part.heading}, {part.name}: {name} is {value} in the record, and the page says {shown}"
    if len(named) != len(part.numbers):
        more = part.numbers[len(named) :] or list(named)[len(part.numbers) :]
        return f"{part.heading}, {part.name}: {len(part.numbers)} numbers for {len(named)} of the record: {more[:3]}"
    return ""


def says(shown: str, value: str | float) -> bool:
    """Whether a number as it is written is that of the record: the same text, or a value rounded to its decimals."""
    if isinstance(value, str):
        return shown == value
    decimals = len(shown.partition(".")[2])
    return abs(float(shown.replace(",", "")) - value) <= 0.5000001 * 10**-decimals


def main() -> None:
    """Write the lines of numbers of a page's records as the page has them; records by name are left alone."""
    for page in map(Path, sys.argv[1:]):
        records = records_of(page)
        for part in parts_of(page):
            if part.kind == "record" and not isinstance(records.get(part.name, {}).get("numbers"), dict):
                lines = [" ".join(found) for line in part.text.splitlines() if (found := NUMBER.findall(line))]
                records.setdefault(part.name, {"from": ""})["numbers"] = lines
        file_of(page).write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
