"""Readers fed with changed files: what 100,000 inputs a target come to.

    python benchmarks/fuzz.py --inputs 100000                 all targets, one after the other
    python benchmarks/fuzz.py --inputs 100000 coco voc        some of them
    python benchmarks/fuzz.py --number 4711 coco              one input again, with its traceback
    python benchmarks/fuzz.py --inputs 1000 --save found/     keep what is found

Columns: inputs; accepted; refused by a message of ours; other exceptions; over 5 s; files written, processes started or
code run elsewhere; over 512 MB for one input; the slowest in ms; by how much the peak of the process's memory grew in
all, MB; inputs a second. Ends with 1 where anything was found. Input k of a seed is always the same bytes.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from support.fuzz.campaign import Result, made, run  # noqa: E402
from support.fuzz.targets import TARGETS  # noqa: E402

COLUMNS = (
    "target",
    "inputs",
    "accepted",
    "refused",
    "other",
    "hang",
    "outside",
    "memory",
    "slowest",
    "grown",
    "a second",
)


def row(result: Result) -> str:
    counts = [result.counts[kind] for kind in ("accepted", "refused", "other", "hang", "outside", "memory")]
    rate = result.inputs / result.seconds if result.seconds else 0.0
    cells = [
        result.target,
        result.inputs,
        *counts,
        f"{1e3 * result.slowest:.0f}",
        f"{result.growth:.0f}",
        f"{rate:.0f}",
    ]
    return "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else cell for cell in cells) + " |"


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of: {', '.join(TARGETS)}")
    asked.add_argument("--inputs", type=int, default=200)
    asked.add_argument("--first", type=int, default=0, help="number of the first input")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--number", type=int, help="only this input, with its traceback")
    asked.add_argument("--save", type=Path, help="folder for inputs that are found")
    given = asked.parse_args()
    save = given.save.resolve() if given.save else None
    with tempfile.TemporaryDirectory(prefix="fuzz-") as home:
        return in_folder(given, Path(home), save)


def in_folder(given: argparse.Namespace, home: Path, save: Path | None) -> int:
    """Caches, work and an empty working folder are below `home`."""
    cache, work, empty = home / "cache", home / "work", home / "empty"
    os.environ |= {"HEADSTART_CACHE": str(cache), "XDG_CONFIG_HOME": str(home / "config"), "HEADSTART_OFFLINE": "1"}
    for folder in (cache, work, empty):
        folder.mkdir()
    os.chdir(empty)
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    found = 0
    for name in given.targets or TARGETS:
        if given.number is not None:
            return again(name, given.number, given.seed, work)
        numbers = range(given.first, given.first + given.inputs)
        result = run(TARGETS[name], numbers, work, (cache,), seed=given.seed, said=lambda r: told(r, given.inputs))
        print(row(result), flush=True)
        found += len(result.findings)
        for finding in result.findings.values():
            print(finding, file=sys.stderr)
            if save:
                save.mkdir(parents=True, exist_ok=True)
                (save / f"{name}-{finding.number}-{Path(finding.file).name}").write_bytes(finding.content)
    left = list(empty.rglob("*"))
    print(f"files in the working folder: {len(left)}", file=sys.stderr)
    os.chdir(home)
    return 1 if found or left else 0


def told(result: Result, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{result.target}: {result.inputs:,} of {of:,}, {len(result.findings)} found ", end="", file=sys.stderr)


def again(name: str, number: int, seed: int, work: Path) -> int:
    """One input, outside the watch."""
    scratch = work / "made"
    scratch.mkdir(parents=True)
    cases = TARGETS[name].cases(scratch)
    case, _, changed, content = made(cases, name, number, seed)
    for file, whole in (*case.files.items(), (changed, content)):
        (work / "in" / file).parent.mkdir(parents=True, exist_ok=True)
        (work / "in" / file).write_bytes(whole)
    print(f"{case.name}, {changed}: {content[:2000]!r}")
    print(case.read(work / "in", Random(f"{number} of {seed}")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
