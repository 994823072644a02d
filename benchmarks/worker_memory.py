"""What a table of boxes costs each loader worker: a large table beside a small one under the same loader (Linux).

    python benchmarks/worker_memory.py [--rows 14600000] [--workers 8] [--batches 200]

Workers of torch's DataLoader look up the boxes of random images. USS is what a process has for itself: Private_Clean
and Private_Dirty of /proc/PID/smaps_rollup. Goal (docs/benchmarks.md): less than 20 MB more for the large table.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from annotations import ROWS, make
from torch.utils.data import DataLoader, RandomSampler

from headstart.data.annotations import Annotations
from headstart.readers.formats import open_dataset

SMALL = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "METHOD"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(
            *worker_uss(Path(arguments.one[0]), arguments.one[1], arguments.workers, arguments.batches, arguments.batch)
        )
        return
    with tempfile.TemporaryDirectory() as name:
        for rows in (SMALL, arguments.rows):
            make(Path(name) / str(rows), rows)
        print(f"USS of {arguments.workers} workers after {arguments.batches} batches of {arguments.batch}, MB")
        print(f"{'start':<8}{'rows':>12}{'least':>8}{'mean':>8}{'most':>8}{'more':>8}")
        for method in ("fork", "spawn"):
            means = []
            for rows in (SMALL, arguments.rows):
                command = [sys.executable, __file__, *sys.argv[1:], "--one", str(Path(name) / str(rows)), method]
                environment = os.environ | {"HEADSTART_CACHE": str(Path(name) / "cache")}
                for _ in range(2):  # The first reads the CSV: a parent that did has other memory to share.
                    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                uss = [int(value) / 1e6 for value in done.stdout.split()]
                means.append(sum(uss) / len(uss))
                print(
                    f"{method:<8}{rows:>12,}{min(uss):>8.1f}{means[-1]:>8.1f}{max(uss):>8.1f}"
                    f"{means[-1] - means[0]:>8.1f}",
                    flush=True,
                )


class Boxes(torch.utils.data.Dataset):
    """The boxes of every image, as tensors."""

    def __init__(self, table: Annotations) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        boxes = self.table.boxes_of(i, (768, 1024))
        return torch.from_numpy(boxes.xyxy), torch.tensor(boxes.labels, dtype=torch.int64)


def worker_uss(folder: Path, method: str, workers: int, batches: int, batch: int) -> list[int]:
    """Bytes of each worker, while all are alive."""
    warnings.filterwarnings("ignore", "This DataLoader will create")
    data = Boxes(open_dataset(folder))
    draws = RandomSampler(
        data, replacement=True, num_samples=batches * batch, generator=torch.Generator().manual_seed(0)
    )
    loader = DataLoader(
        data,
        batch,
        sampler=draws,
        num_workers=workers,
        collate_fn=list,
        persistent_workers=True,
        multiprocessing_context=method,
    )
    iterator = iter(loader)
    for _ in range(batches):
        next(iterator)
    return [uss(worker.pid) for worker in iterator._workers]


def uss(pid: int) -> int:
    """Unique set size in bytes."""
    lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line[1]) * 1024 for line in lines if line[0] in ("Private_Clean:", "Private_Dirty:"))


if __name__ == "__main__":
    main()
