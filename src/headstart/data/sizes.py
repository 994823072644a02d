"""Sizes of images that their annotation does not tell, read from the headers of the files."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from headstart.data.annotations import Annotations
from headstart.data.images import header_sizes_hw
from headstart.errors import DataError

CHUNK = 1000
Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


def with_sizes(table: Annotations, on_bad_image: str = "error", progress: Progress | None = None) -> Annotations:
    """The table with the size of every image, as a viewer shows it (EXIF followed), where it was 0, 0.

    Headers are read in threads: what takes time is opening files. Raises DataError for the first file that cannot be
    read; with "skip" its size stays 0, 0.
    """
    unknown = np.flatnonzero(~table.sizes_hw.any(1))
    sizes = table.sizes_hw.copy()

    def size_of(i: int) -> tuple[int, int]:
        try:
            return header_sizes_hw(table.image_path(i))[0]
        except DataError:
            if on_bad_image == "error":
                raise
            return (0, 0)

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(unknown), CHUNK):
            rows = unknown[start : start + CHUNK]
            sizes[rows] = list(pool.map(size_of, rows.tolist()))
            if progress:
                progress(start + len(rows), len(unknown))
    batch = table.batch
    for k, name in enumerate(("height", "width")):
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, pa.array(np.ascontiguousarray(sizes[:, k])))
    return Annotations(batch, table.facts, table.place)
