"""One folder per class: `<class>/*.jpg`, or `train/<class>/`, `val/<class>/`, `test/<class>/`."""

from __future__ import annotations

import re

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.classification import caltech256
from headstart.readers.folders import files_in, has_files, relative, split_of, subfolders
from headstart.readers.imagenet import classification as imagenet
from headstart.readers.masks import camvid
from headstart.readers.options import ReadOptions

OTHER_FORMATS = frozenset(
    {"images", "imgs", "jpegimages", "annotation", "annotations", "xmls", "trimaps", "segmentationclass"}
)
"""Beside a folder of such a name (in lower case), others are no classes."""
PERHAPS = frozenset({"image", "mask", "masks", "label", "labels"})
"""One of these may be a class (mask, no mask), as one of the split names may (train, bus, car); two may not."""
TRAINING = ("", "train", "trainval")


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None. At least two class folders with images are needed."""
    if any(other.looks_like(root) for other in (imagenet, caltech256, camvid)):
        return None
    for split, folder in _parts(root).items():
        classes = list(_classes(folder))
        if split in TRAINING and classes:
            where = relative(folder, root) + "/" if split else ""
            return f"class folders: {len(classes)} folders of images, {where}{classes[0]}/ to {where}{classes[-1]}/"
    return None


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Image labels; classes are the folders' names, sorted; ids are paths. Sizes stay unknown until decoding.

    Raises DataError when a class of val or test has no training images.
    """
    parts = {split: (folder, _with_images(folder)) for split, folder in _parts(root).items()}
    classes = sorted({name for split, (_, folders) in parts.items() if split in TRAINING for name in folders})
    notes: list[str] = []
    ids: list[str] = []
    paths: list[str] = []
    labels: list[int] = []
    splits: list[str] = []
    for split, (folder, class_folders) in parts.items():
        for name, images_in in class_folders.items():
            if name not in classes:
                raise DataError(
                    f"{images_in}: class {name!r} has no training images, so it cannot be learned. "
                    "Add a folder of that name to the training images, or rename or remove this one."
                )
            images = files_in(images_in)
            ids += [relative(image, root) for image in images]
            paths += [image.relative for image in images]
            labels += [classes.index(name)] * len(images)
            splits += [split] * len(images)
            notes += _left_aside(images_in, len(images))
        missing = [name for name in classes if name not in class_folders]
        if missing:
            notes.append(f"{folder}: no images of {len(missing)} of {len(classes)} classes; first: {missing[0]}")
    return annotate(
        root,
        "class-folders",
        ids,
        paths,
        sizes_hw=[(0, 0)] * len(paths),
        splits=splits,
        image_labels=labels,
        image_classes=classes,
        notes=notes,
    )


def _parts(root: DataPath) -> dict[str, DataPath]:
    """Split -> folder that holds the class folders; '' when there are no splits."""
    of_splits = [(split, folder) for name, folder in subfolders(root).items() if (split := split_of(name))]
    if not any(split in TRAINING and _classes(folder) for split, folder in of_splits):
        return {"": root}
    parts: dict[str, DataPath] = {}
    for split, folder in of_splits:
        if _with_images(folder):
            if split in parts:
                raise DataError(
                    f"{root}: {parts[split].name}/ and {folder.name}/ both hold {split} images. Join the two."
                )
            parts[split] = folder
    return parts


def _classes(folder: DataPath) -> dict[str, DataPath]:
    """Name -> folder of two or more classes; empty when the folders look like something else."""
    folders = _with_images(folder)
    doubtful = [name for name in folders if name.lower() in PERHAPS or _like_a_split(name)]
    other = any(name.lower() in OTHER_FORMATS for name in subfolders(folder))
    return {} if other or len(folders) < 2 or len(doubtful) > 1 else folders


def _with_images(folder: DataPath) -> dict[str, DataPath]:
    return {name: sub for name, sub in subfolders(folder).items() if has_files(sub)}


def _like_a_split(name: str) -> bool:
    """`train`, `val2017`, `panoptic_val2017`; and `trainannot`, which holds the masks of `train`."""
    lower = name.lower()
    return split_of(lower.removesuffix("annot")) is not None or bool(re.search(r"(train|val|test)\d{4}$", lower))


def _left_aside(folder: DataPath, num_images: int) -> list[str]:
    others = sum(1 for _ in folder.iterdir()) - num_images
    return [f"{folder}: {others} entries are no images and were left aside"] if others else []
