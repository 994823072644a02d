"""Drawn images with boxes in the official layouts of large data sets, to train on for a moment."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.world.shapes import write_coco
from support.miniatures import voc_object, voc_xml


@dataclass(frozen=True)
class Drawn:
    """One image: its file, boxes (m, 4) in pixels with continuous edges, and names of their classes."""

    file: Path
    boxes: np.ndarray
    names: list[str]


SIDE = 120


def drawn_images(folder: Path, count: int) -> list[Drawn]:
    """Drawn once as a COCO data set."""
    write_coco("base", count, 0, SIDE, out=folder, progress=silent)
    table = open_dataset(folder)
    return [
        Drawn(folder / "images" / Path(table.image_name(i)).name, own.xyxy, [table.box_classes[k] for k in own.labels])
        for i in range(count)
        for own in [table.boxes_of(i)]
    ]


def classes_of(images: list[Drawn]) -> list[str]:
    return sorted({name for image in images for name in image.names})


def write_jpeg(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.open(source).convert("RGB").save(target, quality=95)


def as_coco(images: list[Drawn], root: Path) -> Path:
    """The last quarter validates; objects of classes that the others do not show are left out of it."""
    cut = len(images) * 3 // 4
    classes = classes_of(images[:cut])
    for name, part in (("train2017", images[:cut]), ("val2017", images[cut:])):
        records: dict[str, list] = {"images": [], "annotations": [], "categories": []}
        records["categories"] = [{"id": k + 1, "name": c} for k, c in enumerate(classes)]
        for k, image in enumerate(part):
            (root / name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image.file, root / name / image.file.name)
            records["images"].append({"id": k, "file_name": image.file.name, "width": SIDE, "height": SIDE})
            for box, own in zip(image.boxes.tolist(), image.names, strict=True):
                if own not in classes:
                    continue
                xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
                records["annotations"].append(
                    {
                        "id": len(records["annotations"]),
                        "image_id": k,
                        "bbox": xywh,
                        "category_id": classes.index(own) + 1,
                        "area": xywh[2] * xywh[3],
                        "iscrowd": 0,
                    }
                )
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(records))
    return root


def voc_objects(image: Drawn, names: list[str]) -> list[str]:
    return [
        voc_object(name, *(box.round() + np.array([1, 1, 0, 0])).astype(int).tolist())
        for box, name in zip(image.boxes, names, strict=True)
    ]


def drawn_size() -> str:
    return f"<size><width>{SIDE}</width><height>{SIDE}</height><depth>3</depth></size>"


def as_voc(images: list[Drawn], root: Path) -> Path:
    """VOC2007 with train and val; the last quarter tests."""
    year, cut = root / "VOC2007", len(images) * 3 // 4
    for k, image in enumerate(images):
        write_jpeg(image.file, year / "JPEGImages" / f"{k:06d}.jpg")
        voc_xml(
            year / f"Annotations/{k:06d}.xml",
            *voc_objects(image, image.names),
            filename=f"{k:06d}.jpg",
            size=drawn_size(),
        )
    lists = year / "ImageSets/Main"
    lists.mkdir(parents=True)
    half = cut // 2
    for name, rows in (
        ("train", range(half)),
        ("val", range(half, cut)),
        ("trainval", range(cut)),
        ("test", range(cut, len(images))),
    ):
        (lists / f"{name}.txt").write_text("".join(f"{k:06d}\n" for k in rows))
    return year


def as_openimages(images: list[Drawn], root: Path) -> Path:
    """The last box of every third image is of a group."""
    from support.miniatures_openimages import HEADER

    root.mkdir()
    classes = classes_of(images)
    rows = [HEADER]
    for k, image in enumerate(images):
        write_jpeg(image.file, root / "train" / f"{k:016x}.jpg")
        for j, (box, name) in enumerate(zip(image.boxes / SIDE, image.names, strict=True)):
            group = int(k % 3 == 0 and j > 0 and j == len(image.names) - 1)
            rows.append(
                f"{k:016x},xclick,/m/{classes.index(name):03d},1,{box[0]:.6f},{box[2]:.6f},{box[1]:.6f},"
                f"{box[3]:.6f},0,0,{group},0,0"
            )
    (root / "train-annotations-bbox.csv").write_text("\n".join(rows) + "\n")
    (root / "class-descriptions-boxable.csv").write_text("".join(f"/m/{k:03d},{c}\n" for k, c in enumerate(classes)))
    return root


def as_fall11(images: list[Drawn], root: Path) -> Path:
    """ImageNet's full release: a folder and an XML file for each image, under the class of its first object; objects
    of classes without a folder are left out."""
    wnids = {name: f"n{10_000_000 + k}" for k, name in enumerate(sorted({image.names[0] for image in images}))}
    for k, image in enumerate(images):
        own = wnids[image.names[0]]
        write_jpeg(image.file, root / own / f"{own}_{k}.JPEG")
        kept = [j for j, name in enumerate(image.names) if name in wnids]
        known = Drawn(image.file, image.boxes[kept], [wnids[image.names[j]] for j in kept])
        path = root / "Annotation" / own / f"{own}_{k}.xml"
        voc_xml(path, *voc_objects(known, known.names), filename=f"{own}_{k}", size=drawn_size())
    (root / "words.txt").write_text("".join(f"{wnid}\t{name}\n" for name, wnid in wnids.items()))
    return root


def as_imagenet(images: list[Drawn], root: Path) -> Path:
    """ILSVRC2012 as image folders: each object, cut out, is an image of its class; the second of each validates."""
    seen: dict[str, int] = {}
    for image in images:
        pixels = Image.open(image.file).convert("RGB")
        for box, name in zip(image.boxes, image.names, strict=True):
            x1, y1, x2, y2 = box.round().astype(int)
            if min(x2 - x1, y2 - y1) < 16:
                continue
            seen[name] = seen.get(name, 0) + 1
            part = "val" if seen[name] == 2 else "train"
            target = root / part / name
            target.mkdir(parents=True, exist_ok=True)
            pixels.crop((x1, y1, x2, y2)).save(target / f"{name}_{seen[name]}.JPEG", quality=95)
    return root
