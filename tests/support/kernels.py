"""Numba's kernels compiled before several workers need the same ones at the same time.

Numba keeps them beside their modules: in a fresh clone each worker would compile all of them, which takes a quarter of
a minute of each; two processes with half of them each take half of that, once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


def world() -> None:
    """Those that draw."""
    from headstart.world.shapes import draw

    draw("base", 0, 32)
    draw("novel", 0, 32)


def tables() -> None:
    """Those that match and sort detections, and that read Open Images."""
    from headstart.metrics.average_precision import average_precision
    from headstart.readers.formats import open_dataset
    from support.boxes_by_hand import random_case
    from support.miniatures_openimages import make_openimages

    truth, detections = random_case(np.random.default_rng(0))
    weights = np.ones((2, truth.num_images), np.uint16)
    for protocol in ("voc07-11pt", "voc-area", "coco"):
        average_precision(truth, detections, protocol, (0.5,)).replicates(weights)
    with tempfile.TemporaryDirectory() as folder:
        make_openimages(Path(folder))
        open_dataset(Path(folder))


def compile_once() -> None:
    """Run both halves side by side, unless numba has kept kernels already. Faults show in the tests that meet them."""
    kept = os.environ.get("NUMBA_CACHE_DIR")
    if any((Path(kept) if kept else ROOT / "src").rglob("*.nbi")):
        return
    paths = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    halves = [
        subprocess.Popen(
            [sys.executable, "-m", "support.kernels", half],
            env=os.environ | {"PYTHONPATH": paths},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for half in ("world", "tables")
    ]
    for process in halves:
        process.wait()


if __name__ == "__main__":
    {"world": world, "tables": tables}[sys.argv[1]]()
