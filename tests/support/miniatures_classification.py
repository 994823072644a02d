"""Data sets of a few tiny images of public classification benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.io import savemat

from support.miniatures import image, text


def make_sun397(root: Path) -> None:
    for k, name in enumerate(("a/abbey/sun_b", "a/abbey/sun_c", "a/arch/sun_d", "b/bow_window/indoor/sun_e")):
        image(root / "SUN397" / f"{name}.jpg", k)
    text(root / "SUN397/ClassName.txt", "/a/abbey", "/a/arch", "/b/bow_window/indoor")
    for part in ("01", "10"):
        first, second = ("b", "c") if part == "01" else ("c", "b")
        text(root / f"Partitions/Training_{part}.txt", f"/a/abbey/sun_{first}.jpg", "/a/arch/sun_d.jpg")
        text(root / f"Partitions/Testing_{part}.txt", f"/a/abbey/sun_{second}.jpg")


def make_caltech256(root: Path) -> None:
    for k, name in enumerate(("001.ak47/001_0001", "001.ak47/001_0002", "257.clutter/257_0001")):
        image(root / "256_ObjectCategories" / f"{name}.jpg", k)


def make_flowers102(root: Path) -> None:
    for k in range(1, 6):
        image(root / f"jpg/image_{k:05d}.jpg", k)
    savemat(root / "imagelabels.mat", {"labels": np.array([[77, 3, 3, 102, 77]], np.uint8)})
    savemat(
        root / "setid.mat",
        {
            "trnid": np.array([[1, 2]], np.uint16),
            "valid": np.array([[5]], np.uint16),
            "tstid": np.array([[4]], np.uint16),
        },
    )


MAKERS_OF_CLASSIFICATION: dict[str, Callable[[Path], None]] = {
    "sun397": make_sun397,
    "caltech256": make_caltech256,
    "flowers102": make_flowers102,
}
