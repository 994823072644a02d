"""Processes: a program that is not guarded against being imported again is not run again by its workers."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

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


ALLOCATING = """\
import resource, sys

from headstart import processes

if sys.argv[1] == "keep":
    processes.keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range(12):  # the first two times the memory is asked for in any case
    if number == 2:
        before = faults()
    blocks = [b"x" * (20 << 20), b"y" * (48 << 20)]
    del blocks
print(faults() - before)
processes.give_back_memory()
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) // 1024)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc")
def test_freed_memory_is_used_again_and_given_back_in_the_end(tmp_path: Path) -> None:
    """5,120 pages of the first block and 12,288 of the second, ten times, where nothing is kept."""

    def told(how: str) -> tuple[int, int]:
        said = subprocess.run([sys.executable, "-c", ALLOCATING, how], capture_output=True, text=True, check=True)
        faults, megabytes = map(int, said.stdout.split())
        return faults, megabytes

    assert told("usual")[0] > 100_000
    faults, megabytes = told("keep")
    assert faults < 2_000
    assert megabytes < 60
