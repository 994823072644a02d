"""The answer and the trials as text: read back, they are what metrics.json says."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from headstart import api
from headstart.errors import StudyError
from headstart.report.run_dir import RunDir
from headstart.report.tables import table
from support.reports.fake_run import write_comparison, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("tables") / "run")


def test_csv_has_every_digit(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    answer = list(csv.DictReader(io.StringIO(api.report_table(run, "csv"))))
    assert len(answer) == sum(len(r["rows"]) for r in metrics["rankings"])
    first, ranking = answer[0], metrics["rankings"][0]
    assert (first["task"], first["metric"]) == (ranking["task"], ranking["metric"])
    for row, told in zip(answer, ranking["rows"], strict=False):
        assert row["weights"] == told["weights"] and float(row["mean"]) == told["mean"]
        assert row["best set"] == "best" if row["weights"] == ranking["best"] else row["to best"] != ""
        updates = {c["task"]: str(c["updates"]) for c in metrics["convergence"]}.get(row["task"], "")
        settled = "no" if told["not_converged"] or told.get("unsettled") else "yes"
        assert (row["updates"], row["converged"]) == (updates, settled if updates else "")
    assert {row["converged"] for row in answer} == {"yes", "no", ""}
    trials = list(csv.DictReader(io.StringIO(api.report_table(run, "csv", "trials"))))
    assert len(trials) == len(metrics["trials"]) and "run" not in trials[0]
    by_key = {(t["task"], t["weights"], str(t["seed"])): t["metrics"] for t in metrics["trials"]}
    for row in trials:
        own = by_key[row["task"], row["weights"], row["seed"]]
        shown = {name: value for name, value in row.items() if "/" in name and value}
        assert shown and all(float(value) == own[name] for name, value in shown.items())


def test_markdown_and_latex_are_in_points(run: Path, tmp_path: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    mean = metrics["rankings"][0]["rows"][0]["mean"]
    lines = api.report_table(run, "md").splitlines()
    assert lines[0].startswith("| task | metric | weights | mean |") and set(lines[1]) <= set("| -")
    assert lines[2].split(" | ")[3] == f"{100 * mean:.1f}" and len({line.count("|") for line in lines}) == 1
    odd = write_comparison(tmp_path / "a|b_50%")
    text = table([RunDir.open(run), RunDir.open(odd)], "answer", "latex")
    assert text.startswith(r"\begin{tabular}{llll") and r"a|b\_50\% & detect & det/voc-area/map@0.5 & coco" in text
    assert r"| a\|b_50% | detect |" in table([RunDir.open(run), RunDir.open(odd)], "answer", "md")
    assert "not ranked" in text


def test_no_run_no_table(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no metrics\.json"):
        api.report_table([tmp_path], "md")
