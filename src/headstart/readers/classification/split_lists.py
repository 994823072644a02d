"""Lists of images beside class folders that make the splits: `train.txt`, `TestImages.txt`, `meta/train.txt`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.file_names import composed
from headstart.readers.folders import files_in, read_lines, relative, split_of, subfolders

TEXT = frozenset({".txt", ".lst", ".list"})
LOOKED_AT = 20
"""Lines of a list that are looked for among the images."""
FOLDERS = 20
"""Folders beside those of the classes that are searched for lists."""


def lists_beside(root: DataPath, base: DataPath) -> list[tuple[str, DataPath]]:
    """(split, list), by names of files in the data set's folder, or in one that is none of its classes."""
    folders = [root, *(() if root == base else (base,)), *list(subfolders(root).values())[:FOLDERS]]
    files = [path for folder in dict.fromkeys(folders) for path in files_in(folder, TEXT)]
    return [(split, path) for path in files if (split := _split(path.stem))]


def listed_splits(
    root: DataPath, base: DataPath, images: Sequence[DataPath], faults: Faults, *, notes: list[str]
) -> list[str]:
    """The split of each image; [] where no list names the images. Lines name an image by its path with its class, or
    by its own name if that is the only one, with or without ending; what follows the name is not read.

    Raises DataError for an image of the test that is in another list, too.
    """
    names = _names(base, images)
    split_of_image: dict[DataPath, tuple[str, DataPath]] = {}
    read: dict[str, DataPath] = {}
    for split, path in lists_beside(root, base):
        lines = read_lines(path)
        if not any(_found(line, names) for line in lines[:LOOKED_AT]):
            continue
        if split in read:
            notes.append(f"{path}: {read[split].name} makes the {split} split, and this list was left aside")
            continue
        read[split] = path
        for k, line in enumerate(lines, 1):
            image = _found(line, names)
            if image is None:
                why, fix = f"names {line[:200]!r}, which is not there", "Put the image there, or take the line out."
                faults.record(Fault("image-missing", str(path), f"entry {k}", why, fix))
            else:
                _assign(split_of_image, image, split, path)
    if read and len(split_of_image) < len(images):
        first = next(image for image in images if image not in split_of_image)
        notes.append(f"{root}: {len(images) - len(split_of_image)} images are in no list; first: {first}")
    return [split_of_image[i][0] if i in split_of_image else "" for i in images] if read else []


def _split(stem: str) -> str:
    """Of train, train1, TrainImages, cls_test_list; '' of other names."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", stem)
    return next((split for word in words if (split := split_of(word.removesuffix("list")))), "")


def _names(base: DataPath, images: Sequence[DataPath]) -> dict[str, DataPath | None]:
    """Every name that a list may give to an image; None for those that several images have."""
    names: dict[str, DataPath | None] = {}
    for image in images:
        way = composed(relative(image, base))
        for name in {way, way.removesuffix(image.suffix), composed(image.name), composed(image.stem)}:
            names[name] = None if name in names else image
    return names


def _found(line: str, names: dict[str, DataPath | None]) -> DataPath | None:
    plain = composed(line).replace("\\", "/")
    for text in (plain, re.split(r"[\s,;]", plain)[0]):
        parts = text.strip("./").split("/") if text else []
        for end in ("/".join(parts[-2:]), parts[-1] if len(parts) == 1 else "", "/".join(parts)):
            if end and (image := names.get(end)):
                return image
    return None


def _assign(splits: dict[DataPath, tuple[str, DataPath]], image: DataPath, split: str, path: DataPath) -> None:
    other, first = splits.setdefault(image, (split, path))
    if other != split and "test" in (other, split):
        raise DataError(
            f"{path}: {image} is in {first.name}, too. Test images must not be trained on: take it out of one list."
        )
    if other == "trainval":
        splits[image] = (split, path)
