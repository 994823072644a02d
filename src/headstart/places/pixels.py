"""Images that lie in one array, as files of a place: what draws or decodes once serves every reader of files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.places.paths import Place, Stamp

SUFFIX = ".ppm"


@dataclass(frozen=True)
class Pixels(Place):
    """The images of `FOLDER/images.npy` (n, h, w, 3) uint8 RGB, memory-mapped, as `0.ppm`, `1.ppm`, ..."""

    root: str

    @property
    def address(self) -> str:
        return str(Path(self.root).absolute())

    @cached_property
    def _images(self) -> NDArray[np.uint8]:
        return np.load(Path(self.root) / "images.npy", mmap_mode="r", allow_pickle=False)

    def __reduce__(self) -> tuple[type[Pixels], tuple[str]]:
        return Pixels, (self.root,)

    def _row(self, name: str) -> int:
        stem = name.removesuffix(SUFFIX)
        return int(stem) if stem.isdigit() and stem != name and int(stem) < len(self._images) else -1

    def entries(self, folder: str) -> dict[str, bool]:
        return {} if folder else {f"{row}{SUFFIX}": False for row in range(len(self._images))}

    def kind(self, name: str) -> str:
        return "folder" if not name else "file" if self._row(name) >= 0 else ""

    def stamp(self, name: str) -> Stamp | None:
        facts = (Path(self.root) / "images.npy").stat()
        return (0 if not name else len(self.read(name)), facts.st_mtime_ns) if self.kind(name) else None

    def read(self, name: str) -> bytes:
        """A binary portable pixmap: what every decoder of images reads, without loss."""
        row = self._row(name)
        if row < 0:
            raise FileNotFoundError(f"{self.root} holds no image {name}")
        height, width = self._images.shape[1:3]
        return b"P6 %d %d 255\n" % (width, height) + self._images[row].tobytes()
