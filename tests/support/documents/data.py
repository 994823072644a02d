"""Data sets of the pages, in miniature and in their layouts; tables of detections and scores."""

from __future__ import annotations

import json
import re
import shutil
import sys

import numpy as np
from PIL import Image

from headstart.progress import silent
from headstart.world.shapes import draw, write_coco
from support.documents.place import ROOT, Place, example
from support.miniatures import image, text, voc_folder, voc_object, voc_xml

SIDE = 64
"""Of the images, in pixels."""


def objects(place: Place, name: str) -> None:
    """Objects of two classes, in the layout of VOC."""
    voc_folder(place / name, 24, {"train": range(12), "val": range(12, 16), "test": range(16, 24)})


def classes(place: Place, name: str) -> None:
    """Images of two classes, in folders."""
    for k in range(24):
        path = place / f"{name}/{'train' if k < 16 else 'test'}/class{k % 2}/{k}.png"
        Image.fromarray(draw("novel", k, SIDE).image).save(path)


def blood_cells(place: Place, name: str) -> None:
    """In the layout of BCCD; two of its boxes have no extent."""
    objects(place, name)
    for k, path in enumerate(sorted((place / name / "Annotations").iterdir())):
        told = path.read_text().replace("disc", "RBC").replace("ring", "WBC" if k % 2 else "Platelets")
        path.write_text(told)
    size = "<size><width>640</width><height>480</height><depth>3</depth></size>"
    for stem, row, at in (("BloodImage_00338", 12, 504), ("BloodImage_00343", 3, 181)):
        cells = [voc_object("RBC", 40 * k + 1, 4, 40 * k + 30, 30 + k) for k in range(row)]
        flat = voc_object("RBC", at, 4, at, 30)
        pixels = np.random.default_rng(at).integers(0, 256, (480, 640, 3), np.uint8)
        Image.fromarray(pixels).save(place / name / "JPEGImages" / f"{stem}.png")
        voc_xml(place / name / f"Annotations/{stem}.xml", *cells, flat, filename=f"{stem}.png", size=size)
        with (place / name / "ImageSets/Main/train.txt").open("a") as file:
            file.write(f"{stem}\n")


def pets(place: Place, name: str) -> None:
    """In the layout of Oxford-IIIT Pet: three breeds, masks of all images, boxes of those to train on."""
    root, lines = place / name, []
    for k in range(24):
        breed, number, species = (("Abyssinian", 1, 1), ("american_bulldog", 2, 2), ("Bengal", 6, 1))[k % 3]
        stem, drawing = f"{breed}_{k}", draw("novel", k, SIDE)
        (root / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawing.image).save(root / "images" / f"{stem}.jpg")
        (root / "annotations/trimaps").mkdir(parents=True, exist_ok=True)
        pet = np.where(drawing.instances > 0, 1, 2).astype(np.uint8)
        Image.fromarray(pet).save(root / "annotations/trimaps" / f"{stem}.png")
        lines.append(f"{stem} {number} {species} 1")
        if k < 16:
            size = f"<size><width>{SIDE}</width><height>{SIDE}</height><depth>3</depth></size>"
            head = voc_object("dog" if species == 2 else "cat", 5, 5, 40, 40)
            voc_xml(root / "annotations/xmls" / f"{stem}.xml", head, filename=f"{stem}.jpg", size=size)
    text(root / "annotations/list.txt", *lines)
    text(root / "annotations/trainval.txt", *lines[:16])
    text(root / "annotations/test.txt", *lines[16:])


def shapes(place: Place, name: str) -> None:
    write_coco("base", 24, 0, 96, out=place / name, progress=silent)


def coco(place: Place, name: str) -> None:
    write_coco("base", 12, 0, SIDE, out=place / name, progress=silent)


def tiny_imagenet(place: Place, name: str) -> None:
    """Two images of each class that the study names."""
    (place / name).mkdir()
    told = (ROOT / "src/headstart/config/builtin/tiny-imagenet.toml").read_text()
    names = sorted(set(re.findall(r"\bn\d{8}\b", told)))
    for wnid in names:
        for k in range(2):
            image(place / f"{name}/train/{wnid}/images/{wnid}_{k}.JPEG", int(wnid[1:]) + k)
        text(place / f"{name}/train/{wnid}/{wnid}_boxes.txt", *(f"{wnid}_{k}.JPEG\t0\t{k}\t39\t29" for k in range(2)))
    text(place / f"{name}/wnids.txt", *names)
    text(place / f"{name}/words.txt", *(f"{wnid}\t{wnid}" for wnid in names))


def packed(place: Place, name: str) -> None:
    place.need("tiny-imagenet-200")
    shutil.make_archive(str(place / name).removesuffix(".zip"), "zip", place / "tiny-imagenet-200")


def suite(place: Place, name: str) -> None:
    for k in range(2):
        objects(place, f"{name}/set-{k}")


def photographs(place: Place, name: str) -> None:
    for k in range(2):
        Image.fromarray(draw("novel", 90 + k, SIDE).image).save(place / f"{name}/Bengal_{199 + k}.jpg")


def jittered(place: Place, name: str) -> None:
    place.need("shapes")
    found = example("jittered_detections").detections("shapes", 0.15, sum(map(ord, name)))
    (place / name).write_text(json.dumps(found))


def leaderboard(place: Place, name: str, more: tuple[str, ...] = ()) -> None:
    before, sys.argv = sys.argv, ["drawn_leaderboard.py", name, *more]
    try:
        example("drawn_leaderboard").main()
    finally:
        sys.argv = before
