"""Pascal VOC's segmentation in its official layout, in miniature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from support.miniatures_coco import HEIGHT, WIDTH, photo

PALETTE = [k * 37 % 256 for k in range(768)]


def palette_mask(path: Path, values: np.ndarray) -> Path:
    """A palette PNG: numbers of classes, or of objects, with colors that say nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8), "P")
    image.putpalette(PALETTE)
    image.save(path)
    return path


def two_objects() -> tuple[np.ndarray, np.ndarray]:
    """Classes and objects: a cat (class 8, object 1) left, a dog (12, object 2) right, void at the top."""
    classes, objects = np.zeros((HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH))
    classes[5:20, :10], classes[5:20, 20:35] = 8, 12
    objects[5:20, :10], objects[5:20, 20:35] = 1, 2
    classes[:2] = objects[:2] = 255
    return classes, objects


def listed(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def make_voc_segmentation(root: Path) -> None:
    classes, objects = two_objects()
    for k, name in enumerate(("2007_000032", "2007_000033", "2007_000039", "2008_000001", "2008_000002")):
        photo(root / f"JPEGImages/{name}.jpg", k)
    for name in ("2007_000032", "2007_000033", "2007_000039"):
        palette_mask(root / f"SegmentationClass/{name}.png", classes)
        palette_mask(root / f"SegmentationObject/{name}.png", objects)
    listed(root / "ImageSets/Segmentation/train.txt", "2007_000032", "2007_000039")
    listed(root / "ImageSets/Segmentation/val.txt", "2007_000033")
    listed(root / "ImageSets/Segmentation/trainval.txt", "2007_000032", "2007_000033", "2007_000039")
    listed(root / "ImageSets/Segmentation/test.txt", "2008_000002")


VOC_MAKERS = {"voc-segmentation": make_voc_segmentation}
