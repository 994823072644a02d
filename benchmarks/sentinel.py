"""What the sentinel measures in sound trainings, and in faulty ones; what it costs.

    python benchmarks/sentinel.py [--runs 100] [--shared ../shared] [--faults] [--cost]

Sound: so many short trainings over all heads, random and loaded weights, drawings and (where they are) photographs,
few and many images, both optimizers. No alarm may come; for each measure the largest part of its limit is printed.
--faults: the seeded faults of tests/support/sentinel/runs.py, by name. --cost: the part of whole trainings
that is spent in it.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from headstart.batches.image_sets import ImageSet, make_image_set
from headstart.errors import HeadstartError, Interrupted
from headstart.models.backbones.building import build_backbone
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.tasks import transfer
from headstart.train import sentinel
from headstart.train.forward import NotFinite
from headstart.train.sentinel import Alarm
from headstart.train.watch import network
from headstart.train.watch.measures import Measure
from headstart.weights.cards import resolve
from headstart.weights.checkpoint import load
from support.sentinel import runs

Range = dict[str, list[float]]
"""Of each fault: the largest part of its limit in each run; the number itself where the limit is 0."""
EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTOGRAPHS = {
    "voc_raccoon": "detect",
    "coco_tiny": "detect",
    "oxford_pets3": "segment",
    "camvid": "segment",
    "flowers17": "classify",
    "tiny_imagenet": "classify",
}
"""Folders of ../shared/data, and what is trained on them."""
CARDS = ("mobilenet_v1_imagenet", "mobilenet_v1_widerface", "shufflenet_v2_fastestdet", "shufflenet_v2_initial")
RATES = {"adamw": (1e-3, 3e-3, 5e-3, 1.5e-2), "sgd": (1e-2, 2e-2, 5e-2)}


def sound(shared: Path, folder: Path) -> Iterator[tuple[str, runs.Run]]:
    """Trainings that have no fault, endlessly, the same ones each time."""
    dice = np.random.Generator(np.random.PCG64(13))
    sets = {
        task: [(f"drawn {n}", runs.drawn(folder / f"drawn{n}", n)) for n in (4, 40)]
        for task in ("detect", "segment", "classify")
    }
    for name, task in PHOTOGRAPHS.items():
        if (shared / "data" / name).is_dir():
            sets[task].append((name, prepared(shared / "data" / name, task, folder / name)))
    drawn = runs.drawn(folder / "novel", 60, world="novel")
    starts: list[tuple[str, Any, bool, Any]] = [
        ("random shapes-resnet", runs.random_backbone(), True, runs.IMAGENET),
        ("loaded shapes-resnet", runs.trained_backbone(drawn, folder / "short"), False, runs.IMAGENET),
        ("loaded longer", runs.trained_backbone(drawn, folder / "long", 150), False, runs.IMAGENET),
        ("random resnet18", build_backbone("resnet18"), True, runs.IMAGENET),
    ]
    if (shared / "weights").is_dir():
        for card in CARDS:
            loaded = load(resolve(f"{card}.toml", EXAMPLES), 0)
            starts.append((card, loaded.backbone, False, loaded.preprocessing))
    heads = list(runs.HEADS)
    for k in itertools.count():
        head = heads[k % len(heads)]
        of_task = sets[runs.HEADS[head][0]]
        title, images = of_task[int(dice.integers(len(of_task)))]
        where, backbone, is_random, preprocessing = starts[int(dice.integers(len(starts)))]
        if head in ("faster-rcnn-c4", "faster-rcnn-dc5") and not hasattr(backbone, "layer4"):
            where, backbone, is_random, preprocessing = starts[int(dice.integers(4))]
        optimizer = ("adamw", "sgd")[int(dice.integers(4) == 0)]
        changes = {
            "optimizer": optimizer,
            "lr": float(dice.choice(RATES[optimizer])),
            "batch_size": int(dice.choice([2, 4, 8])),
            "reestimate_batch_norm": bool(dice.integers(2)),
            "warmup": int(dice.choice([10, 20, 50])),
            "precision": str(dice.choice(["fp32", "fp32", "bf16"])),
        }
        if not is_random and dice.integers(4) == 0:
            changes["batch_norm"] = "frozen"
        if head == "linear" and dice.integers(3) == 0:
            images = several(images)
        yield (
            f"{head}, {title}, {where}, {changes}",
            runs.Run(head, images, backbone, is_random, preprocessing, changes),
        )


def prepared(place: Path, task: str, folder: Path) -> ImageSet:
    """Up to 40 photographs at 96 pixels."""
    table = open_dataset(place)
    rows = np.linspace(0, len(table) - 1, min(40, len(table))).astype(int)
    make_image_set(
        table, rows, rows, task, size_hw=(96, 96), resize="stretch", out=folder, progress=silent, on_bad_image="skip"
    )
    return ImageSet.open(folder)


def several(images: ImageSet) -> ImageSet:
    """The same with a table of labels, a tenth of which nobody knows."""
    table = np.zeros((len(images), len(images.image_classes)), np.int8)
    table[np.arange(len(images)), images.image_labels] = 1
    table[np.random.default_rng(0).random(table.shape) < 0.1] = -1
    return replace(images, label_table=table, image_labels=np.full_like(images.image_labels, -1))


def measured(run: runs.Run, folder: Path) -> tuple[dict[str, float], str]:
    """(largest part of each limit, the alarm or ""), of one training."""
    parts: dict[str, float] = {}
    judge = sentinel._worst

    def noted(measures: Any) -> Measure | None:
        for measure in measures:
            part = measure.value / measure.limit if measure.limit else measure.value
            parts[measure.fault] = max(parts.get(measure.fault, 0.0), part)
        return judge(measures)

    sentinel._worst = noted
    try:
        run.train(folder)
    except Alarm as alarm:
        return parts, str(alarm)
    except Interrupted:
        pass
    finally:
        sentinel._worst = judge
    return parts, ""


def run_sound(count: int, shared: Path, folder: Path) -> int:
    """Print the ranges; returns the number of alarms."""
    found: Range = {}
    alarms = trained = 0
    for k, (words, run) in enumerate(sound(shared, folder)):
        try:
            parts, alarm = measured(run, folder / f"sound{k}")
        except NotFinite as fault:  # no sound one; another takes its place
            print(f"{words}: {str(fault).partition('. ')[0]}", flush=True)
            continue
        trained += 1
        alarms += bool(alarm)
        if alarm:
            print(f"{words}: {alarm}", flush=True)
        for name, part in parts.items():
            found.setdefault(name, []).append(part)
        if trained == count:
            break
    print(f"{count} sound trainings, {alarms} alarms; largest part of the limit, median, in how many it was measured:")
    for fault, values in sorted(found.items()):
        print(f"  {fault:34} {max(values):8.3g} {statistics.median(values):8.3g} {len(values):4}")
    return alarms


def run_faults(folder: Path) -> None:
    images = runs.drawn(folder / "of faults")
    trained = runs.trained_backbone(images, folder / "trained")
    for k, (name, (fault, run)) in enumerate(runs.faults(images, trained).items()):
        try:
            parts, alarm = measured(run, folder / f"fault{k}")
        except HeadstartError as error:
            parts, alarm = {}, str(error)
        caught = f"Likely cause: {fault}" in alarm
        part = parts.get(fault, float("nan"))
        print(f"  {name:50} {alarm.partition(':')[0] if caught else 'MISSED':24} {fault:32} {part:8.3g}")


def run_cost(folder: Path) -> None:
    """The part of whole trainings that is spent in the sentinel, CPU seconds."""
    images = runs.drawn(folder / "of cost")
    trained = runs.trained_backbone(images, folder / "trained")
    spent = 0.0

    def timed(usual: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal spent
            began = time.process_time()
            try:
                return usual(*arguments, **named)
            finally:
                spent += time.process_time() - began

        return call

    places: list[tuple[Any, str]] = [
        (sentinel.Sentinel, "before"),
        (sentinel.Sentinel, "after"),
        (transfer, "look_at_start"),
        (network, "summary"),
    ]
    for place, name in places:
        setattr(place, name, timed(getattr(place, name)))
    for head, updates in (("fcos", 300), ("linear", 200)):
        spent = 0.0
        run = runs.Run(head, images, trained, False, changes={"updates": updates, "warmup": updates // 10})
        began = time.process_time()
        run.train(folder / f"cost {head}", whole=True)
        whole = time.process_time() - began
        print(f"  {head}, {updates} updates: {spent:.3f} of {whole:.2f} s, {spent / whole:.2%}")


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=int, default=100)
    asked.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    asked.add_argument("--faults", action="store_true")
    asked.add_argument("--cost", action="store_true")
    options = asked.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if options.faults:
            run_faults(Path(folder))
        elif options.cost:
            run_cost(Path(folder))
        else:
            return int(run_sound(options.runs, options.shared, Path(folder)) > 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
