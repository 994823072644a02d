"""Public data sets of classified images in their layouts, in miniature: main classes of the novel world."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.world.official.pictures import by_class, write_jpeg, write_lines
from headstart.world.worlds import WORLDS

CLASSES = WORLDS["novel"].classes


def write_caltech256(root: Path) -> None:
    """Twelve images of each class, in folders by number."""
    numbers = dict.fromkeys(range(len(CLASSES)), 0)
    for picture in by_class("novel", 1000, 12):
        numbers[picture.label] += 1
        of = picture.label + 1
        folder = root / "256_ObjectCategories" / f"{of:03d}.{CLASSES[picture.label]}"
        write_jpeg(picture, folder / f"{of:03d}_{numbers[picture.label]:04d}.jpg")


def write_sun397(root: Path) -> None:
    """Twelve images of each class; two official partitions with five to train and five to test on."""
    names: dict[int, list[str]] = {}
    for k, picture in enumerate(by_class("novel", 6000, 12)):
        name = CLASSES[picture.label]
        names.setdefault(picture.label, []).append(f"/{name[0]}/{name}/sun_{k:04d}.jpg")
        write_jpeg(picture, root / f"SUN397{names[picture.label][-1]}")
    write_lines(root / "ClassName.txt", sorted(f"/{name[0]}/{name}" for name in CLASSES))
    for number in range(1, 11):
        moved = {label: [*own[number:], *own[:number]] for label, own in names.items()}
        for part, rows in (("Training", slice(0, 5)), ("Testing", slice(5, 10))):
            listed = [name for own in moved.values() for name in own[rows]]
            write_lines(root / f"Partitions/{part}_{number:02d}.txt", listed)


def write_flowers102(root: Path) -> None:
    """Of each class four images to train, two to validate, six to test."""
    from scipy.io import savemat

    labels: list[int] = []
    splits: dict[str, list[int]] = {"trnid": [], "valid": [], "tstid": []}
    for k, picture in enumerate(by_class("novel", 12_000, 12)):
        write_jpeg(picture, root / f"jpg/image_{k + 1:05d}.jpg")
        labels.append(picture.label + 1)
        splits["trnid" if k % 12 < 4 else "valid" if k % 12 < 6 else "tstid"].append(k + 1)
    savemat(root / "imagelabels.mat", {"labels": np.array([labels], np.uint8)})
    savemat(root / "setid.mat", {name: np.array([numbers], np.uint16) for name, numbers in splits.items()})


def write_flowers17(root: Path) -> None:
    """Of each class eight images to train and four to test on, in folders."""
    for k, picture in enumerate(by_class("novel", 18_000, 12)):
        part = "train" if k % 12 < 8 else "test"
        write_jpeg(picture, root / part / CLASSES[picture.label] / f"image_{k + 1:04d}.jpg")


def write_oxford_pets(root: Path) -> None:
    """Six images of each class as a breed, two of them to test on; its main object is the pet of a trimap."""
    from PIL import Image

    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for k, picture in enumerate(by_class("novel", 24_000, 6)):
        name = f"{CLASSES[picture.label]}_{k}"
        lists["trainval" if k % 6 < 4 else "test"].append(f"{name} {picture.label + 1} 1 {picture.label + 1}")
        write_jpeg(picture, root / f"images/{name}.jpg")
        shown = [i + 1 for i in np.flatnonzero(picture.labels == picture.label)]
        trimap = np.where(np.isin(picture.instances, shown), 1, 2).astype(np.uint8)
        path = root / f"annotations/trimaps/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(trimap).save(path)
    for part, lines in lists.items():
        write_lines(root / f"annotations/{part}.txt", lines)
    write_lines(root / "annotations/list.txt", [line for lines in lists.values() for line in lines])
