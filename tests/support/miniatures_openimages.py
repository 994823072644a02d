"""Open Images in its official layout, small enough to work out by hand."""

from __future__ import annotations

import json
from pathlib import Path

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
LABELS_HEADER = "ImageID,Source,LabelName,Confidence"
CLASSES = {"/m/0jbk": "Animal", "/m/01yrx": "Cat", "/m/0bt9lr": "Dog", "/m/068hy": "Pet", "/m/07j7r": "Tree"}
TREE = {
    "LabelName": "/m/0bl9f",
    "Subcategory": [
        {
            "LabelName": "/m/0jbk",
            "Part": [{"LabelName": "/m/0dzct"}],
            "Subcategory": [{"LabelName": "/m/01yrx"}, {"LabelName": "/m/0bt9lr"}],
        },
        {"LabelName": "/m/068hy", "Subcategory": [{"LabelName": "/m/01yrx"}]},
        {"LabelName": "/m/07j7r"},
    ],
}
"""A cat is an animal and a pet; no class of the hierarchy's root."""
TRAIN, TRAIN2, VALIDATION, TEST = "000002b66c9c498e", "000002b97e5471a0", "0001eeaf4aed83f9", "000026e7ee790996"
BOXES = {
    "train": [
        f"{TRAIN},xclick,/m/01yrx,1,0.012500,0.195312,0.148438,0.587500,0,1,0,0,0",
        f"{TRAIN},activemil,/m/07j7r,1,0.25,1.000000,0.000000,0.5,-1,-1,-1,-1,-1",
        f"{TRAIN2},xclick,/m/0bt9lr,1,0.1,0.2,0.3,0.4,1,0,1,1,1",
    ],
    "validation": [f"{VALIDATION},xclick,/m/0jbk,1,0.022673031,0.9642005,0.07103825,0.80054647,0,0,0,0,0"],
    "test": [f"{TEST},xclick,/m/07j7r,1,0.07,0.1,0.5,0.75,0,0,0,0,0"],
}
LABELS = {
    "train": [
        f"{TRAIN},verification,/m/01yrx,1",
        f"{TRAIN},crowdsource-verification,/m/01yrx,1",
        f"{TRAIN},verification,/m/07j7r,1",
        f"{TRAIN},verification,/m/0jbk,0",
        f"{TRAIN2},verification,/m/0bt9lr,1",
    ],
    "validation": [f"{VALIDATION},verification,/m/0jbk,1", f"{VALIDATION},verification,/m/0bt9lr,0"],
    "test": [f"{TEST},verification,/m/07j7r,1"],
}


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def make_annotation(root: Path) -> None:
    for split in BOXES:
        write(root / f"{split}-annotations-bbox.csv", HEADER, *BOXES[split])
        write(root / f"{split}-annotations-human-imagelabels-boxable.csv", LABELS_HEADER, *LABELS[split])
    write(root / "class-descriptions-boxable.csv", *(f"{mid},{name}" for mid, name in CLASSES.items()))
    (root / "bbox_labels_600_hierarchy.json").write_text(json.dumps(TREE))


def boxes_csv(folder: Path, *rows: str, header: str = HEADER, split: str = "train") -> Path:
    """A data set of one file of boxes, without labels."""
    write(folder / f"{split}-annotations-bbox.csv", header, *rows)
    write(folder / "class-descriptions-boxable.csv", *(f"{mid},{name}" for mid, name in CLASSES.items()))
    return folder


def make_openimages(root: Path) -> None:
    from support.miniatures import image

    make_annotation(root)
    for k, name in enumerate((f"train/{TRAIN}", f"train/{TRAIN2}", f"validation/{VALIDATION}", f"test/{TEST}")):
        image(root / f"{name}.jpg", k)
