"""SNIPER chips: images a CPU second, positive chips alone and negative ones from 600 proposals an image.

    python benchmarks/chips.py [--images 100000] [--reference 300]

COCO-like boxes: 7.3 an image of 640 x 480, sides log-normal (median 42 px), anywhere in the image. The authors' C++
laid 2,900 images a CPU second with positive chips and 71 with negative ones on such a machine; it is not built here.
How many chips their rule gives is counted with the slow reference of the tests on the first `--reference` images.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from headstart.batches.chips.negatives import negative_chips
from headstart.batches.chips.scales import positive_chips, stride_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.sniper_reference import chip_scales, chips_of_image

HEIGHT, WIDTH, BOXES, PROPOSALS = 480, 640, 7.3, 600
COCO_SCALES = chip_scales("sniper-coco")
AUTHORS = {"positive": 2900, "negative": 71}


def boxes(counts: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(m, 4) boxes and their offsets."""
    total = int(counts.sum())
    sides = np.exp(rng.normal(np.log(42), 1.2, (total, 1)) + rng.normal(0, 0.25, (total, 2)) * [[1, -1]])
    sides = np.clip(sides, 2, [0.95 * WIDTH, 0.95 * HEIGHT])
    corner = rng.random((total, 2)) * ([WIDTH, HEIGHT] - sides)
    return np.concatenate([corner, corner + sides], 1), np.concatenate([[0], np.cumsum(counts)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--reference", type=int, default=300, help="images that the slow reference counts chips of")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    truth, offsets = boxes(rng.geometric(1 / BOXES, given.images), rng)
    sizes = np.tile([[HEIGHT, WIDTH]], (given.images, 1))
    began = time.process_time()
    positive_chips(truth[: offsets[2]], offsets[:3], sizes[:2], COCO_SCALES, seed=0, epoch=0)
    print(f"compilation, or reading it from the cache: {time.process_time() - began:.1f} s")
    began = time.process_time()
    chips = positive_chips(truth, offsets, sizes, COCO_SCALES, seed=0, epoch=0)
    speed = given.images / (time.process_time() - began)
    by_scale = np.bincount(chips.scales, minlength=3) / given.images
    print(f"positive: {speed:,.0f} images a CPU s, {speed / AUTHORS['positive']:.0f} x the authors' C++ (goal 40)")
    shares = ", ".join(f"{c:.2f}" for c in by_scale)
    print(f"{len(chips) / given.images:.2f} chips an image ({shares}, finest first); goal 5.40 to 5.66")
    few = min(given.reference, given.images)
    factors = [float(s.factors(sizes[:1])[0]) for s in COCO_SCALES]
    theirs = sum(
        len(chips_of_image(truth[offsets[i] : offsets[i + 1]], (HEIGHT, WIDTH), factors, stride_of(0, 0), rng))
        for i in range(few)
    )
    ours = int((chips.images < few).sum())
    print(f"on the first {few} images: {ours / few:.2f} chips an image, by the authors' rule {theirs / few:.2f}")
    number = min(given.images, 2000)
    proposals, starts = boxes(np.full(number, PROPOSALS), rng)
    part = positive_chips(truth[: offsets[number]], offsets[: number + 1], sizes[:number], COCO_SCALES, seed=0, epoch=0)
    negative_chips(proposals[: starts[1]], starts[:2], sizes[:1], COCO_SCALES, positives=part, seed=0, epoch=0)
    began = time.process_time()
    pool = negative_chips(proposals, starts, sizes[:number], COCO_SCALES, positives=part, seed=0, epoch=0)
    speed = number / (time.process_time() - began)
    times = speed / AUTHORS["negative"]
    print(f"negative, {PROPOSALS} proposals: {speed:,.0f} images a CPU s, {times:.0f} x the authors' C++ (goal 40)")
    print(f"{len(pool) / number:.1f} negative chips an image in the pool")


if __name__ == "__main__":
    main()
