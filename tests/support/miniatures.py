"""Data sets of a few tiny images in the official layouts, for tests of readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.world.shapes import draw
from support.miniatures_coco import COCO_MAKERS
from support.miniatures_voc import VOC_MAKERS

WIDTH, HEIGHT = 40, 30


def image(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def mask(path: Path, values: tuple[int, ...]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.resize(np.array(values, np.uint8), HEIGHT)
    Image.fromarray(np.repeat(rows[:, None], WIDTH, axis=1)).save(path)
    return path


def voc_xml(path: Path, *objects: str, filename: str = "", size: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>" if size is None else size
    path.write_text(f"<annotation><filename>{filename}</filename>{size}{''.join(objects)}</annotation>")
    return path


def voc_object(name: str, xmin: object, ymin: object, xmax: object, ymax: object, extra: str = "") -> str:
    corners = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name>{extra}<bndbox>{corners}</bndbox></object>"


def text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def voc_folder(root: Path, count: int, lists: dict[str, range]) -> Path:
    """Drawn objects of two classes on images of 64 pixels, `count` of them, in the layout of VOC, with these lists."""
    for k in range(count):
        drawing = draw("novel", k, 64)
        (root / "JPEGImages").mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawing.image).save(root / "JPEGImages" / f"{k:03d}.png")
        names = ["disc" if label % 2 else "ring" for label in drawing.labels]
        objects = [
            voc_object(n, int(b[0]) + 1, int(b[1]) + 1, int(b[2]), int(b[3]))
            for n, b in zip(names, drawing.boxes_xyxy, strict=True)
        ]
        size = "<size><width>64</width><height>64</height><depth>3</depth></size>"
        voc_xml(root / "Annotations" / f"{k:03d}.xml", *objects, filename=f"{k:03d}.png", size=size)
    for name, rows in lists.items():
        text(root / "ImageSets" / "Main" / f"{name}.txt", *(f"{k:03d}" for k in rows))
    return root


def make_voc(root: Path) -> None:
    for k, stem in enumerate(("a", "b", "c", "d")):
        image(root / "JPEGImages" / f"{stem}.jpg", k)
    flags = "<truncated>1</truncated><difficult>1</difficult><occluded>0</occluded>"
    voc_xml(root / "Annotations/a.xml", voc_object("dog", 1, 1, WIDTH, HEIGHT, flags), voc_object("cat", 3, 5, 10, 25))
    voc_xml(root / "Annotations/b.xml", voc_object("dog", 2.5, 2, 4, 4, "<occluded>1</occluded>"))
    voc_xml(root / "Annotations/c.xml")
    voc_xml(root / "Annotations/d.xml", voc_object("cat", 1, 1, 2, 2))
    text(root / "ImageSets/Main/train.txt", "a")
    text(root / "ImageSets/Main/trainval.txt", "a", "b")
    text(root / "ImageSets/Main/val.txt", "b")
    text(root / "ImageSets/Main/test.txt", "c")


def make_class_folders(root: Path) -> None:
    for k, path in enumerate(
        ("train/tulip/1.jpg", "train/Iris/1.png", "train/tulip/2.jpg", "test/tulip/3.jpg", "test/Iris/2.jpeg")
    ):
        image(root / path, k)
    text(root / "train/tulip/readme.txt", "not an image")


def make_index_masks(root: Path) -> None:
    for k, (split, stem) in enumerate((("train", "x"), ("train", "y"), ("val", "z"), ("test", "w"))):
        image(root / split / f"{stem}.png", k)
        mask(root / f"{split}annot" / f"{stem}.png", (0, 1, 3))
    text(root / "classes.txt", "sky", "road", "car", "void")


def make_pets(root: Path) -> None:
    names = {"Bengal_2": 6, "Bengal_10": 6, "american_bulldog_1": 2, "american_bulldog_3": 2}
    for k, name in enumerate(names):
        image(root / "images" / f"{name}.jpg", k)
        mask(root / "annotations/trimaps" / f"{name}.png", (1, 2, 3))
    lines = {name: f"{name} {number} 1 1" for name, number in names.items()}
    text(root / "annotations/list.txt", "#Image CLASS-ID SPECIES BREED ID", *lines.values())
    text(root / "annotations/trainval.txt", lines["Bengal_2"], lines["american_bulldog_1"])
    text(root / "annotations/test.txt", lines["Bengal_10"], lines["american_bulldog_3"])
    voc_xml(root / "annotations/xmls/Bengal_2.xml", voc_object("cat", 1, 1, 20, 20))
    voc_xml(root / "annotations/xmls/american_bulldog_1.xml", voc_object("dog", 11, 6, 20, 20))


MAKERS: dict[str, Callable[[Path], None]] = {
    **COCO_MAKERS,
    **VOC_MAKERS,
    "voc": make_voc,
    "class-folders": make_class_folders,
    "index-masks": make_index_masks,
    "oxford-pets": make_pets,
}
from support.miniatures_classification import MAKERS_OF_CLASSIFICATION  # noqa: E402
from support.miniatures_imagenet import MAKERS_OF_IMAGENET  # noqa: E402
from support.miniatures_lists import MAKERS_OF_LISTS  # noqa: E402  It draws with what is above.
from support.miniatures_openimages import make_openimages  # noqa: E402

MAKERS |= MAKERS_OF_CLASSIFICATION | MAKERS_OF_IMAGENET | MAKERS_OF_LISTS | {"openimages": make_openimages}
