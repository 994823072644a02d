"""Pascal VOC, COCO and Open Images in their official layouts, in miniature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headstart.store.files import write_text
from headstart.world.official.pictures import (
    SIDE,
    VOC_CLASSES,
    Picture,
    pictures,
    write_jpeg,
    write_lines,
    write_mask,
    write_voc_xml,
)
from headstart.world.worlds import WORLDS

OPEN_IMAGES = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
)


def write_voc(root: Path) -> None:
    """VOC2007 with train, val and test, VOC2012 with train, val and masks of these, of ten of VOC's classes."""
    _write_year(root / "VOC2007", "{:06d}", 0, {"train": 16, "val": 16, "test": 24})
    _write_year(root / "VOC2012", "2008_{:06d}", 100, {"train": 16, "val": 16}, masks=True)


def _write_year(root: Path, stem: str, first: int, parts: dict[str, int], *, masks: bool = False) -> None:
    lists: dict[str, list[str]] = {}
    for part, count in parts.items():
        for k, picture in enumerate(pictures("novel", first, count), first + 1):
            name = stem.format(k)
            write_jpeg(picture, root / f"JPEGImages/{name}.jpg")
            write_voc_xml(picture, VOC_CLASSES, root / f"Annotations/{name}.xml", stem=f"{name}.jpg")
            if masks:
                _write_masks(picture, root, name)
            lists.setdefault(part, []).append(name)
        first += count
    lists["trainval"] = sorted(lists["train"] + lists["val"])
    for part, names in lists.items():
        for kind in ("Main", "Segmentation") if masks else ("Main",):
            write_lines(root / f"ImageSets/{kind}/{part}.txt", names)


def _write_masks(picture: Picture, root: Path, name: str) -> None:
    write_mask(picture, root / f"SegmentationClass/{name}.png", what="classes")
    write_mask(picture, root / f"SegmentationObject/{name}.png", what="objects")


def write_voc_sbd(root: Path) -> None:
    """VOC2012 with masks of train and val, and those of SBD for more images to train on."""
    drawn = pictures("novel", 200, 72)
    names = [f"2008_{k:06d}" for k in range(len(drawn))]
    train, val = names[:12], names[-24:]
    for name, picture in zip(names, drawn, strict=True):
        write_jpeg(picture, root / f"JPEGImages/{name}.jpg")
        write_voc_xml(picture, VOC_CLASSES, root / f"Annotations/{name}.xml", stem=f"{name}.jpg")
        if name in (*train, *val):
            _write_masks(picture, root, name)
        if name not in val:
            write_mask(picture, root / f"SegmentationClassAug/{name}.png", what="classes")
    lists = {"train": train, "val": val, "trainval": [*train, *val], "train_aug": names[:-24]}
    for part, of_part in lists.items():
        write_lines(root / f"ImageSets/Segmentation/{part}.txt", of_part)


def write_coco(root: Path) -> None:
    """train2017 and val2017 with boxes."""
    classes = WORLDS["base"].classes
    for part, first, count in (("train2017", 0, 48), ("val2017", 100, 12)):
        drawn = pictures("base", first, count)
        records: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
        records["categories"] = [{"id": k + 1, "name": name} for k, name in enumerate(classes)]
        for k, picture in enumerate(drawn, first + 1):
            write_jpeg(picture, root / part / f"{k:012d}.jpg")
            records["images"].append({"id": k, "file_name": f"{k:012d}.jpg", "width": SIDE, "height": SIDE})
            records["annotations"] += _coco_boxes(picture, k, len(records["annotations"]))
        path = root / f"annotations/instances_{part}.json"
        path.parent.mkdir(exist_ok=True)
        write_text(path, json.dumps(records), durable=False)


def _coco_boxes(picture: Picture, image_id: int, first: int) -> list[dict[str, Any]]:
    boxes = zip(picture.labels.tolist(), picture.boxes.tolist(), strict=True)
    return [
        {
            "id": first + j + 1,
            "image_id": image_id,
            "category_id": label + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
        }
        for j, (label, (x1, y1, x2, y2)) in enumerate(boxes)
    ]


def write_openimages(root: Path) -> None:
    """Training images with boxes; the last of several in every third image is of a group."""
    classes, rows = WORLDS["base"].classes, [OPEN_IMAGES]
    for k, picture in enumerate(pictures("base", 200, 48)):
        write_jpeg(picture, root / f"train/{k:016x}.jpg")
        last = len(picture.labels) - 1
        for j, (label, box) in enumerate(zip(picture.labels.tolist(), picture.boxes / SIDE, strict=True)):
            x1, y1, x2, y2 = (f"{value:.6f}" for value in box.tolist())
            group = int(k % 3 == 0 and 0 < j == last)
            rows.append(f"{k:016x},xclick,/m/{label:04d},1,{x1},{x2},{y1},{y2},0,0,{group},0,0")
    write_lines(root / "train-annotations-bbox.csv", rows)
    write_lines(root / "class-descriptions-boxable.csv", [f"/m/{k:04d},{name}" for k, name in enumerate(classes)])
