"""A CSV of boxes as large as Open Images V4's to a table, beside the csv module, pandas, PyArrow and polars.

    python benchmarks/annotations.py [--rows 14600000]

Every reader runs in a process of its own and takes the same columns: image, class, four corners, five flags. Peers end
with columns in memory (the csv module with a list for each image); Headstart with a table on disk, by image, checked,
mapped into memory. CPU seconds leave out imports. Goals: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

ROWS, CLASSES, BOXES_AN_IMAGE = 14_600_000, 600, 8.4
HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
NEEDED = [name for name in HEADER.split(",") if name not in ("Source", "Confidence")]
BLOCK = 200_000
LOOKED_UP = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--one", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(READERS[arguments.one](arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "openimages"
        make(folder, arguments.rows)
        size = csv_in(folder).stat().st_size
        print(f"{arguments.rows:,} rows, {size / 1e9:.2f} GB\n{'':<24}{'CPU s':>8}{'wall s':>8}{'peak RSS GB':>13}")
        found: dict[str, dict[str, float]] = {}
        for reader in READERS:
            if reader != "headstart again" and find_spec(reader.split(",")[0].replace("csv-module", "csv")) is None:
                continue
            found[reader] = run(reader, folder, Path(name))
            print(
                f"{reader:<24}{found[reader]['cpu']:>8.1f}{found[reader]['wall']:>8.1f}"
                f"{found[reader]['rss'] / 1e9:>13.2f}",
                flush=True,
            )
        last = found["headstart again"]
        print(
            f"opened again {1e3 * last['open_cpu']:.1f} ms of CPU, {1e3 * last['open_wall']:.1f} ms; one image's "
            f"boxes {1e6 * last['image_cpu']:.1f} us of CPU, {1e6 * last['image_wall']:.1f} us; "
            f"{last['bytes']:.1f} bytes a box on disk"
        )


def csv_in(folder: Path) -> Path:
    return folder / "train-annotations-bbox.csv"


def make(folder: Path, rows: int, seed: int = 0) -> None:
    """Fields of fixed widths, as they are in the official file but for the class ids; rows of an image together."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    classes = [f"/m/{k:06x}" for k in random.choice(16**6, CLASSES, replace=False)]
    descriptions = "".join(f"{mid},class {k}\n" for k, mid in enumerate(classes))
    (folder / "class-descriptions-boxable.csv").write_text(descriptions)
    mids = np.array(classes, "S9").view(np.uint8).reshape(CLASSES, 9)
    with csv_in(folder).open("wb") as file:
        file.write(HEADER.encode() + b"\n")
        for start in range(0, rows, BLOCK):
            n = min(BLOCK, rows - start)
            images = np.cumsum(random.random(n) < 1 / BOXES_AN_IMAGE).astype(np.uint64)
            ids = (np.uint64(start) << np.uint64(20)) + images * np.uint64(0x9E37) + np.uint64(1 << 60)
            block = np.full((n, 82), ord(","), np.uint8)
            block[:, :16] = digits(ids, 16, 16)
            block[:, 17:23] = np.frombuffer(b"xclick", np.uint8)
            block[:, 24:33] = mids[random.integers(0, CLASSES, n)]
            block[:, 34] = ord("1")
            corners = np.sort(random.integers(0, 999_999, (2, n, 2)).astype(np.uint64), axis=2)
            corners[:, :, 1] += np.uint64(1)
            for k, values in enumerate((*corners[0].T, *corners[1].T)):
                block[:, 36 + 9 * k : 38 + 9 * k] = np.frombuffer(b"0.", np.uint8)
                block[:, 38 + 9 * k : 44 + 9 * k] = digits(values, 10, 6)
            block[:, 72:82:2] = random.integers(0, 2, (n, 5)) + ord("0")
            lines = np.concatenate([block[:, :81], np.full((n, 1), ord("\n"), np.uint8)], 1)
            file.write(lines.tobytes())


def digits(values: np.ndarray, base: int, width: int) -> np.ndarray:
    """(n, width) characters of whole numbers, padded with zeros."""
    powers = np.array([base**k for k in range(width - 1, -1, -1)], np.uint64)
    return np.frombuffer(b"0123456789abcdef", np.uint8)[(values[:, None] // powers) % np.uint64(base)]


def run(reader: str, folder: Path, cache: Path) -> dict[str, float]:
    environment = os.environ | {"HEADSTART_CACHE": str(cache / "cache"), "NUMBA_CACHE_DIR": str(cache / "numba")}
    command = [sys.executable, __file__, "--one", reader, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def timed(read: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    cpu, wall = time.process_time(), time.perf_counter()
    result = read()
    facts = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    return result, facts | {"rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0}


def with_csv(folder: Path) -> dict[str, float]:
    import csv

    def read() -> dict[str, list[tuple]]:
        images: dict[str, list[tuple]] = {}
        with csv_in(folder).open(newline="") as file:
            rows = csv.reader(file)
            next(rows)
            for image, _, label, _, x1, x2, y1, y2, *flags in rows:
                box = (label, float(x1), float(y1), float(x2), float(y2), tuple(map(int, flags)))
                images.setdefault(image, []).append(box)
        return images

    return timed(read)[1]


def with_pandas(folder: Path) -> dict[str, float]:
    import pandas

    flags = dict.fromkeys(NEEDED[6:], "int8")
    types = {"ImageID": "str", "LabelName": "category", **flags}
    return timed(lambda: pandas.read_csv(csv_in(folder), usecols=NEEDED, dtype=types))[1]  # type: ignore[call-overload]


def with_pyarrow(folder: Path) -> dict[str, float]:
    import pyarrow
    from pyarrow import csv

    types = {name: pyarrow.int8() for name in NEEDED[6:]}
    types["LabelName"] = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    options = csv.ConvertOptions(include_columns=NEEDED, column_types=types)
    return timed(lambda: csv.read_csv(str(csv_in(folder)), convert_options=options))[1]


def with_polars(folder: Path) -> dict[str, float]:
    import polars  # type: ignore[import-not-found]

    types = {"LabelName": polars.Categorical, **dict.fromkeys(NEEDED[6:], polars.Int8)}
    return timed(lambda: polars.read_csv(csv_in(folder), columns=NEEDED, schema_overrides=types))[1]


def with_headstart(folder: Path) -> dict[str, float]:
    """Nothing compiled, nothing cached: the first call on a machine."""
    from headstart.readers.formats import open_dataset

    for file in (Path(os.environ["HEADSTART_CACHE"]) / "annotations").glob("*"):
        file.unlink()
    return timed(lambda: open_dataset(folder))[1]


def opened_again(folder: Path) -> dict[str, float]:
    from headstart.readers.formats import open_dataset

    table, facts = timed(lambda: open_dataset(folder))
    rows = np.random.default_rng(0).integers(0, len(table), LOOKED_UP).tolist()

    def look_up() -> None:
        for row in rows:
            table.boxes_of(row, (768, 1024))

    look_up()
    each = timed(look_up)[1]
    assert table.file
    return facts | {
        "open_cpu": facts["cpu"],
        "open_wall": facts["wall"],
        "image_cpu": each["cpu"] / LOOKED_UP,
        "image_wall": each["wall"] / LOOKED_UP,
        "bytes": table.file.stat().st_size / len(table.box_labels),
    }


READERS: dict[str, Callable[[Path], dict[str, float]]] = {
    "csv-module": with_csv,
    "pandas": with_pandas,
    "pyarrow": with_pyarrow,
    "polars": with_polars,
    "headstart, compiling": with_headstart,
    "headstart": with_headstart,
    "headstart again": opened_again,
}


if __name__ == "__main__":
    main()
