"""What a training gains where its process uses freed memory again (`headstart.processes.keep_freed_memory`, glibc).

    python benchmarks/kept_memory.py [--updates 20] [--rounds 3]

The trainings of `train_step.py`, and the small detector in bf16, each in processes of its own, in turns: with memory
kept as workers keep it, and as the C library does by itself. Wall seconds an update on one thread (page faults are
partly the system's time), pages that the system had to clear for an update, peak resident memory; medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from train_step import CASES, AtHand, detector, ours

from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.processes import keep_freed_memory
from headstart.recipes.schema import recipe_of
from headstart.world.shapes import draw_set

BF16 = "in bf16"
NAMES = [*CASES, f"{next(iter(CASES))}, {BF16}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("CASE", "kept|usual"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(given.one[0], given.one[1] == "kept", given.updates)))
        return
    print(f"{'':<44}{'s an update':>18}{'':>8}{'pages an update':>18}{'peak GB':>16}")
    print(f"{'':<44}{'usual':>9}{'kept':>9}{'ratio':>8}{'usual':>9}{'kept':>9}{'usual':>8}{'kept':>8}")
    for name in NAMES:
        rounds = [{how: asked(name, how, given.updates) for how in ("usual", "kept")} for _ in range(given.rounds)]
        usual, kept = ([statistics.median(of[how][k] for of in rounds) for k in range(3)] for how in ("usual", "kept"))
        ratio = statistics.median(of["kept"][0] / of["usual"][0] for of in rounds)
        print(
            f"{name:<44}{usual[0]:>9.4f}{kept[0]:>9.4f}{ratio:>8.3f}{usual[1]:>9.0f}{kept[1]:>9.0f}"
            f"{usual[2]:>8.2f}{kept[2]:>8.2f}",
            flush=True,
        )


def asked(name: str, how: str, updates: int) -> list[float]:
    """The numbers of one training, in a process of its own."""
    command = [sys.executable, __file__, "--one", name, how, "--updates", str(updates)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)  # type: ignore[no-any-return]


def measured(name: str, kept: bool, updates: int) -> tuple[float, float, float]:
    """Seconds and page faults an update, after a first training that warms up, and peak GB."""
    torch.set_num_threads(1)
    if kept:
        keep_freed_memory()
    backbone, size, settings = CASES[name.removesuffix(f", {BF16}")]
    precision = "bf16" if name.endswith(BF16) else "fp32"
    recipe = recipe_of(dict(name="step", updates=updates, lr=1e-3, warmup=0, precision=precision, **settings))
    with tempfile.TemporaryDirectory() as scratch:
        draw_set("base", 64, 0, size, out=Path(scratch) / "images", progress=lambda fraction, message: None)
        images = ImageSet.open(Path(scratch) / "images")
        batches = Batches(images, recipe.batch_size, 0, True, quarter_turns=False)
        source = AtHand([batches.batch(t) for t in range(8)])
        model = detector(backbone, recipe, size)
        for folder in ("warm", "state"):
            before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
            ours(model, source, recipe, torch.device("cpu"), Path(scratch) / folder)
            took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    faults = (after.ru_minflt - before.ru_minflt) / updates
    return took / updates, faults, after.ru_maxrss / 1e6


if __name__ == "__main__":
    main()
