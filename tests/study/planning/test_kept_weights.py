"""A study whose weights are dropped: what it says, and that they come back, the same, when something needs them."""

import json
import subprocess
import sys
from functools import reduce
from pathlib import Path

import pytest

from headstart.store.store import Store
from support.killed import STUDY
from support.small_studies import task_text

LARGER = (("seeds", "margin = 0.0\nseeds"), ("count = 8,", "count = 30,"), ("first = 8", "first = 30"))
MOVING = reduce(lambda text, change: text.replace(*change), LARGER, STUDY.partition("[[tasks]]")[0]) + task_text(
    "paint",
    "segment",
    'name = "s", updates = 12, batch_size = 4, lr = 3e-3, warmup = 1, head = "pixel", channels = 16',
    train="images",
)
"""Of two candidates whose trainings have not converged."""


def headstart(*words: str, cwd: Path) -> str:
    command = [sys.executable, "-m", "headstart", *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def lacking(out: Path) -> set[str]:
    """Trainings whose weights are not there."""
    return {entry.name for entry in Store(out).entries() if entry.lacks}


@pytest.mark.slow
def test_dropped_weights_come_back_the_same_when_they_are_needed(tmp_path):
    (tmp_path / "small.toml").write_text(MOVING)
    out, run = tmp_path / "out", ("run", "small.toml", "--out", "out", "--workers", "1")
    said = headstart(*run, cwd=tmp_path)
    assert "not converged: paint" in said and "dropped" not in said and lacking(out) == set()
    said = headstart(*run, "--keep", "winner", cwd=tmp_path)
    assert "MB that nothing needs now; with --keep all they stay" in said
    (gone,) = lacking(out)
    assert "transfer        1 jobs" in headstart("plan", "small.toml", "--out", "out", "--keep", "all", cwd=tmp_path)
    headstart(*run, "--extend", cwd=tmp_path)
    log = (out / "log.txt").read_text()
    assert log.count(f"finished {gone} ") == 2, "made again, for the longer training that begins at its end"
    assert log.count("finished transfer-") == 2 + 1 + 2 and len(lacking(out)) == 3, "of four, one is the best model"
    assert Store(out).verify() == [] and "came out otherwise" not in log
    assert json.loads((out / "keep.json").read_text()) == {"keep": "winner"}
