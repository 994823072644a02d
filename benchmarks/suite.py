"""A suite of many miniature data sets from nothing, and again: wall time, CPU time, peak summed PSS of all processes.

    python benchmarks/suite.py [--sets 100] [--updates 40] [--out DIR]

Each set is 32 images to train on, 16 to validate, 32 to test, of 64 x 64 pixels, of the drawn world's novel classes:
three of them have boxes, drawn anew for each set, and the others are background. Three weights: a small network
pre-trained on labels and on boxes of the base classes (made before, not timed), and random values; one seed, so 300
trainings and tests for 100 sets. Goal (docs/suite.md), two idle cores: at most 20 minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from shapes_study import measured

from headstart.world.shapes import draw
from headstart.world.worlds import WORLDS

SIDE = 64
PARTS = {"train": 32, "valid": 16, "test": 32}
CLASSES = 3
PRETRAINING = """\
name = "for-suites"
seeds = [0]
[sets]
base = { world = "base", count = 1500, size = 64 }
[pretraining.labels]
images = "base"
recipe = "shapes-labels"
validation = ""
changes = { "epochs" = 4, "sampling.size" = 64 }
[pretraining.boxes]
images = "base"
recipe = "shapes-boxes"
validation = ""
changes = { "epochs" = 4, "sampling.size" = 64 }
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = asked.out or Path(folder)
        write_suite(base / "sets", asked.sets)
        (base / "pretraining.toml").write_text(PRETRAINING)
        headstart = [sys.executable, "-m", "headstart"]
        made = base / "pretrained"
        subprocess.run([*headstart, "run", str(base / "pretraining.toml"), "--out", str(made), "--quiet"], check=True)
        weights = (f"run:{made}#labels", f"run:{made}#boxes", "random:shapes-resnet")
        command = [*headstart, "suite", str(base / "sets"), "--out", str(base / "run"), "--budget", "quick", "--quiet"]
        command += ["--seeds", "1", "--updates", str(asked.updates), "--rate", "4e-3", "--size", str(SIDE)]
        command += [word for uri in weights for word in ("-w", uri)]
        print(f"{'run':<8}{'wall s':>9}{'CPU s':>9}{'peak PSS GB':>13}{'exit':>6}", flush=True)
        for name in ("first", "again"):
            wall, cpu, peak, code = measured(command)
            print(f"{name:<8}{wall:>9.1f}{cpu:>9.1f}{peak / 1e9:>13.2f}{code:>6}", flush=True)
        trials = json.loads((base / "run" / "metrics.json").read_text())["trials"]
        print(f"{len(trials)} trials on {len({t['task'] for t in trials})} data sets")


def write_suite(root: Path, sets: int) -> None:
    """So many data sets in Roboflow's layout of COCO files."""
    names = WORLDS["novel"].classes
    each = sum(PARTS.values())
    for k in range(sets):
        kept = np.sort(np.random.default_rng(k).choice(len(names), CLASSES, replace=False)).tolist()
        first = k * each
        for part, count in PARTS.items():
            write_part(root / f"set-{k:03d}" / part, first, count, kept)
            first += count


def write_part(folder: Path, first: int, count: int, kept: list[int]) -> None:
    """Images from `first` on, with the boxes of the classes `kept`."""
    folder.mkdir(parents=True, exist_ok=True)
    names = WORLDS["novel"].classes
    records: dict[str, list[dict]] = {"images": [], "annotations": []}
    records["categories"] = [{"id": k, "name": names[label]} for k, label in enumerate(kept)]
    for i in range(first, first + count):
        drawing = draw("novel", i, SIDE)
        Image.fromarray(drawing.image).save(folder / f"{i}.png")
        records["images"].append({"id": i, "file_name": f"{i}.png", "width": SIDE, "height": SIDE})
        for label, (x1, y1, x2, y2) in zip(drawing.labels.tolist(), drawing.boxes_xyxy.tolist(), strict=True):
            if label in kept:
                box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
                number = len(records["annotations"])
                records["annotations"].append({"id": number, "image_id": i, "category_id": kept.index(label)} | box)
    (folder / "_annotations.coco.json").write_text(json.dumps(records))


if __name__ == "__main__":
    main()
