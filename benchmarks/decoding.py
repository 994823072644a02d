"""Decoding JPEG, PNG and WebP files from memory: bare torchvision, bare Pillow, and `headstart.places.images.read_rgb`.

    python benchmarks/decoding.py [--images 60] [--rounds 7]

Goal (docs/benchmarks.md): at least 0.9 of bare torchvision. One thread; images per CPU second, medians over rounds.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from headstart.places.images import read_rgb
from headstart.world.shapes import draw

SIZES_HW = {"500 x 375": (375, 500), "1024 x 768": (768, 1024)}


def torchvision(path: Path) -> torch.Tensor:
    return decode_image(torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8), ImageReadMode.RGB)


def pillow(path: Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))


READERS: dict[str, Callable[[Path], Any]] = {"torchvision": torchvision, "Pillow": pillow, "headstart": read_rgb}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    torch.set_num_threads(1)
    print(f"{'images per CPU s':<22}" + "".join(f"{name:>13}" for name in READERS) + f"{'of torchvision':>16}")
    with tempfile.TemporaryDirectory() as scratch:
        for size, size_hw in SIZES_HW.items():
            for suffix in ("jpg", "png", "webp"):
                paths = made(Path(scratch), suffix, size_hw, arguments.images)
                compared(f"{size} {suffix}", paths, arguments.rounds)


def made(folder: Path, suffix: str, size_hw: tuple[int, int], count: int) -> list[Path]:
    paths = []
    for k in range(count):
        noise = np.random.default_rng(k).normal(0, 6, (*size_hw, 3))
        drawn = Image.fromarray(draw("base", k, 96).image).resize(size_hw[::-1], Image.Resampling.BICUBIC)
        paths.append(folder / f"{k}-{size_hw[0]}.{suffix}")
        Image.fromarray((np.asarray(drawn) + noise).clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def compared(name: str, paths: list[Path], rounds: int) -> None:
    rates: dict[str, list[float]] = {reader: [] for reader in READERS}
    for number in range(-1, rounds):  # Round -1 warms up.
        for reader, read in READERS.items():
            began = time.process_time()
            for path in paths:
                read(path)
            if number >= 0:
                rates[reader].append(len(paths) / (time.process_time() - began))
    ratio = statistics.median(a / b for a, b in zip(rates["headstart"], rates["torchvision"], strict=True))
    print(f"{name:<22}" + "".join(f"{statistics.median(r):>13.0f}" for r in rates.values()) + f"{ratio:>16.2f}")


if __name__ == "__main__":
    main()
