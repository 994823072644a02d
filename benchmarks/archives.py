"""Images read from loose files and from one zip or tar file: time to open it again, and images per second.

    python benchmarks/archives.py [--members 20000] [--images 3000] [--rounds 5] [--folder DIR]

Goals (docs/benchmarks.md): opened again in less than 0.1 s; images/s within 10 % of loose files. Each round reads the
same images, in a random order, from every place in turn; medians over rounds of the ratio to the loose files of that
round. Files are in the system's cache: what is compared is the work of this process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.places.images import read_rgb
from headstart.places.opening import open_place
from headstart.places.paths import DataPath
from headstart.world.shapes import draw

DISTINCT = 64
FOLDERS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--images", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where files are made; by default a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        os.environ["HEADSTART_CACHE"] = str(Path(scratch) / "cache")
        places = make(Path(scratch), arguments.members)
        roots = opened(places)
        compared(roots, arguments.members, arguments.images, arguments.rounds)


def name_of(k: int) -> str:
    return f"train/class{k % FOLDERS:03d}/{k:06d}.jpg"


def make(scratch: Path, members: int) -> dict[str, Path]:
    """The same JPEG files loose, in a zip file as they are and deflated, and in a tar file."""
    pictures = []
    for k in range(DISTINCT):
        noise = np.random.default_rng(k).normal(0, 6, (375, 500, 3))
        pixels = np.asarray(Image.fromarray(draw("base", k, 96).image).resize((500, 375), Image.Resampling.BICUBIC))
        path = scratch / "one.jpg"
        Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(path, quality=90)
        pictures.append(path.read_bytes())
    print(f"{members:,} JPEG files of 500 x 375 pixels, {sum(map(len, pictures)) / DISTINCT / 1000:.0f} kB on average")
    loose = scratch / "loose"
    for k in range(members):
        (loose / name_of(k)).parent.mkdir(parents=True, exist_ok=True)
        (loose / name_of(k)).write_bytes(pictures[k % DISTINCT])
    places = {"loose": loose}
    for name, method in (("zip", zipfile.ZIP_STORED), ("zip, deflated", zipfile.ZIP_DEFLATED)):
        places[name] = scratch / f"{method}.zip"
        with zipfile.ZipFile(places[name], "w", method) as archive:
            for k in range(members):
                archive.writestr(name_of(k), pictures[k % DISTINCT])
    places["tar"] = scratch / "x.tar"
    with tarfile.open(places["tar"], "w") as packed:
        for k in range(members):
            packed.add(loose / name_of(k), name_of(k))
    for path in places.values():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return places


def opened(places: dict[str, Path]) -> dict[str, DataPath]:
    print(f"\n{'':<16}{'first open s':>14}{'again ms':>10}{'index MB':>10}")
    roots = {"loose": open_place(places["loose"])}
    for name, path in places.items():
        if name != "loose":
            first, root = timed(path)
            again = min(timed(path)[0] for _ in range(5))
            index = max((Path(os.environ["HEADSTART_CACHE"]) / "archives").glob("*"), key=lambda p: p.stat().st_mtime)
            print(f"{name:<16}{first:>14.2f}{again * 1000:>10.2f}{index.stat().st_size / 1e6:>10.1f}")
            roots[name] = root
    return roots


def timed(path: Path) -> tuple[float, DataPath]:
    """Seconds to open the archive and find one member."""
    began = time.perf_counter()
    root = open_place(path)
    assert (root / name_of(0)).is_file()
    return time.perf_counter() - began, root


def compared(roots: dict[str, DataPath], members: int, images: int, rounds: int) -> None:
    rates: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in roots}
    for number in range(-1, rounds):  # Round -1 fills the system's cache.
        names = [name_of(int(k)) for k in np.random.default_rng(max(number, 0)).integers(0, members, images)]
        for place, root in roots.items():
            row: list[float] = []
            for read in (lambda path: path.read_bytes(), read_rgb):
                cpu, wall = time.process_time(), time.perf_counter()
                for name in names:
                    read(root / name)
                row += [images / (time.process_time() - cpu), images / (time.perf_counter() - wall)]
            if number >= 0:
                rates[place].append((row[0], row[1], row[2], row[3]))
    print(f"\n{'':<16}{'reading alone':>20}{'reading and decoding: images/s':>36}")
    print(f"{'':<16}{'per CPU s':>10}{'per s':>10}{'per CPU s':>12}{'per s':>10}{'of loose, CPU':>15}{'wall':>7}")
    for place, rows in rates.items():
        medians = [statistics.median(row[k] for row in rows) for k in range(4)]
        of_loose = [
            statistics.median(row[k] / base[k] for row, base in zip(rows, rates["loose"], strict=True)) for k in (2, 3)
        ]
        print(
            f"{place:<16}{medians[0]:>10,.0f}{medians[1]:>10,.0f}{medians[2]:>12,.0f}{medians[3]:>10,.0f}"
            f"{of_loose[0]:>15.3f}{of_loose[1]:>7.3f}"
        )


if __name__ == "__main__":
    main()
