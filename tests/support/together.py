"""A program of the tests in two processes that train together over gloo."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TORCHRUN = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--nproc-per-node",
    "2",
    "--master-port",
    "0",
    "--standalone",
]


def run_two(program: Path, *arguments: object, env: Mapping[str, str] | None = None) -> None:
    """Run it with torchrun; fails with what it said."""
    command = [*TORCHRUN, str(program), *map(str, arguments)]
    tests = str(Path(__file__).parents[1])
    env = dict(os.environ if env is None else env)
    env["PYTHONPATH"] = os.pathsep.join([tests, *filter(None, [env.get("PYTHONPATH")])])
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]


def group_threads() -> list[str]:
    """The threads of gloo in this process, by name; none where there is no /proc."""
    names = (path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))
    return [name for name in names if "gloo" in name]
