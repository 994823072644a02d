"""Three MobileNets (labels, labels then faces' boxes, random) as starts for nine tasks on real photographs.

    python benchmarks/real_pair.py DATA --out RUNS            runs what is missing, then prints the tables
    python benchmarks/real_pair.py DATA --out RUNS --tables   only prints them, from the runs' metrics.json

DATA holds the folders that are named in `TASKS`; `headstart compare --full --seeds 5 --budget quick` is run on each,
and again with --extend where its fine-tuning has not converged. Two hours on two cores; the same command goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LABELS, FACES, RANDOM = "mobilenet_v1-imagenet", "mobilenet_v1-widerface", "random-mobilenet_v1_025"
WEIGHTS = (
    EXAMPLES / "mobilenet_v1_imagenet.toml",
    EXAMPLES / "mobilenet_v1_widerface.toml",
    f"random:{EXAMPLES / 'mobilenet_v1.py'}:mobilenet_v1_025",
)
TASKS = (
    ("flowers17", "classify", ()),
    ("oxford_pets3", "classify", ()),
    ("tiny_imagenet", "classify", ()),
    ("voc_bccd", "detect", ("--on-bad-box", "skip")),
    ("voc_raccoon", "detect", ()),
    ("coco_tiny", "detect", ()),
    ("oxford_pets3", "detect", ()),
    ("oxford_pets3", "segment", ()),
    ("camvid", "segment", ()),
)
EXTENDED = 1
"""Times that a comparison is extended, at most."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tables", action="store_true")
    given = parser.parse_args()
    if not given.tables:
        for name, task, options in TASKS:
            compare(given.data, given.out, name, task, options)
    runs = [given.out / f"{name}-{task}" for name, task, _ in TASKS]
    told = {run.name: json.loads((run / "metrics.json").read_text()) for run in runs if (run / "metrics.json").exists()}
    print(table(told))


def compare(data: Path, out: Path, name: str, task: str, options: tuple[str, ...]) -> None:
    """One comparison, and its extensions."""
    folder = with_lists(data / name, out / "data" / name) if name == "voc_raccoon" else data / name
    run = out / f"{name}-{task}"
    command = [sys.executable, "-m", "headstart", "compare", str(folder), "--task", task, "--out", str(run)]
    command += ["--budget", "quick", "--full", "--seeds", "5", "--trust-code", *options]
    command += [word for weights in WEIGHTS for word in ("-w", str(weights))]
    subprocess.run(command, check=True)
    for _ in range(EXTENDED - extended(run)):
        if moving(json.loads((run / "metrics.json").read_text())):
            subprocess.run([*command, "--extend"], check=True)


def extended(run: Path) -> int:
    """How often a run was extended before."""
    file = run / "extended.json"
    return max(json.loads(file.read_text()).values(), default=0) if file.exists() else 0


def moving(metrics: dict[str, Any]) -> bool:
    """Whether anything that a task is ranked by first has not converged."""
    first = {ranking["task"]: ranking["metric"] for ranking in reversed(metrics["rankings"])}
    return any(row["unsettled"] for row in metrics["convergence"] if row["metric"] == first[row["task"]])


def with_lists(source: Path, copy: Path) -> Path:
    """The raccoons with their own split, which lies in two CSV files beside VOC's folders, as lists of VOC."""
    if not copy.exists():
        shutil.copytree(source, copy)
    (copy / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        with (copy / f"data/{part}_labels.csv").open(newline="") as file:
            names = dict.fromkeys(Path(row["filename"]).stem for row in csv.DictReader(file))
        (copy / f"ImageSets/Main/{part}.txt").write_text("".join(f"{name}\n" for name in names))
    return copy


def table(runs: dict[str, dict[str, Any]]) -> str:
    """A row for each ranking. Differences are the rankings' own, with intervals of all pairs at once."""
    lines = [
        "| data | scored by | test images | updates | labels | faces | random | faces less labels | random less best |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, metrics in runs.items():
        updates = {row["task"]: row["updates"] for row in metrics["convergence"]}
        for ranking in metrics["rankings"]:
            rows = {row["weights"]: row for row in ranking["rows"]}
            means = [
                f"{100 * rows[w]['mean']:.1f}{' *' if w in ranking['best_set'] else ''}"
                for w in (LABELS, FACES, RANDOM)
            ]
            cells = [
                name.partition("-")[0],
                ranking["metric"].removeprefix("det/voc-area/").removesuffix("/top1"),
                str(ranking["test_images"]),
                str(updates.get(ranking["task"], "")),
                *(mean.replace("*", r"\*") for mean in means),
                of_labels(ranking["best"], rows),
                difference(rows[RANDOM], 1) if ranking["best"] != RANDOM else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def of_labels(best: str, rows: dict[str, dict[str, Any]]) -> str:
    """Faces less labels, where one of the two is the best: only differences to the best are ranked."""
    if best == LABELS:
        return difference(rows[FACES], 1)
    return difference(rows[LABELS], -1) if best == FACES else ""


def difference(row: dict[str, Any], sign: int) -> str:
    """Its effect and interval in points; in brackets alone where it has no verdict."""
    effect = row["to_best"]
    low, high = sorted(sign * 100 * effect[end] for end in ("lo", "hi"))
    said = f"{sign * 100 * effect['effect']:+.1f} [{low:.1f}, {high:.1f}]"
    return f"({said})" if row["unsettled"] else said


if __name__ == "__main__":
    main()
