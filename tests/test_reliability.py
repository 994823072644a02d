"""docs/reliability.md names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)+)`", PAGE)))
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| promise")]


def defined(path, *names):
    """Whether a file has this function, or this function of this class."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for name in names:
        found = [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name]
        if not found:
            return False
        body = found[0].body
    return True


@pytest.mark.parametrize("named", NAMED)
def test_a_test_that_is_named_exists(named):
    file, *names = named.split("::")
    assert names[-1].startswith("test_") and defined(ROOT / file, *names)


def test_every_promise_names_a_test():
    assert len(ROWS) > 25 and all("`tests/" in row for row in ROWS)
    assert PAGE.count("`tests/") >= len(NAMED) > 25
    assert not defined(ROOT / "tests" / "test_reliability.py", "test_that_is_not_there")
