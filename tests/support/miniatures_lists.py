"""Data sets of a few tiny images whose annotation is lists: YOLO, file lists, CamVid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.miniatures import image, mask, text


def make_yolo(root: Path) -> None:
    for k, name in enumerate(("train/a", "train/b", "train/c", "val/d", "test/e")):
        image(root / "images" / f"{name}.jpg", k)
    text(
        root / "data.yaml",
        "path: .",
        "train: images/train",
        "val: images/val",
        "test: images/test.txt",
        "names: [dog, cat, bird]",
    )
    text(root / "images/test.txt", "./test/e.jpg")
    text(root / "labels/train/a.txt", "1 0.5 0.5 0.25 0.5", "0 0.1 0.1 0.5 0.1 0.5 0.9")
    text(root / "labels/train/b.txt", "")
    text(root / "labels/train/c.txt", "2 0.25 0.5 0.5 1")
    text(root / "labels/val/d.txt", "0 0.5 0.5 1.0 1.0")


def make_file_list(root: Path) -> None:
    for k, name in enumerate(("a.jpg", "b.png", "c.jpg", "d.jpg")):
        image(root / "images" / name, k)
    text(
        root / "train.csv",
        "filename,width,height,class,xmin,ymin,xmax,ymax,patient",
        "a.jpg,40,30,dog,1,1,40,30,p1",
        "b.png,40,30,,,,,,p2",
        "a.jpg,40,30,cat,3,5,10,25,p1",
    )
    text(
        root / "test.csv",
        "filename,width,height,class,xmin,ymin,xmax,ymax,patient",
        "d.jpg,40,30,cat,2,2,4,4,p3",
        '"c.jpg",40,30,dog,5,5,6,6,',
    )


def make_camvid(root: Path) -> None:
    for k, name in enumerate(("train/0001TP_006690", "train/0001TP_006720", "val/0016E5_07959", "test/Seq05VD_f00000")):
        image(root / f"{name}.png", k)
        split, stem = name.split("/")
        mask(root / f"{split}annot/{stem}.png", (0, 1, 11))
        with (root / f"{split}.txt").open("a") as file:
            file.write(f"/SegNet/CamVid/{name}.png /SegNet/CamVid/{split}annot/{stem}.png\n")


MAKERS_OF_LISTS: dict[str, Callable[[Path], None]] = {
    "yolo": make_yolo,
    "file-list": make_file_list,
    "camvid": make_camvid,
}
