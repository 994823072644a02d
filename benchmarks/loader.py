"""Batches of chips: an image decoded once for all its chips in a window, against one decoding for each chip.

    python benchmarks/loader.py [--images 48] [--rounds 3]

1024 x 768 JPEGs with COCO-like boxes, chips of 512 pixels at SNIPER's scales for COCO and for Open Images; one thread,
chips a CPU second, medians over rounds in turns. Three ways over the same chips of the same epoch: `ChipBatches` in its
windows; the same code, but every chip decodes its image (as the authors' loader does); and bare simplejpeg and torch
doing that: decoding, cropping, resizing, padding. Goal: at least 3 times the chips of the second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from chips import boxes
from decoding import made, turbo
from torch.nn import functional as F

from headstart.batches.chips.batches import ChipBatches
from headstart.batches.chips.epochs import ChipLayout
from headstart.batches.chips.scales import CHIP, scales_of
from headstart.readers.formats import open_dataset
from headstart.recipes.pretraining import load_recipe

SIZE_HW = (768, 1024)
BATCH, WINDOW = 16, 256
SCALES = {
    name: scales_of(load_recipe(recipe).sampling.scales)  # type: ignore[attr-defined]
    for name, recipe in (("COCO", "sniper-coco"), ("Open Images", "sniper-openimages"))
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'chips per CPU s':<14}{'chips an image':>16}{'windows':>10}{'per chip':>10}{'bare':>13}"
        f"{'of per chip':>13}{'of bare':>10}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        data = written(Path(scratch), given.images)
        for name, scales in SCALES.items():
            source = ChipBatches(open_dataset(data), ChipLayout("chips", scales), BATCH, 0, flip=True, window=WINDOW)
            ways: dict[str, Callable[[], int]] = {
                "windows": lambda s=source: windows(s),
                "per chip": lambda s=source: per_chip(s),
                "bare": lambda s=source: bare(s),
            }
            rates: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(-1, given.rounds):  # Round -1 warms up.
                for way, run in ways.items():
                    began = time.process_time()
                    count = run()
                    if number >= 0:
                        rates[way].append(count / (time.process_time() - began))
            rate = {way: statistics.median(values) for way, values in rates.items()}
            print(
                f"{name:<14}{source.count / given.images:>16.2f}{rate['windows']:>10.0f}{rate['per chip']:>10.0f}"
                f"{rate['bare']:>13.0f}{rate['windows'] / rate['per chip']:>13.2f}"
                f"{rate['windows'] / rate['bare']:>10.2f}"
            )


def written(folder: Path, count: int) -> Path:
    """A COCO data set of JPEGs."""
    rng = np.random.default_rng(0)
    truth, offsets = boxes(rng.geometric(1 / 7.3, count), rng)
    truth *= 1.6  # laid for 640 x 480
    (folder / "images").mkdir()
    (folder / "annotations").mkdir()
    records: dict[str, list] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    for i, path in enumerate(made(folder / "images", "jpg", SIZE_HW, count)):
        records["images"].append({"id": i, "file_name": path.name, "width": SIZE_HW[1], "height": SIZE_HW[0]})
        for x1, y1, x2, y2 in truth[offsets[i] : offsets[i + 1]].tolist():
            records["annotations"].append(
                {
                    "id": len(records["annotations"]),
                    "image_id": i,
                    "category_id": 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
    (folder / "annotations" / "instances_train2017.json").write_text(json.dumps(records))
    (folder / "images").rename(folder / "train2017")
    return folder


def windows(source: ChipBatches) -> int:
    return sum(
        len(batch) for steps in source.together(0, source.per_epoch) for batch in source.made(steps, slice(None))
    )


def per_chip(source: ChipBatches) -> int:
    """Each batch by itself, chip by chip: nothing is shared."""
    parts = [slice(b, b + 1) for b in range(BATCH)]
    return sum(len(source.batch(t, part)) for t in range(source.per_epoch) for part in parts)


def bare(source: ChipBatches) -> int:
    """What one writes without any loader, and without targets."""
    table, done = source.epochs.of(0), 0
    for chip in range(len(table)):
        factor, (height, width) = float(table.factors[chip]), table.sizes_hw[chip].tolist()
        path = Path(str(source.annotations.image_path(int(table.images[chip]))))
        image = torch.from_numpy(turbo(path)).permute(2, 0, 1)
        left, top = (int(v / factor) for v in table.origins_xy[chip])
        part = image[:, top : top + int(np.ceil(height / factor)), left : left + int(np.ceil(width / factor))]
        sized = F.interpolate(part[None], (height, width), mode="bilinear", antialias=True)[0]
        F.pad(sized, (0, CHIP - width, 0, CHIP - height))
        done += 1
    return done


if __name__ == "__main__":
    main()
