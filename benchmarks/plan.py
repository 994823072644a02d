"""How long a study of 10,000 trials takes to be planned, and how much memory: CPU seconds of the whole process.

python benchmarks/plan.py --trials 10000
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

WEIGHTS, TASKS = 20, 50
SET = '[sets.{name}]\nworld = "novel"\ncount = 20\nfirst = {first}\nsize = 48\n'
ARM = """\
[pretraining.p{k}]
images = "base"
recipe = "shapes-boxes"
changes = {{ epochs = {epochs}, "sampling.size" = 64 }}

[[weights]]
name = "w{k}"
pretraining = "p{k}"
"""
TASK = """\
[[tasks]]
name = "task{k}"
kind = "detect"
train = ["train{k}"]
val = ["val{k}"]
test = ["test{k}"]
protocol = "coco"
recipe = {{ name = "d", updates = 30, batch_size = 8, head = "fcos", channels = 16, {rate} }}
"""


def study(trials: int, searched: bool) -> str:
    """A file with so many trials, and where rates are searched three trainings more of each."""
    seeds = trials // (WEIGHTS * TASKS)
    rate = "rates = [1e-3, 3e-3, 9e-3]" if searched else "lr = 1e-3"
    parts = [f'name = "many"\nseeds = {list(range(seeds))}\nbackbone = "shapes-resnet"\n']
    parts.append('[sets.base]\nworld = "base"\ncount = 48\nsize = 64\n')
    for k in range(TASKS):
        parts += [
            SET.format(name=f"{role}{k}", first=100 * k + 20 * j) for j, role in enumerate(("train", "val", "test"))
        ]
    for k in range(WEIGHTS):
        parts.append(ARM.format(k=k, epochs=k + 1))
    parts += [TASK.format(k=k, rate=rate) for k in range(TASKS)]
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    options = parser.parse_args()
    for searched in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "many.toml"
            file.write_text(study(options.trials, searched))
            command = [sys.executable, "-m", "headstart", "plan", str(file), "--device", "cpu"]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print("\n".join(done.stdout.splitlines()[:12]))
            print(f"rates searched: {searched}: {seconds:.1f} CPU s, {after.ru_maxrss / 1e3:.0f} MB at most\n")


if __name__ == "__main__":
    main()
