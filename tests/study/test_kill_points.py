"""SIGKILL at each operation that changes a run's folder: the same command ends in the same bytes, does nothing twice
and leaves nothing behind.

Here three points; all of them in the nightly suite (HEADSTART_KILL_POINTS=n: so many, evenly spaced; `a-b`: from one to
the other; `kinds`: one of each kind, a kind being an operation and a path without its numbers).
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.forked import Forks
from support.kill_points import points
from support.killed import SUBJECTS, Subject, differences, finished, results, strays

TRIAL = "trial"
"""Folder of every run: the folder that a command is given in is part of what it leaves."""


def undisturbed(subject: Subject, folder: Path, forks: Forks | None = None) -> tuple[dict[str, Any], list[str]]:
    """What a run leaves that nobody disturbs, and its operations."""
    trial = subject.run(subject.prepare(folder / TRIAL), 0, forks)
    assert trial.code == 0, trial.said
    left = results(folder / TRIAL / subject.out)
    shutil.rmtree(folder / TRIAL)
    return left, trial.operations


def killed_and_continued(
    subject: Subject, whole: dict[str, Any], folder: Path, at: int, forks: Forks | None = None
) -> None:
    trial = subject.run(subject.prepare(folder), at, forks)
    out = folder / subject.out
    assert trial.code is None or at > len(trial.operations), trial.said
    where = f"killed at {at}: {trial.operations[at - 1] if at <= len(trial.operations) else 'the end'}"
    before = finished(out)
    again = subject.run(folder, 0, forks)
    assert again.code == 0, f"{where}\n{again.said}"
    assert "Traceback" not in again.said, f"{where}\n{again.said}"
    assert "damaged" not in again.said, f"{where}\n{again.said}"
    differ, left = differences(results(out), whole), strays(out)
    assert (differ, left) == ([], []), where
    assert before.items() <= finished(out).items(), f"{where}: a finished job was run twice"


SOME = [("run", "unlink /store/transfer"), ("labels", 0.9), ("chips", 0.3)]
"""Commands, and where they are killed: a share of their operations, or the second one that begins so. There weights
are dropped."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "where"), SOME)
def test_killed_at_some_operations(name, where, tmp_path):
    """In processes of their own."""
    (subject,) = (s for s in SUBJECTS if s.name == name)
    whole, operations = undisturbed(subject, tmp_path)
    of_kind = [k for k, line in enumerate(operations, 1) if isinstance(where, str) and line.startswith(where)]
    at = round(where * len(operations)) if isinstance(where, float) else of_kind[1]
    killed_and_continued(subject, whole, tmp_path / TRIAL, at)


def kind_of(operation: str) -> str:
    """An operation and its path without keys, processes and numbers."""
    return re.sub(r"\d+", "#", re.sub(r"-[0-9a-f]{16}", "", operation))


def chosen_points(operations: list[str], wanted: str) -> Iterator[int]:
    if wanted == "kinds":
        yield from {kind_of(operation): k for k, operation in reversed([*enumerate(operations, 1)])}.values()
    elif "-" in wanted:
        first, last = wanted.split("-")
        yield from range(int(first), int(last or len(operations)) + 1)
    else:
        yield from points(len(operations), int(wanted))


@pytest.mark.nightly
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_killed_at_every_operation(subject, tmp_path_factory):
    folder = tmp_path_factory.mktemp(subject.name)
    faults, tried = [], []
    with subject.forks(folder / "any") as forks:
        whole, operations = undisturbed(subject, folder, forks)
        for at in chosen_points(operations, os.environ.get("HEADSTART_KILL_POINTS", str(len(operations)))):
            tried.append(at)
            try:
                killed_and_continued(subject, whole, folder / TRIAL, at, forks)
            except AssertionError as fault:
                faults.append(str(fault)[:1500])
                print(f"{at}: {str(fault)[:1500]}", flush=True)
            shutil.rmtree(folder / TRIAL)
    print(f"{subject.name}: {len(tried)} of {len(operations)} points, {len(faults)} faults")
    assert faults == []
