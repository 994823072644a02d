"""Every operation that changes something below a folder, counted in a command and its children; death, or an error of
the system, at the k-th.

`kill_points.c` says how. The library is compiled when a test wants it; where there is no compiler the test is skipped.
"""

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")
PATIENCE = 300


@dataclass(frozen=True)
class Trial:
    """How a command ended: its exit code (None: it was killed), what it said, and its operations, a word and a path
    each, in order."""

    code: int | None
    said: str
    operations: list[str]


@dataclass(frozen=True)
class Chosen:
    """The operation that something happens at; 0: none. error: its number, 0: death. once: the next ones are well
    again; else all fail from there on but those that delete."""

    at: int = 0
    error: int = 0
    once: bool = False

    def packed(self) -> bytes:
        """As the library reads it, with no operation counted yet."""
        return struct.pack("=QQQQ", 0, self.at, self.error, self.once)


def library(folder: Path) -> Path:
    """The compiled library. Skips the test where it cannot be made."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not Path("/proc/self/fd").exists():
        pytest.skip("needs a C compiler and /proc")
    made = folder / "kill_points.so"
    if not made.exists():
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(SOURCE), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"the library cannot be compiled here: {done.stderr[-300:]}")
    return made


def run(command: list[str], below: Path, cwd: Path, chosen: Chosen, environment: dict[str, str] | None = None) -> Trial:
    """Run a command, and kill it with all its children at the chosen operation below a folder, or let that fail.

    The command has a session of its own, and no process of it is left: one that outlives the command fails the test.
    """
    notes = cwd / "kill_points"
    notes.mkdir(exist_ok=True)
    counter, log = notes / "counter", notes / "log"
    counter.write_bytes(chosen.packed())
    log.unlink(missing_ok=True)
    told = {
        "LD_PRELOAD": str(library(notes)),
        "KILL_POINTS_FOLDER": str(below.absolute()),
        "KILL_POINTS_COUNTER": str(counter),
        "KILL_POINTS_LOG": str(log),
    }
    with (notes / "said").open("w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {}), **told},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(PATIENCE)
            left = remaining(process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        said.seek(0)
        words = said.read()
    assert not left, f"processes outlived the command: {left}\n{words}"
    operations = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return Trial(None if code == -signal.SIGKILL else code, words, operations)


def remaining(session: int) -> list[str]:
    """Command lines of the processes of a session that do not end within some seconds."""
    give_up = time.monotonic() + 10
    while (left := _living(session)) and time.monotonic() < give_up:
        time.sleep(0.02)
    return left


def _living(session: int) -> list[str]:
    left = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state not in "ZX":
                left.append((folder / "cmdline").read_text().replace("\0", " "))
        except (OSError, ValueError):
            continue  # it ended while it was looked at
    return left


def points(count: int, most: int) -> list[int]:
    """At most so many of the operations 1..count, evenly spaced, the first and the last among them."""
    step = max(1.0, (count - 1) / max(1, most - 1))
    return sorted({1 + round(k * step) for k in range(min(most, count)) if 1 + round(k * step) <= count})
