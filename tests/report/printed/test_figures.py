"""Figures of a run: which there are, what stands in them, and what is said without matplotlib."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headstart.errors import UsageError
from headstart.report.printed.figures import figures
from headstart.report.run_dir import RunDir
from support.reports.fake_pair import write_pair
from support.reports.fake_run import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = write_run(tmp_path_factory.mktemp("figures") / "run", seeds=(0, 1))
    write_pair(folder, ("boxes", "labels"), count=12)
    opened = RunDir.open(folder)
    opened.metrics["rankings"] = opened.metrics["rankings"][:1]
    return opened


def test_a_figure_for_each_ranking_and_pair(run: RunDir, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    paths = figures(run, tmp_path / "out", "pdf")
    assert len(paths) == len(run.metrics["rankings"]) + 1 and paths[-1].name == "errors-detect-novel-boxes-labels.pdf"
    assert all(path.read_bytes().startswith(b"%PDF") for path in paths)
    again = figures(run, tmp_path / "again", "pdf")
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again], "the same run gives the same files"
    [png, *_] = figures(run, tmp_path / "out", "png")
    assert png.read_bytes().startswith(b"\x89PNG")


def test_what_stands_in_a_ranking(run: RunDir) -> None:
    """Names from the best down, means and ends of intervals in points."""
    pytest.importorskip("matplotlib")
    from headstart.report.printed.figures import _rankings

    ranking = run.metrics["rankings"][0]
    axes = _rankings(run)[0][1].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [row["weights"] for row in ranking["rows"]]
    drawn = [line.get_xdata() for line in axes.lines]
    for k, row in enumerate(ranking["rows"]):
        assert list(drawn[2 * k]) == pytest.approx([100 * row["lo"], 100 * row["hi"]])
        assert list(drawn[2 * k + 1]) == pytest.approx([100 * row["mean"]])


def test_without_matplotlib(run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"headstart\[plots\]"):
        figures(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
