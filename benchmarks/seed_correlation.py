"""How far do trainings of two arms that share a seed's number go together? Measured, since intervals depend on it.

    python benchmarks/seed_correlation.py [--seeds N] [--updates N] [--out DIR]

A seed's number sets the order of the images and the initial values of the head. If two arms under one number were lucky
together, pairing seeds would cancel that luck in their difference; if not, pairing only halves the degrees of freedom.
Here each arm (boxes, labels) is pre-trained once on drawn images of 64 pixels, and every seed transfers both to
detection and to segmentation on the same images. Printed: for each score the means and standard deviations over seeds
in points, and the correlation over seeds with the interval by Fisher's z; then the mean of z over tasks, with an
interval by the jackknife over seeds. A correlation of r makes the variance of a difference 1 - r of that of strangers.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import headstart

ARMS = ("boxes", "labels")
METRICS = (
    ("detect", "det/voc-area/map@0.5"),
    ("detect", "det/voc-area/map@0.7"),
    ("segment", "seg/miou"),
)
SETS = """\
name = "{name}"
seeds = {seeds}
bootstrap = 100

[sets]
pretraining = {{ world = "base", count = 2400, size = 64 }}
train = {{ world = "novel", count = 160, size = 64 }}
test = {{ world = "novel", count = 300, first = 1000, size = 64 }}
"""
PRETRAINING = """
[pretraining.{arm}]
images = "pretraining"
recipe = "shapes-{arm}"
changes = {{ epochs = 1, "sampling.size" = 64, "training.batch_size" = 16 }}
"""
WEIGHTS = """
[[weights]]
name = "{arm}"
uri = "run:{made}#{arm}"
"""
TASK = """
[[tasks]]
name = "{task}"
kind = "{task}"
train = ["train"]
test = ["test"]
[tasks.recipe]
name = "small"
updates = {updates}
batch_size = 16
lr = 4e-3
quarter_turns = true
head = "{head}"
"""


def run(out: Path, name: str, text: str) -> dict[str, Any]:
    """Metrics of a study with this file."""
    path = out / f"{name}.toml"
    path.write_text(text)
    return headstart.run_study(path, out / name, device="cpu", quiet=True).metrics


def scores(metrics: dict[str, Any], task: str, metric: str) -> np.ndarray:
    """(arms, S) test scores, seeds in order."""
    trials = sorted((t for t in metrics["trials"] if t["task"] == task), key=lambda t: (t["weights"], t["seed"]))
    return np.array([[t["metrics"][metric] for t in trials if t["weights"] == arm] for arm in ARMS])


def z_of(pair: np.ndarray) -> float:
    return float(np.arctanh(np.corrcoef(pair)[0, 1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = (given.out or Path(folder)).resolve()
        out.mkdir(parents=True, exist_ok=True)
        run(out, "made", SETS.format(name="made", seeds=[0]) + "".join(PRETRAINING.format(arm=arm) for arm in ARMS))
        text = SETS.format(name="transferred", seeds=list(range(given.seeds)))
        text += "".join(WEIGHTS.format(arm=arm, made=out / "made") for arm in ARMS)
        text += "".join(
            TASK.format(task=t, head=h, updates=given.updates) for t, h in (("detect", "fcos"), ("segment", "pixel"))
        )
        metrics = run(out, "transferred", text)
    print(f"{given.seeds} seeds, {given.updates} updates\n{'score':24s} {'means':>11s} {'sd':>9s}  correlation")
    pairs = {metric: scores(metrics, task, metric) for task, metric in METRICS}
    for metric, pair in pairs.items():
        half = 1.959964 / np.sqrt(given.seeds - 3)
        r, lo, hi = np.tanh([z_of(pair), z_of(pair) - half, z_of(pair) + half])
        means, spread = 100 * pair.mean(1), 100 * pair.std(1, ddof=1)
        shown = f"{metric:24s} {means[0]:5.1f} {means[1]:5.1f} {spread[0]:4.1f} {spread[1]:4.1f}"
        print(f"{shown}  {r:+.2f} [{lo:+.2f}, {hi:+.2f}]")
    of_tasks = [pairs["det/voc-area/map@0.5"], pairs["seg/miou"]]
    whole = np.mean([z_of(pair) for pair in of_tasks])
    left = np.array([np.mean([z_of(np.delete(pair, s, axis=1)) for pair in of_tasks]) for s in range(given.seeds)])
    half = 1.959964 * np.sqrt((given.seeds - 1) / given.seeds * ((left - left.mean()) ** 2).sum())
    r, lo, hi = np.tanh([whole, whole - half, whole + half])
    print(f"mean of map@0.5 and miou: {r:+.2f} [{lo:+.2f}, {hi:+.2f}]")


if __name__ == "__main__":
    main()
