"""Decoding JPEG, PNG and WebP files: bare decoders beside each other, and `headstart.places.images.read_rgb`.

    python benchmarks/decoding.py [--images 60] [--rounds 7] [--photographs FOLDER]

Goal (docs/benchmarks.md): at least 0.9 of the fastest bare decoder at 1024 x 768. One thread; images per CPU second,
medians over rounds in turns. torchcodec, and torchvision while it still decodes, are measured where they are installed.
At the end: an image at half its size, decoded so by the DCT or decoded whole and shrunk.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
from PIL import Image

from headstart.batches.chips.cutting import shrunk
from headstart.places.images import read_rgb
from headstart.world.shapes import draw

SIZES_HW = {"500 x 375": (375, 500), "1024 x 768": (768, 1024)}


def pillow(path: Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))


def turbo(path: Path) -> np.ndarray:
    return simplejpeg.decode_jpeg(path.read_bytes())


def readers() -> dict[str, Callable[[Path], Any]]:
    """Bare decoders that are installed, `headstart` last."""
    bare: dict[str, Callable[[Path], Any]] = {"Pillow": pillow, "simplejpeg": turbo}
    try:
        from torchvision.io import ImageReadMode, decode_image

        bare["torchvision"] = lambda path: decode_image(as_tensor(path), ImageReadMode.RGB)
    except ImportError:
        pass
    try:
        from torchcodec.decoders import decode_image as decode

        bare["torchcodec"] = lambda path: decode(as_tensor(path), mode="RGB")
    except (ImportError, RuntimeError):  # RuntimeError: FFmpeg is not installed.
        pass
    return bare | {"headstart": read_rgb}


def as_tensor(path: Path) -> torch.Tensor:
    return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--photographs", type=Path, help="a folder, JPEGs of which are decoded too")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    torch.set_num_threads(1)
    print(f"{'images per CPU s':<22}" + "".join(f"{name:>13}" for name in readers()) + f"{'of fastest':>13}")
    with tempfile.TemporaryDirectory() as scratch:
        for size, size_hw in SIZES_HW.items():
            for suffix in ("jpg", "png", "webp"):
                paths = made(Path(scratch), suffix, size_hw, arguments.images)
                compare(f"{size} {suffix}", paths, arguments.rounds)
        if arguments.photographs:
            photographs = sorted(arguments.photographs.rglob("*.jpg"))[: arguments.images]
            compare(f"{len(photographs)} photographs", photographs, arguments.rounds)
        compare_halves(made(Path(scratch), "jpg", SIZES_HW["1024 x 768"], arguments.images), arguments.rounds)


def made(folder: Path, suffix: str, size_hw: tuple[int, int], count: int) -> list[Path]:
    paths = []
    for k in range(count):
        noise = np.random.default_rng(k).normal(0, 6, (*size_hw, 3))
        drawn = Image.fromarray(draw("base", k, 96).image).resize(size_hw[::-1], Image.Resampling.BICUBIC)
        paths.append(folder / f"{k}-{size_hw[0]}.{suffix}")
        Image.fromarray((np.asarray(drawn) + noise).clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def compare(name: str, paths: list[Path], rounds: int) -> None:
    ways = readers()
    if paths[0].suffix != ".jpg":
        ways.pop("simplejpeg")
    seconds = timed({way: lambda read=read: [read(path) for path in paths] for way, read in ways.items()}, rounds)
    rates = {way: [len(paths) / s for s in spent] for way, spent in seconds.items()}
    fastest = max(set(rates) - {"headstart"}, key=lambda way: statistics.median(rates[way]))
    ratio = statistics.median(a / b for a, b in zip(rates["headstart"], rates[fastest], strict=True))
    shown = (f"{statistics.median(rates[way]):>13.0f}" if way in rates else f"{'':>13}" for way in readers())
    print(f"{name:<22}" + "".join(shown) + f"{ratio:>13.2f}")


def compare_halves(paths: list[Path], rounds: int) -> None:
    """CPU ms an image: whole; at half its size by the DCT; the whole one shrunk, as for chips of a coarse scale."""
    contents = [path.read_bytes() for path in paths]
    images = [simplejpeg.decode_jpeg(content) for content in contents]
    height, width = (side // 2 for side in images[0].shape[:2])
    ways: dict[str, Callable[[], Any]] = {
        "whole": lambda: [simplejpeg.decode_jpeg(content) for content in contents],
        "half by DCT": lambda: [
            simplejpeg.decode_jpeg(content, min_height=height, min_width=width, min_factor=2) for content in contents
        ],
        "whole, shrunk to half": lambda: [shrunk(image, 0.5) for image in images],
    }
    for way, spent in timed(ways, rounds).items():
        print(f"{way:<22}{1000 * statistics.median(spent) / len(paths):>13.2f} CPU ms")


def timed(ways: dict[str, Callable[[], Iterable[Any]]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each way, round by round in turns."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(-1, rounds):  # Round -1 warms up.
        for way, run in ways.items():
            began = time.process_time()
            run()
            if number >= 0:
                seconds[way].append(time.process_time() - began)
    return seconds


if __name__ == "__main__":
    main()
