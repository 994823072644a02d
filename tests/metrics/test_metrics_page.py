"""The example in docs/metrics.md prints what the page says that it prints."""

import re
from pathlib import Path
from textwrap import dedent

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_example_prints_what_the_page_says(capsys):
    pytest.importorskip("pandas")
    blocks = [dedent(block).strip() for block in re.findall(r"(?:^(?: {4}.*)?\n)+", PAGE.read_text(), re.MULTILINE)]
    code, printed = [block for block in blocks if block]
    exec(compile(code, str(PAGE), "exec"), {})
    assert capsys.readouterr().out.strip() == printed
