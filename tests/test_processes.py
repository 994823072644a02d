"""Processes: a program that is not guarded against being imported again is not run again by its workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """\
from concurrent.futures import ProcessPoolExecutor
import os, sys

from headstart.processes import SPAWNED

print("the program runs")
with ProcessPoolExecutor(2, SPAWNED) as workers:
    pids = {workers.submit(os.getpid).result() for _ in range(4)}
assert os.getpid() not in pids
print(sys.modules["__main__"].__file__)
"""


def test_workers_do_not_run_the_program_again(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, ["the program runs", str(program)], "")
