"""`headstart evaluate` from files beside hotcoco, faster-coco-eval and pycocotools: CPU seconds of whole processes.

    python benchmarks/evaluate_files.py [--images N] [--repeats N] [--tools NAME ...] [--folder DIR]

The test set of `average_precision.py`, COCO-sized, as two files: the data set with polygons, and its 500,000 detections
as COCO results. Every figure is a process of its own, from its start to its end, all threads together, and the fastest
of the repeats (slow tools run once). A tool that is not installed is left out. Rows of Headstart:

- first call on a machine: no cached table and no compiled code, without resamples;
- without resamples: what the other tools do;
- 1,000 resamples: intervals of all means over classes, which the other tools do not have.

Goals (docs/benchmarks.md): at most 1.0 times hotcoco without resamples, at most 5 CPU s with 1,000, at most 8 CPU s
for the first call.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from average_precision import made

SETTLED = 1.2
"""Seconds after which a new file may be cached (`headstart.places.cache`)."""
OTHERS = {
    "hotcoco": ("hotcoco", "from hotcoco import COCO, COCOeval"),
    "faster-coco-eval": ("faster_coco_eval", "from faster_coco_eval import COCO, COCOeval_faster as COCOeval"),
    "pycocotools": (
        "pycocotools",
        "from pycocotools.coco import COCO; from pycocotools.cocoeval import COCOeval",
    ),
}
"""Name -> module, imports."""
SLOW = ("faster-coco-eval", "pycocotools")
SCRIPT = """import sys
{imports}
found, truth = sys.argv[1:]
gt = COCO(truth)
evaluation = COCOeval(gt, gt.loadRes(found), "bbox")
evaluation.evaluate(); evaluation.accumulate(); evaluation.summarize()
print("AP", float(evaluation.stats[0]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, help="fewer images, and detections in proportion")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tools", nargs="*", choices=list(OTHERS), default=list(OTHERS), help="beside Headstart")
    parser.add_argument("--folder", type=Path, help="where the files are made; by default a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        files = written(Path(folder), given.images)
        time.sleep(SETTLED)
        print(f"\n{'':<40}{'CPU s':>8}{'wall s':>8}{'AP':>8}{'x hotcoco':>11}")
        peer = None
        for name, (command, environment, repeats) in commands(files, Path(folder), given.tools, given.repeats).items():
            cpu, wall, points = fastest(command, environment, repeats)
            peer = cpu if name == "hotcoco" else peer
            ratio = f"{cpu / peer:.2f}" if peer else "-"
            print(f"{name:<40}{cpu:>8.2f}{wall:>8.2f}{points:>8}{ratio:>11}", flush=True)


def commands(
    files: tuple[str, str], folder: Path, tools: Sequence[str], repeats: int
) -> dict[str, tuple[list[str], Mapping[str, str], int]]:
    """Command, environment and repeats of every row, hotcoco's first and slow tools' last."""
    # Modules are compiled once, as they are where the package is installed.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    theirs = {}
    for tool in tools:
        module, imports = OTHERS[tool]
        if importlib.util.find_spec(module) is None:
            print(f"{tool} is not installed, and is left out")
            continue
        script = SCRIPT.format(imports=imports)
        theirs[tool] = ([sys.executable, "-c", script, *files], environment, 1 if tool in SLOW else repeats)
    kept = environment | {
        "HEADSTART_CACHE": str(folder / "tables"),
        "NUMBA_CACHE_DIR": str(folder / "compiled"),
    }
    command = [sys.executable, "-m", "headstart", "evaluate", *files, "--quiet", "--bootstrap"]
    ours = {
        "headstart, first call on a machine": ([*command, "0"], kept, 1),
        "headstart, without resamples": ([*command, "0"], kept, repeats),
        "headstart, 1,000 resamples, first call": ([*command, "1000"], kept, 1),
        "headstart, 1,000 resamples": ([*command, "1000"], kept, repeats),
    }
    quick = {name: row for name, row in theirs.items() if name not in SLOW}
    return quick | ours | {name: row for name, row in theirs.items() if name in SLOW}


def written(folder: Path, images: int | None) -> tuple[str, str]:
    """The files of detections and of the data set."""
    case = made("coco", images)
    found, truth = folder / "detections.json", folder / "instances.json"
    columns = [case[name].tolist() for name in ("images", "labels", "boxes", "scores")]
    records = [
        {"image_id": i + 1, "category_id": k + 1, "bbox": [round(v, 3) for v in box], "score": score}
        for i, k, box, score in zip(*columns, strict=True)
    ]
    found.write_text(json.dumps(records))
    truth.write_text(json.dumps(dataset(case)))
    sizes = [path.stat().st_size / 1e6 for path in (found, truth)]
    print(
        f"{int(case['num_images']):,} images, {len(case['true_labels']):,} true boxes ({sizes[1]:.0f} MB), "
        f"{len(records):,} detections ({sizes[0]:.0f} MB)"
    )
    return str(found), str(truth)


def dataset(case: dict[str, np.ndarray]) -> dict[str, object]:
    """As COCO's files are, each object with a polygon of 20 corners. No image, nor its name or size, is needed."""
    columns = [case[f"true_{c}"].tolist() for c in ("images", "labels", "boxes", "areas", "crowd")]
    turns = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    circle = np.stack([np.cos(turns), np.sin(turns)], 1) / 2 + 0.5
    return {
        "info": {},
        "images": [{"id": i + 1} for i in range(int(case["num_images"]))],
        "categories": [{"id": k + 1, "name": f"class{k}"} for k in range(int(case["num_classes"]))],
        "annotations": [
            {
                "id": j + 1,
                "image_id": i + 1,
                "category_id": k + 1,
                "bbox": box,
                "area": area,
                "iscrowd": int(crowd),
                "segmentation": [(np.array(box[:2]) + circle * np.array(box[2:])).round(2).ravel().tolist()],
            }
            for j, (i, k, box, area, crowd) in enumerate(zip(*columns, strict=True))
        ],
    }


def fastest(command: list[str], environment: Mapping[str, str], repeats: int) -> tuple[float, float, str]:
    """CPU and wall seconds of the fastest of some runs, and the number that it printed."""
    best = (float("inf"), float("inf"), "")
    for _ in range(repeats):
        before, began = _cpu(), time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)[:200]} ended with {done.returncode}:\n{done.stderr}")
        best = min(best, (_cpu() - before, time.perf_counter() - began, _number(done.stdout)))
    return best


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _number(printed: str) -> str:
    """COCO's first number in points, as each tool prints it."""
    for line in printed.splitlines():
        words = line.split()
        if words[:1] == ["AP"]:
            return f"{100 * float(words[1]):.2f}"
        if words[:1] == ["det/coco/map@0.5:0.95"]:
            return words[1]
    return "-"


if __name__ == "__main__":
    main()
