"""Sizes of images that their annotation does not tell, read from the headers of the files."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from headstart.data.annotations import Annotations
from headstart.data.columns import arrow
from headstart.errors import DataError
from headstart.places.images import header_sizes_hw
from headstart.places.paths import DataPath
from headstart.progress import Counted

CHUNK = 1000
"""Called with (images done, images in all)."""


Header = tuple[tuple[int, int], tuple[int, int]]
"""(height, width) as a viewer shows the image, and as stored; see `headstart.places.images.header_sizes_hw`."""


def headers_of(images: Sequence[DataPath], on_bad_image: str = "error") -> list[Header | None]:
    """Sizes of the images, read in threads. Raises DataError for one that cannot be read; with "skip" it is None."""

    def header(image: DataPath) -> Header | None:
        try:
            return header_sizes_hw(image)
        except DataError:
            if on_bad_image == "error":
                raise
            return None

    with ThreadPoolExecutor() as pool:
        return list(pool.map(header, images))


def with_sizes(table: Annotations, on_bad_image: str = "error", progress: Counted | None = None) -> Annotations:
    """The table with the size of every image, as a viewer shows it (EXIF followed), where it was 0, 0.

    What takes time is opening files. Raises DataError for the first file that cannot be
    read; with "skip" its size stays 0, 0.
    """
    unknown = np.flatnonzero(~table.sizes_hw.any(1))
    sizes = table.sizes_hw.copy()

    for start in range(0, len(unknown), CHUNK):
        rows = unknown[start : start + CHUNK]
        headers = headers_of([table.image_path(i) for i in rows.tolist()], on_bad_image)
        sizes[rows] = [header[0] if header else (0, 0) for header in headers]
        if progress:
            progress(start + len(rows), len(unknown))
    batch = table.batch
    for k, name in enumerate(("height", "width")):
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, arrow(sizes[:, k]))
    return Annotations(batch, table.facts, table.place)
