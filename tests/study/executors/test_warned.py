"""Warnings of a run: kept over its commands, told again at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.cli.finish import MOST_WARNINGS, finish
from headstart.report.finished import RunSummary
from headstart.study.executors.warned import FILE, keep_warnings, kept_warnings


def test_warnings_of_several_commands_are_kept_each_once(tmp_path: Path) -> None:
    assert not keep_warnings(tmp_path, []) and not (tmp_path / FILE).exists()
    assert keep_warnings(tmp_path, ["look: 3 of 9 images are gray", "one image is empty"])
    assert not keep_warnings(tmp_path, ["one image is empty"])
    assert keep_warnings(tmp_path, ["two are the same", "one image is empty"])
    assert kept_warnings(tmp_path) == ["look: 3 of 9 images are gray", "one image is empty", "two are the same"]


def test_a_damaged_file_is_no_warning_and_is_made_again(tmp_path: Path) -> None:
    keep_warnings(tmp_path, ["old"])
    (tmp_path / FILE).write_text('["ol')
    assert kept_warnings(tmp_path) == []
    assert keep_warnings(tmp_path, ["new"]) and kept_warnings(tmp_path) == ["new"]


def test_warnings_are_told_again_after_the_answer_but_not_all(capsys: pytest.CaptureFixture[str]) -> None:
    said = tuple(f"job {k}: gray" for k in range(MOST_WARNINGS + 3))
    ended = RunSummary(Path("run"), [], Path("report.html"), ["the answer"], done_already=False, warnings=said)
    finish(ended, quiet=False, as_json=False)
    told = capsys.readouterr()
    assert told.out == "the answer\n"
    assert told.err.splitlines() == [
        *(f"warning: job {k}: gray" for k in range(MOST_WARNINGS)),
        "and 3 more warnings: they are in the report, under What was run",
    ]
    finish(ended, quiet=True, as_json=False)
    assert capsys.readouterr() == ("", "")
