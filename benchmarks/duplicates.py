"""Near-duplicates among many images, from their thumbnails: between two sets, and within one.

    python benchmarks/duplicates.py [--first 1700000] [--second 5000] [--within 200000]

Thumbnails are made up: smooth random patterns (as photographs are), a tenth of the second set being changed copies from
the first. Reading thumbnails off real files is timed by itself, on drawn images of 500 x 375 pixels.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headstart.data import duplicates
from headstart.data.annotate import annotate
from headstart.world.shapes import draw

CELLS = 72


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=1_700_000)
    parser.add_argument("--second", type=int, default=5_000)
    parser.add_argument("--within", type=int, default=200_000)
    arguments = parser.parse_args()
    duplicates._near_between(patterns(9, 0), patterns(9, 0))  # Compiles, or loads what was compiled.
    thumbs, queries = patterns(arguments.first, 0), patterns(arguments.second, 1)
    copied = len(queries) // 10
    noise = np.random.default_rng(2).normal(0, 1.5, (copied, CELLS))
    queries[:copied] = (thumbs[:: max(1, len(thumbs) // copied)][:copied] + noise).clip(0, 255).astype(np.uint8)
    print(f"{'':<34}{'CPU s':>8}{'pairs':>10}{'found copies':>14}{'peak RSS GB':>13}")
    began = time.process_time()
    first, _, _ = duplicates._near_between(queries, thumbs)
    share = len(np.unique(first[first < copied])) / copied
    row(f"{len(queries):,} against {len(thumbs):,}", began, len(first), f"{share:.1%}")
    began = time.process_time()
    row(
        f"{arguments.within:,} among themselves", began, len(duplicates._near_within(thumbs[: arguments.within])[0]), ""
    )
    reading()


def row(name: str, began: float, pairs: int, found: str) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{name:<34}{time.process_time() - began:>8.1f}{pairs:>10,}{found:>14}{peak:>13.2f}")


def patterns(count: int, seed: int) -> NDArray[np.uint8]:
    """(count, 72) sums of a few low frequencies, so that neighboring bits of the hash agree as in photographs."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.arange(8) / 8, np.arange(9) / 9, indexing="ij")
    waves = np.stack([np.cos(np.pi * (p * y + q * x) + s) for p in range(5) for q in range(5) for s in (0, 1.57)])
    weight = np.repeat([1 / (1 + p + q) for p in range(5) for q in range(5)], 2)
    out = np.empty((count, CELLS), np.uint8)
    for start in range(0, count, 100_000):
        part = rng.normal(0, 60, (min(100_000, count - start), len(waves))) * weight @ waves.reshape(len(waves), -1)
        out[start : start + len(part)] = (part + 128).clip(0, 255)
    return out


def reading(count: int = 400) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HEADSTART_CACHE"] = str(Path(scratch) / "cache")
        names = [f"{k}.jpg" for k in range(count)]
        for k, name in enumerate(names):
            picture = Image.fromarray(draw("base", k, 96).image).resize((500, 375), Image.Resampling.BICUBIC)
            picture.save(Path(scratch) / name, quality=90)
            os.utime(Path(scratch) / name, (1_700_000_000, 1_700_000_000))
        table = annotate(Path(scratch), "files", names, names, sizes_hw=[(375, 500)] * count, splits=[""] * count)
        for what in ("first time", "from the cache"):
            began = time.process_time()
            duplicates.thumbnails(table, np.arange(count))
            rate = count / (time.process_time() - began)
            print(f"thumbnails, {what}: {rate:,.0f} images per CPU s")


if __name__ == "__main__":
    main()
