"""Data sets of a few tiny images whose annotation is lists: YOLO, file lists, CamVid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from miniatures import image, text


def make_yolo(root: Path) -> None:
    for k, name in enumerate(("train/a", "train/b", "train/c", "val/d", "test/e")):
        image(root / "images" / f"{name}.jpg", k)
    text(root / "data.yaml", "path: .", "train: images/train", "val: images/val", "test: images/test.txt",
         "names: [dog, cat, bird]")  # fmt: skip
    text(root / "images/test.txt", "./test/e.jpg")
    text(root / "labels/train/a.txt", "1 0.5 0.5 0.25 0.5", "0 0.1 0.1 0.5 0.1 0.5 0.9")
    text(root / "labels/train/b.txt", "")
    text(root / "labels/train/c.txt", "2 0.25 0.5 0.5 1")
    text(root / "labels/val/d.txt", "0 0.5 0.5 1.0 1.0")


MAKERS_OF_LISTS: dict[str, Callable[[Path], None]] = {
    "yolo": make_yolo,
}
