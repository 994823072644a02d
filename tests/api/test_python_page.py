"""The page on Python: its code runs as one program, passes mypy --strict, and what is misspelt does not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.progress import silent
from headstart.world.shapes import write_coco

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "python.md"
MISSPELT = """\
import headstart

headstart.open_dataset("x", zero_base=True)
headstart.open_dataset("x", missing_labels="full")
headstart.compare("x", ["a", "b"], bugdet="quick")
headstart.compare("x", ["a", "b"], budget="fast")
headstart.evaluate("a.json", "x", read={"sdb": True})
headstart.export_weights("a", "b", "caffe")
headstart.run_study("shapes").rankings[0].standings[0].score
headstart.load_backbones("x")
"""


def program() -> str:
    """The Python of the page."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert len(blocks) > 5
    return "import pathlib\n\nimport numpy\n\n" + "\n".join(blocks)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With what the page names."""
    write_coco("base", 12, 0, 64, out=tmp_path / "shapes", progress=silent)
    made = [sys.executable, str(ROOT / "examples" / "jittered_detections.py"), "shapes", "detections.json"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@pytest.mark.slow
def test_the_code_of_the_page_runs(folder: Path) -> None:
    (folder / "page.py").write_text(program())
    done = subprocess.run([sys.executable, "page.py"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    print(done.stdout)
    assert said[0].startswith("coco 12 (") and said[-1].startswith("nowhere: ")
    assert any(line.startswith("<ranking of find by det/") for line in said)


@pytest.mark.slow
def test_types_are_there_for_users(tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text(program())
    (tmp_path / "misspelt.py").write_text(MISSPELT)
    words = ["--strict", "--no-error-summary", "--cache-dir", str(ROOT / ".mypy_cache" / "users")]
    command = [sys.executable, "-m", "mypy", *words, "--config-file=", "page.py", "misspelt.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    faults = [line for line in done.stdout.splitlines() if ": error: " in line]
    lines = {int(line.split(":")[1]) for line in faults if line.startswith("misspelt.py")}
    assert lines == set(range(3, 3 + len(MISSPELT.strip().splitlines()) - 2)), done.stdout
    assert [line for line in faults if not line.startswith("misspelt.py")] == [], done.stdout
