"""The `shapes` study from nothing and again: wall time, CPU time, peak summed PSS of all its processes (Linux).

    python benchmarks/shapes_study.py [STUDY] [--out DIR]

Goals (docs/benchmarks.md), two idle cores: at most 10 minutes and 4 GB; run again at most 5 s.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", default="shapes")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = arguments.out or Path(folder) / "run"
        command = [sys.executable, "-m", "headstart", "run", arguments.study, "--out", str(out), "--quiet"]
        print(f"{'run':<8}{'wall s':>9}{'CPU s':>9}{'peak PSS GB':>13}{'exit':>6}", flush=True)
        for name in ("first", "again"):
            wall, cpu, peak, code = measured(command)
            print(f"{name:<8}{wall:>9.1f}{cpu:>9.1f}{peak / 1e9:>13.2f}{code:>6}", flush=True)


def measured(command: list[str]) -> tuple[float, float, int, int]:
    """Wall seconds, CPU seconds of all processes, peak of their summed PSS in bytes, exit code."""
    before, began, peak = _cpu(), time.monotonic(), 0
    process = subprocess.Popen(command)
    while process.poll() is None:
        peak = max(peak, sum(pss(pid) for pid in tree(process.pid)))
        time.sleep(0.25)
    return time.monotonic() - began, _cpu() - before, peak, process.returncode


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    try:
        tasks = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
        children = [int(c) for t in tasks for c in Path(f"/proc/{pid}/task/{t}/children").read_text().split()]
    except OSError:
        return []
    return [pid] + [p for child in children for p in tree(child)]


def pss(pid: int) -> int:
    """Proportional set size in bytes: memory shared by several processes is divided among them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
