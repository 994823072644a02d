"""Which public data sets there are miniatures of, by the names that studies give them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from headstart.errors import UsageError
from headstart.world.official.classification import (
    write_caltech256,
    write_flowers17,
    write_flowers102,
    write_oxford_pets,
    write_sun397,
)
from headstart.world.official.detection import write_coco, write_openimages, write_voc, write_voc_sbd
from headstart.world.official.imagenet import (
    write_imagenet,
    write_imagenet_boxes,
    write_imagenet_val,
    write_tiny_imagenet,
    write_tiny_imagenet_novel,
)

WRITERS: dict[str, Callable[[Path], None]] = {
    "voc": write_voc,
    "voc-sbd": write_voc_sbd,
    "coco": write_coco,
    "openimages": write_openimages,
    "imagenet": write_imagenet,
    "imagenet-boxes": write_imagenet_boxes,
    "imagenet-val": write_imagenet_val,
    "tiny-imagenet": write_tiny_imagenet,
    "tiny-imagenet-novel": write_tiny_imagenet_novel,
    "caltech256": write_caltech256,
    "sun397": write_sun397,
    "flowers102": write_flowers102,
    "flowers17": write_flowers17,
    "oxford-pets": write_oxford_pets,
}

IMAGES = {
    "voc": 88,
    "voc-sbd": 72,
    "coco": 60,
    "openimages": 48,
    "imagenet": 168,
    "imagenet-boxes": 48,
    "imagenet-val": 240,
    "tiny-imagenet": 120,
    "tiny-imagenet-novel": 120,
    "caltech256": 120,
    "sun397": 120,
    "flowers102": 120,
    "flowers17": 120,
    "oxford-pets": 60,
}
"""How many each has, of `SIDE` x `SIDE` pixels."""


def require_miniatures(names: Iterable[str]) -> None:
    """Raises UsageError for a data set that there is no miniature of."""
    if unknown := [name for name in names if name not in WRITERS]:
        raise UsageError(f"there is no miniature of {', '.join(unknown)}; there are {', '.join(WRITERS)}.")


def write_miniatures(names: Iterable[str], root: Path, told: Callable[[str], None]) -> dict[str, Path]:
    """Each data set in its folder of `root`, where it is not there yet; places by name.

    A folder appears whole: it is written under another name first. Raises UsageError for a data set that there is no
    miniature of.
    """
    wanted = list(names)
    require_miniatures(wanted)
    places = {name: root / name for name in wanted}
    for name, place in places.items():
        if place.is_dir():
            continue
        part = root / f".{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        WRITERS[name](part)
        part.rename(place)
        told(f"drew the miniature of {name} in {place}")
    return places
