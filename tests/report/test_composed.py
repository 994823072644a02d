"""Smooth curves and two-way tables in the report."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from headstart.report.build import build
from headstart.report.curves.composed import smooth_charts, two_way
from headstart.report.run_dir import RunDir
from support.reports.fake_run import write_run

NAMES = {"count": ["1", "2+"], "area": ["<1/2", "≥1/2", "≥1"]}


def seed(right: float) -> dict[str, np.ndarray]:
    n = np.array([[9, 0, 4], [6, 0, 0]])
    table = {"n": n, "boxes": np.where(n > 0, right, np.nan), "labels": np.where(n > 0, 0.5, np.nan)}
    return {f"table/mean/{name}": values for name, values in table.items()}


def test_cells_are_means_over_seeds_and_few_images_are_a_number_only() -> None:
    [table] = two_way([seed(0.6), seed(0.8), {}], NAMES)
    assert table["words"] == "mean area" and table["columns"] == ["<1/2", "≥1"], "no column without images"
    assert table["rows"] == [
        ("1", [("70.0", "50.0", "n 9"), ("–", "", "n 4")]),
        ("2+", [("70.0", "50.0", "n 6"), ("", "", "")]),
    ]
    assert two_way([{}], NAMES) == []


def test_the_page_has_curves_and_tables_and_a_run_of_before_has_not(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", seeds=(0, 1))
    page = build(run).read_text()
    section = page[page.index('id="composition"') :]
    assert section.count("<figcaption>The same, ") == 3 and "Number of instances, each of the same area" in section
    assert section.count("Number, by ") == 2 and "As smooth functions" in section
    opened = RunDir.open(run)
    x = np.array([1.0, 2, 4, 8])
    arrays = {"smooth/count/x": x} | {
        f"smooth/count/{whose}": np.stack([[k - 1.5 for k in range(4)]] * 3) * factor
        for whose, factor in (("boxes", 2), ("labels", 1), ("difference", 1))
    }
    charts = smooth_charts(opened, [arrays])
    assert len(charts) == 2
    assert re.search(r"from −3\.00 to 3\.00; .*: from −1\.50 to 1\.50", str(charts[0]))
    assert smooth_charts(opened, [{}]) == []
