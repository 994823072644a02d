"""What the tests would not notice: `make mutants` changes the code of some rooms, one place at a time, with mutmut.

    python tests/mutants.py [ROOM ...] [--sample N] [--seed S] [--out FOLDER]

Every room's mutants meet that room's own tests only: a fault that another room's tests would see is found far from
where it is. Of a room with more than N mutants, N are drawn with the seed, the same ones on every machine. What comes
out is the share killed with Wilson's interval, and each survivor as a diff. What survived and why: docs/mutants.md.

mutmut leaves decorated functions alone, so kernels compiled by numba and properties are not mutated.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import tomli_w

ROOT = Path(__file__).parents[1]
KILLED = {1, 3}
TIMEOUT = {-24, 24, 36, 152, 255}
"""Exit codes of mutmut's workers; a mutant that never ends is noticed, too."""


@dataclass(frozen=True)
class Room:
    """Code to change and the tests that have to notice. `left_out`: tests that take seconds (pytest's -k)."""

    code: tuple[str, ...]
    tests: tuple[str, ...]
    left_out: str = ""


ROOMS = {
    "stats": Room(("stats/*.py",), ("tests/stats",), "test_coverage"),
    "metrics": Room(("metrics/*.py",), ("tests/metrics",)),
    "batches": Room(("batches/*.py",), ("tests/batches",)),
    "explain": Room(("explain/*.py",), ("tests/explain",)),
    "plan": Room(
        ("study/plan.py", "study/planning/making.py", "study/planning/explaining.py"),
        ("tests/study/test_plan.py", "tests/study/test_plan_places.py"),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(ROOMS)}; all of them by default")
    parser.add_argument("--sample", type=int, default=400, help="mutants of a room at most; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / ".mutants", help="a folder for copies and results")
    options = parser.parse_args()
    if unknown := set(options.rooms) - set(ROOMS):
        parser.error(f"no room {', '.join(sorted(unknown))}; there are {', '.join(ROOMS)}")
    total: Counter[str] = Counter()
    for name in options.rooms or ROOMS:
        folder = options.out / name
        copy(ROOMS[name], folder)
        counts = tried(folder, options.sample, options.seed)
        total += counts
        print(row(name, counts), flush=True)
    print(row("all", total))
    return 0


def copy(room: Room, folder: Path) -> None:
    """A copy of the project with mutmut's settings for one room."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("src", "tests", "docs", "examples"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "mutants" / "src").mkdir(parents=True)  # Python remembers folders of its path that are not there
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    mutmut = {
        "source_paths": ["src"],
        "only_mutate": [f"src/headstart/{pattern}" for pattern in room.code],
        "pytest_add_cli_args_test_selection": [*room.tests],
        "pytest_add_cli_args": ["-k", f"not ({room.left_out})"] if room.left_out else [],
        "also_copy": ["docs", "examples"],
        "process_isolation": "forkserver",  # a process that has run tests has threads, and what it forks may hang
        "track_dependencies": False,
        "use_git_change_detection": False,
    }
    tables = {"tool": {"mutmut": mutmut, "pytest": settings["pytest"]}}
    (folder / "pyproject.toml").write_text(tomli_w.dumps(tables), encoding="utf-8")


def tried(folder: Path, sample: int, seed: int) -> Counter[str]:
    """Outcomes of the mutants tried: killed, survived, no tests. Writes survivors.txt."""
    mutmut(folder, "run", "none of them")  # makes the mutants, and sees which test reaches which
    names = sorted(outcomes(folder))
    if not names:
        raise SystemExit(f"no mutants in {folder}: see log.txt there")
    if sample and len(names) > sample:
        names = sorted(random.Random(seed).sample(names, sample))
    mutmut(folder, "run", *names)
    codes = outcomes(folder)
    if missing := [name for name in names if codes[name] is None]:
        raise SystemExit(f"{len(missing)} mutants were not tried: see {folder / 'log.txt'}")
    alive = [name for name in names if codes[name] not in KILLED | TIMEOUT]
    with (folder / "survivors.txt").open("w", encoding="utf-8") as file:
        for name in alive:
            shown = mutmut(folder, "show", name).splitlines()
            lines = [
                line for line in shown if line.startswith(("+", "-", "@@")) and not line.startswith(("+++", "---"))
            ]
            file.write("\n".join([f"{name}: {'no test' if codes[name] == 33 else 'survived'}", *lines, "", ""]))
    ended = sum(codes[name] in TIMEOUT for name in names)
    return Counter(tried=len(names), killed=len(names) - len(alive), timeouts=ended, mutants=len(codes))


def outcomes(folder: Path) -> dict[str, int | None]:
    """Exit code of every mutant, by name; None: not tried."""
    codes: dict[str, int | None] = {}
    for path in (folder / "mutants").rglob("*.meta"):
        codes |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return codes


def mutmut(folder: Path, *arguments: str) -> str:
    """Run mutmut in the copy, its own output into log.txt; returns what it printed."""
    # Processes that tests start import the mutated package, too.
    environment = os.environ | {"PYTHONPATH": str(folder.absolute() / "mutants" / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        log.write(done.stdout + done.stderr)
    return done.stdout


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share (E. B. Wilson, JASA 22, 1927)."""
    share, extra = successes / trials, z * z / trials
    middle = (share + extra / 2) / (1 + extra)
    half = z / (1 + extra) * math.sqrt(share * (1 - share) / trials + extra / trials / 4)
    return middle - half, middle + half


def row(name: str, counts: Counter[str]) -> str:
    low, high = wilson(counts["killed"], counts["tried"])
    share = counts["killed"] / counts["tried"]
    return (
        f"{name:10}{counts['mutants']:6} mutants, {counts['tried']:5} tried, {counts['killed']:5} killed: "
        f"{share:.1%} ({low:.1%} to {high:.1%}), {counts['timeouts']} of them by the time limit"
    )


if __name__ == "__main__":
    sys.exit(main())
