"""ImageNet in its official layouts, in miniature: classification, CLS-LOC's validation images, Fall 2011 with boxes,
Tiny ImageNet."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from headstart.world.official.pictures import by_class, pictures, write_jpeg, write_lines, write_voc_xml
from headstart.world.worlds import WORLDS

CLASSES = WORLDS["base"].classes
WNIDS = tuple(f"n{10_000_000 + k}" for k in range(len(CLASSES)))
"""Of the base world's classes."""


def write_imagenet(root: Path) -> None:
    """`train/<wnid>/` and `val/<wnid>/` by main class."""
    for part, first, of_each in (("train", 1000, 12), ("val", 5000, 2)):
        for k, picture in enumerate(by_class("base", first, of_each)):
            write_jpeg(picture, root / part / WNIDS[picture.label] / f"{WNIDS[picture.label]}_{k}.JPEG")


def write_imagenet_val(root: Path) -> None:
    """Validation images of CLS-LOC with boxes, their classes in LOC_val_solution.csv."""
    data, xml = root / "ILSVRC/Data/CLS-LOC/val", root / "ILSVRC/Annotations/CLS-LOC/val"
    rows = ["ImageId,PredictionString"]
    for k, picture in enumerate(by_class("base", 10_000, 20), 1):
        name = f"ILSVRC2012_val_{k:08d}"
        write_jpeg(picture, data / f"{name}.JPEG")
        write_voc_xml(picture, WNIDS, xml / f"{name}.xml", stem=name, first=0)
        x1, y1, x2, y2 = (f"{value:.0f}" for value in picture.boxes[0].tolist())
        rows.append(f"{name},{WNIDS[picture.label]} {x1} {y1} {x2} {y2} ")
    write_lines(root / "LOC_val_solution.csv", rows)
    write_lines(root / "LOC_synset_mapping.txt", [f"{w} {name}" for w, name in zip(WNIDS, CLASSES, strict=True)])


def write_imagenet_boxes(root: Path) -> None:
    """The full release of Fall 2011: images of a class in its folder, an XML file for each."""
    for k, picture in enumerate(pictures("base", 20_000, 48)):
        wnid = WNIDS[picture.label]
        write_jpeg(picture, root / "images" / wnid / f"{wnid}_{k}.JPEG")
        write_voc_xml(picture, WNIDS, root / "Annotation" / wnid / f"{wnid}_{k}.xml", stem=f"{wnid}_{k}", first=0)
    write_lines(root / "words.txt", [f"{w}\t{name}" for w, name in zip(WNIDS, CLASSES, strict=True)])


def write_tiny_imagenet(root: Path) -> None:
    """Training images of the base world, each with the box of its main object."""
    _write_tiny(root, "base", first=30_000, of_each=10)


def write_tiny_imagenet_novel(root: Path) -> None:
    """The same of the novel world."""
    _write_tiny(root, "novel", first=30_000, of_each=12)


def _write_tiny(root: Path, world: Literal["base", "novel"], *, first: int, of_each: int) -> None:
    wnids = [f"n{10_000_000 + 1000 * (world == 'novel') + k}" for k in range(len(WORLDS[world].classes))]
    lines: dict[str, list[str]] = {wnid: [] for wnid in wnids}
    for k, picture in enumerate(by_class(world, first, of_each)):
        wnid = wnids[picture.label]
        write_jpeg(picture, root / "train" / wnid / "images" / f"{wnid}_{k}.JPEG")
        main = picture.boxes[picture.labels == picture.label][0]
        corners = "\t".join(f"{value:.0f}" for value in (*main[:2], *(main[2:] - 1)))
        lines[wnid].append(f"{wnid}_{k}.JPEG\t{corners}")
    for wnid, of_class in lines.items():
        write_lines(root / "train" / wnid / f"{wnid}_boxes.txt", of_class)
    write_lines(root / "wnids.txt", wnids)
    write_lines(root / "words.txt", [f"{w}\t{name}" for w, name in zip(wnids, WORLDS[world].classes, strict=True)])
