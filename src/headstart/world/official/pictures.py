"""Pictures that data sets in miniature are made of, and how they are written: JPEG, and VOC's XML and palette PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headstart.store.files import write_text
from headstart.world.shapes import draw
from headstart.world.worlds import WORLDS

SIDE = 64
"""Pixels: about an eighth of a photograph."""
VOC_CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow")
"""What the classes of the novel world are called where a layout fixes their names: values 1 to 10 of its masks."""


@dataclass(frozen=True)
class Picture:
    """pixels (h, w, 3) RGB; boxes (m, 4) in pixels with continuous edges; labels (m,) of `classes_of` its world;
    instances (h, w): 0, or k + 1 where object k is visible; label: the main class."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int32]
    instances: NDArray[np.uint8]
    label: int


def pictures(world: Literal["base", "novel"], first: int, count: int) -> list[Picture]:
    """Images first .. first + count - 1 of a world."""
    return list(_drawn(world, first, count))


def by_class(world: Literal["base", "novel"], first: int, of_each: int) -> list[Picture]:
    """So many images of every main class, the first from image `first` on, class by class."""
    found: dict[int, list[Picture]] = {k: [] for k in range(len(WORLDS[world].classes))}
    for picture in _drawn(world, first, 400 * of_each * len(found)):
        if len(found[picture.label]) < of_each:
            found[picture.label].append(picture)
        if all(len(of_class) == of_each for of_class in found.values()):
            break
    return [picture for of_class in found.values() for picture in of_class]


def _drawn(world: Literal["base", "novel"], first: int, count: int) -> Iterator[Picture]:
    for index in range(first, first + count):
        it = draw(world, index, SIDE)
        yield Picture(it.image, it.boxes_xyxy, it.labels, it.instances, it.image_label)


def write_jpeg(picture: Picture, path: Path) -> None:
    """Its pixels."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.pixels).save(path, "JPEG", quality=95)


def write_voc_xml(picture: Picture, names: Sequence[str], path: Path, *, stem: str, first: int = 1) -> None:
    """Its boxes, both ends inside, in pixels that count from `first` (VOC: 1, ImageNet: 0). names: of the classes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(
        f"<object><name>{names[label]}</name><difficult>0</difficult><bndbox><xmin>{x1 + first:.0f}</xmin>"
        f"<ymin>{y1 + first:.0f}</ymin><xmax>{x2 - 1 + first:.0f}</xmax><ymax>{y2 - 1 + first:.0f}</ymax></bndbox>"
        "</object>"
        for label, (x1, y1, x2, y2) in zip(picture.labels.tolist(), picture.boxes.tolist(), strict=True)
    )
    size = f"<size><width>{SIDE}</width><height>{SIDE}</height><depth>3</depth></size>"
    write_text(path, f"<annotation><filename>{stem}</filename>{size}{objects}</annotation>\n", durable=False)


def write_mask(picture: Picture, path: Path, *, what: Literal["classes", "objects"]) -> None:
    """A palette PNG: numbers of classes (1 more than labels) or of objects; 0 is background."""
    from PIL import Image

    values = picture.instances
    if what == "classes":
        values = np.concatenate([[0], picture.labels + 1]).astype(np.uint8)[values]
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values, "P")
    image.putpalette([k * 37 % 256 for k in range(768)])
    image.save(path, "PNG")


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """A text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(f"{line}\n" for line in lines), durable=False)
