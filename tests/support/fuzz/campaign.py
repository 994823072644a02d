"""Many inputs for one target, and what became of them."""

from __future__ import annotations

import contextlib
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from headstart.errors import HeadstartError
from support.fuzz.guard import Outcome, outcome, watching
from support.fuzz.target import Case, Target

SHOWN = 400
"""Bytes of a found input that a message shows."""


@dataclass
class Finding:
    """The first input of a kind that must not be. count: how many were alike."""

    target: str
    case: str
    file: str
    number: int
    seed: int
    outcome: Outcome
    content: bytes
    count: int = 1

    def __str__(self) -> str:
        return (
            f"{self.target}, input {self.number} of seed {self.seed} ({self.case}, {self.file}), {self.count} alike: "
            f"{self.outcome.kind} at {self.outcome.place or 'no line of ours'}: {self.outcome.error}\n"
            f"  {self.content[:SHOWN]!r}{'..' if len(self.content) > SHOWN else ''}"
        )


@dataclass
class Result:
    """Counts of outcomes, and the worst."""

    target: str
    counts: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    """Seconds."""
    growth: float = 0.0
    """Megabytes that the process's peak grew by, in all."""
    seconds: float = 0.0
    findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        return self.counts.total()

    def add(self, finding: Finding) -> None:
        kind = (finding.outcome.kind, finding.outcome.error.partition(":")[0], finding.outcome.place)
        if kind in self.findings:
            self.findings[kind].count += 1
        else:
            self.findings[kind] = finding


def run(
    target: Target,
    numbers: range,
    folder: Path,
    allowed: tuple[Path, ...] = (),
    *,
    seed: int = 0,
    said: Callable[[Result], None] = lambda _: None,
) -> Result:
    """Read the inputs `numbers` of a target, in `folder`, which is emptied. allowed: where readers may write (caches).

    said: told every few seconds. The valid files are read first.
    """
    platform.processor()  # starts `uname` when it is asked first, and a plan tells what machine it is for
    if target.networks:  # which take seconds to import, and write their compilers' caches
        import timm  # noqa: F401
        import torchvision  # noqa: F401

    shutil.rmtree(folder, ignore_errors=True)
    scratch, inputs = folder / "made", folder / "inputs"
    scratch.mkdir(parents=True)
    cases = target.cases(scratch)
    for k, case in enumerate(cases):
        _written(inputs / str(k), case)
        for trial in range(3):  # what is loaded and compiled on first use is no input's time
            with contextlib.suppress(HeadstartError):
                case.read(inputs / str(k), Random(trial))
    result, began, told = Result(target.name), time.monotonic(), time.monotonic()
    with watching(inputs, *allowed):
        for number in numbers:
            _one(result, cases, inputs, number, seed)
            if time.monotonic() > told + 10:
                told = time.monotonic()
                said(result)
    result.seconds = time.monotonic() - began
    left = {path.relative_to(inputs).as_posix() for path in inputs.rglob("*") if path.is_file()}
    there = {f"{k}/{name}" for k, case in enumerate(cases) for name in case.files}
    assert left == there, f"{target.name}: files were made beside the inputs: {sorted(left - there)[:5]}"
    return result


def _one(result: Result, cases: list[Case], inputs: Path, number: int, seed: int) -> None:
    case, at, file, content = made(cases, result.target, number, seed)
    folder = inputs / str(at)
    _rewrite(folder / file, content)
    was = outcome(lambda: case.read(folder, Random(f"{number} of {seed}")))
    if len(case.changes) > 1:
        _rewrite(folder / file, case.files[file])
    result.counts[was.kind] += 1
    result.slowest = max(result.slowest, was.seconds)
    result.growth += was.megabytes
    if was.kind not in ("accepted", "refused"):
        result.add(Finding(result.target, case.name, file, number, seed, was, content))


def made(cases: list[Case], target: str, number: int, seed: int) -> tuple[Case, int, str, bytes]:
    """(case, its number, the file that is changed, its bytes) of an input."""
    draw = Random(f"{target} {seed} {number}")
    at = number % len(cases)
    case = cases[at]
    file = draw.choice(sorted(case.changes))
    return case, at, file, case.changes[file](case.files[file], draw)


def _rewrite(path: Path, content: bytes) -> None:
    """Not emptied first: file systems wait for the disk where files are replaced so."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def _written(folder: Path, case: Case) -> None:
    for name, content in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
