"""Oxford Flowers-102: `jpg/image_00001.jpg` to `image_08189.jpg`, `imagelabels.mat`, `setid.mat`.

`labels` has the class of each image, 1 to 102; `trnid`, `valid` and `tstid` have the numbers of the images of each
official split (1,020, 1,020 and 6,149). The source gives the classes no names. (README.txt of
www.robots.ox.ac.uk/~vgg/data/flowers/102; the tree as `torchvision/datasets/flowers102.py` of pytorch/vision reads it.)
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.folders import files_in
from headstart.readers.mat_files import mat_variable
from headstart.readers.options import ReadOptions

LABELS, SETS = "imagelabels.mat", "setid.mat"
SPLITS = {"trnid": "train", "valid": "val", "tstid": "test"}
IMAGE = re.compile(r"image_(\d{5})", re.ASCII)


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    there = (root / "jpg").is_dir() and all((root / name).is_file() for name in (LABELS, SETS))
    return f"Oxford Flowers-102: jpg/ with {LABELS} and {SETS}" if there else None


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Image labels; classes are the source's numbers in their order; image ids are file names without ending. Sizes
    stay unknown until decoding.

    Raises DataError for MATLAB files that cannot be read, numbers that are none of an image or class, an image in two
    splits, and images that are not there or have no label.
    """
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    labels = _whole(root / LABELS, "labels")
    if labels.min() < 1:
        raise DataError(f"{root / LABELS}: `labels` holds {labels.min()}; classes count from 1. Fetch the file again.")
    splits = _splits(root / SETS, len(labels))
    images: dict[int, DataPath] = {}
    for image in files_in(root / "jpg"):
        said = IMAGE.fullmatch(image.stem)
        number = int(said[1]) if said else 0
        if not 1 <= number <= len(labels) or number in images:
            faults.record(
                Fault(
                    "image-not-listed",
                    str(image),
                    "",
                    f"is none of image_00001 to {len(labels):05d}, so its class is not known",
                    "Remove it, or give it its name.",
                )
            )
        else:
            images[number] = image
    for number in range(1, len(labels) + 1):
        if number not in images:
            faults.record(
                Fault(
                    "image-missing",
                    str(root / LABELS),
                    f"label {number}",
                    f"is for image_{number:05d}, which is not in {root / 'jpg'}",
                    "Fetch 102flowers.tgz again.",
                )
            )
    numbers = sorted(images)
    classes = np.unique(labels)
    return annotate(
        root,
        "flowers102",
        [images[number].stem for number in numbers],
        [images[number].relative for number in numbers],
        sizes_hw=[(0, 0)] * len(numbers),
        splits=[splits[number - 1] for number in numbers],
        image_labels=np.searchsorted(classes, labels[[number - 1 for number in numbers]]),
        image_classes=[str(k) for k in classes],
        image_class_ids=classes.tolist(),
        left_out=faults.found,
    )


def _whole(path: DataPath, name: str) -> NDArray[np.int64]:
    """A variable of whole numbers, one after the other. Raises DataError."""
    values = mat_variable(path, name).reshape(-1)
    if values.dtype.kind not in "iuf" or not len(values) or not np.array_equal(values, np.rint(values)):
        raise DataError(f"{path}: `{name}` does not hold whole numbers. Fetch the file again.")
    if np.abs(values).max() > 2**31:
        raise DataError(f"{path}: `{name}` holds {np.abs(values).max():g}. Fetch the file again.")
    return values.astype(np.int64)


def _splits(path: DataPath, count: int) -> list[str]:
    """Split of images 1 to count."""
    splits = [""] * count
    for name, split in SPLITS.items():
        for number in _whole(path, name).tolist():
            if not 1 <= number <= count:
                raise DataError(
                    f"{path}: `{name}` holds {number}, and there are labels for {count} images. Fetch both files again."
                )
            if splits[number - 1] not in ("", split):
                raise DataError(
                    f"{path}: image {number} is in `{name}` and a {splits[number - 1]} image too. Fetch the file again."
                )
            splits[number - 1] = split
    return splits
