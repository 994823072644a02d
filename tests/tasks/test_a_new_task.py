"""A task is added by one file and one line: here counting objects, down to the report, and nothing else is touched."""

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import headstart
from support.small_studies import task_text

SOURCE = Path(headstart.__file__).parent
COUNT = Path(__file__).parents[1] / "support" / "count.py"
STUDY = """\
name = "counting"
seeds = [0]
bootstrap = 100

[sets]
train = { world = "novel", count = 24, size = 48 }
val = { world = "novel", count = 16, first = 24, size = 48 }
test = { world = "novel", count = 24, first = 40, size = 48 }

[[weights]]
name = "one"
uri = "random:shapes-resnet"

[[weights]]
name = "other"
uri = "random:shapes-resnet"

""" + task_text(
    "count", "count", 'name = "c", updates = 4, batch_size = 8, rates = [1e-3, 3e-3, 9e-3], head = "linear"', val="val"
)


def differences(before: Path, after: Path) -> set[str]:
    """Files that are new, gone or changed, relative to the folder."""
    names = {
        str(p.relative_to(folder))
        for folder in (before, after)
        for p in folder.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    same, _, _ = filecmp.cmpfiles(before, after, sorted(names), shallow=False)
    return names - {*same}


def with_counting(folder: Path) -> Path:
    """A copy of the package with the new task."""
    copy = shutil.copytree(SOURCE, folder / "headstart", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(COUNT, copy / "tasks" / "count.py")
    table = copy / "tasks" / "table.py"
    lines = table.read_text().splitlines(keepends=True)
    lines.insert(lines.index('    "probe",\n'), '    "count",\n')
    table.write_text("".join(lines))
    return copy


@pytest.mark.slow
def test_a_new_task_is_one_file_and_one_line(tmp_path: Path) -> None:
    copy = with_counting(tmp_path / "copy")
    assert differences(SOURCE, copy) == {"tasks/count.py", "tasks/table.py"}
    old, new = ((folder / "tasks" / "table.py").read_text().splitlines() for folder in (SOURCE, copy))
    assert [line for line in new if line not in old] == ['    "count",'] and len(new) == len(old) + 1

    (tmp_path / "study.toml").write_text(STUDY)
    environment = os.environ | {"PYTHONPATH": str(copy.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "headstart.cli.main", "run", "study.toml", "--out", "run", "--workers", "1"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr

    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    (ranking,) = metrics["rankings"]
    assert (ranking["task"], ranking["kind"], ranking["metric"]) == ("count", "count", "count/exact")
    assert {row["weights"] for row in ranking["rows"]} == {"one", "other"}
    assert all(len(trial["lr"]) == 1 and trial["test_images"] == 24 for trial in metrics["trials"])
    report = (tmp_path / "run" / "report.html").read_text()
    assert "Counting on the drawn world (novel classes)" in report and "images counted exactly" in report
