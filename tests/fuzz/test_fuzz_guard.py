"""The watch notices what it is for: otherwise all that it finds nothing in would prove nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import DataError
from support.fuzz import guard
from support.fuzz.campaign import made, run
from support.fuzz.guard import outcome, watching
from support.fuzz.target import Case, Target
from support.fuzz.targets import TARGETS


def kinds(call, folder: Path, *allowed: Path) -> str:
    with watching(folder, *allowed):
        return outcome(call).kind


def refuse() -> None:
    raise DataError("x: cannot be read. Write it again.")


def refuse_silently() -> None:
    raise DataError(" ")


def fail() -> None:
    raise KeyError("x")


def hang() -> None:
    with contextlib.suppress(Exception):
        time.sleep(60)


def hang_in_a_library() -> None:
    """Where no signal is heard before it returns. Counted in processor time, since others may have most of it."""
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass


def test_outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SECONDS", 0.2)
    assert kinds(lambda: None, tmp_path) == "accepted"
    assert kinds(refuse, tmp_path) == "refused"
    assert kinds(refuse_silently, tmp_path) == "other"
    assert kinds(fail, tmp_path) == "other"
    assert kinds(hang, tmp_path) == "hang"
    with watching(tmp_path):
        signalled = outcome(hang_in_a_library)
    assert signalled.kind == "hang" and signalled.seconds < 30


def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "GROWTH", -1)
    assert kinds(lambda: None, tmp_path) == "memory"
    monkeypatch.undo()
    assert kinds(lambda: np.ones(guard.ROOM), tmp_path) == "other"


def test_what_is_touched_outside(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "there").write_text("x")
    (inside / "code.py").write_text("1")
    code = compile("1", str(inside / "code.py"), "exec")
    deeds = [
        lambda: (outside / "new").write_text("x"),
        lambda: os.open(outside / "there", os.O_RDWR),
        lambda: (outside / "there").rename(outside / "moved"),
        lambda: (outside / "moved").unlink(),
        lambda: (outside / "folder").mkdir(),
        lambda: (outside / "link").symlink_to("x"),
        lambda: subprocess.run(["true"]),
        lambda: exec(code),
    ]
    assert [kinds(deed, inside, inside) for deed in deeds] == ["outside"] * len(deeds)
    harmless = [lambda: (inside / "a").write_text("x"), lambda: list(outside.iterdir()), lambda: exec("1")]
    assert [kinds(deed, inside, inside) for deed in harmless] == ["accepted"] * len(harmless)


def test_the_same_number_is_the_same_input(tmp_path: Path) -> None:
    """And another number another one."""
    for target in TARGETS.values():
        (tmp_path / target.name).mkdir()
        cases = target.cases(tmp_path / target.name)
        first, again = ([made(cases, target.name, k, 3) for k in range(20)] for _ in range(2))
        contents = [content for *_, content in first]
        assert contents == [content for *_, content in again], target.name
        assert len(set(contents)) > 15 and sum(case.files[file] != content for case, _, file, content in first) > 15


def test_a_finding_names_its_input(tmp_path: Path) -> None:
    def read(folder: Path, draw) -> None:
        if (folder / "a").read_bytes() == b"1":
            raise IndexError("one")

    target = Target(
        "numbers", lambda _: [Case("one file", {"a": b"0"}, {"a": lambda _, draw: b"%d" % draw.randrange(3)}, read)]
    )
    result = run(target, range(50), tmp_path / "work")
    ((kind, found),) = result.findings.items()
    assert kind[:2] == ("other", "IndexError") and found.content == b"1" and found.count == result.counts["other"] > 5
    assert result.inputs == 50 and f"input {found.number} of seed 0" in str(found)
