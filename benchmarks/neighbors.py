"""Exact nearest neighbors against faiss's flat index: CPU seconds, and memory beyond the features.

    python benchmarks/neighbors.py [--images N] [--channels C] [--k K]

Rows of length 1, 64 factors and noise; of each image the k nearest others by cosine. Peak memory is that of the process
above what it has with the features in memory. faiss (`pip install faiss-cpu`, any folder on PYTHONPATH; without it only
ours is timed) searches for k + 1 in an IndexFlatIP, since an image is its own nearest. The last line compares the
neighbors: they may differ where two similarities are equal to the last bits.

Goal: at least .95 x faiss's speed, at most 600 MB.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np

from headstart.tasks.frozen.nearest import nearest_others, unit_rows


def peak() -> float:
    """Most memory of the process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(said: str, search: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """What a search found, and its CPU seconds."""
    before, cpu, wall = peak(), time.process_time(), time.perf_counter()
    found = search()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{said}: {cpu:.1f} CPU s, {wall:.1f} s, {peak() - before:.0f} MB more", flush=True)
    return found, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, value in (("--images", 50_000), ("--channels", 2048), ("--k", 50)):
        parser.add_argument(name, type=int, default=value)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((asked.images, 64), dtype=np.float32)
    x = factors @ rng.standard_normal((64, asked.channels), dtype=np.float32)
    for row in x:
        row += 4 * rng.standard_normal(asked.channels, dtype=np.float32)
    x = unit_rows(x)
    near, ours = timed("headstart", lambda: nearest_others(x, asked.k)[0])
    try:
        import faiss
    except ImportError:
        print("faiss is not there")
        return
    index = faiss.IndexFlatIP(asked.channels)
    index.add(x)
    others, theirs = timed("faiss", lambda: index.search(x, asked.k + 1)[1][:, 1:])
    print(f"speed / faiss: {theirs / ours:.2f} (goal 0.95)")
    print(f"equal neighbors: {100 * (near == others).mean():.3f} %")


if __name__ == "__main__":
    main()
