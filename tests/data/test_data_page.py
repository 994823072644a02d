"""What docs/data.md says of conventions is what the code does, and its formats and options are those that there are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from headstart.data.boxes import CONVENTIONS, to_edges
from headstart.readers.formats import READERS

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def rows_of(first: str) -> list[list[str]]:
    """Cells of the tables whose first column has this heading."""
    rows: list[list[str]] = []
    inside = False
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        inside = bool(cells) and (inside or cells[0] == first)
        rows += [cells] if inside and cells[0] != first and not set(cells[0]) <= {"-"} else []
    return rows


def test_conventions_are_those_of_the_code_and_worked_examples_hold() -> None:
    rows = rows_of("convention")
    assert {name.strip("`"): text for name, text, _, _ in rows} == {k: v for k, v in CONVENTIONS.items() if k}
    for name, _, source, edges in rows:
        values = np.array([[float(v) for v in source.split(",")]])
        expected = np.array([[float(v) for v in edges.split(",")]])
        assert np.allclose(to_edges(values, name.strip("`"), np.array([50, 100])), expected, rtol=0, atol=1e-12)


def test_formats_take_the_options_that_the_page_names() -> None:
    rows = rows_of("format")
    assert rows
    for name, _, options in rows:
        assert set(re.findall(r"`(\w+)`", options)) == set(READERS[name.strip("`")].takes), name
