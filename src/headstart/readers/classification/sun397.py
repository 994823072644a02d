"""SUN-397: `SUN397/a/abbey/*.jpg`, `ClassName.txt`, and ten official partitions `Training_01.txt`, `Testing_01.txt`.

A line of ClassName.txt is `/a/abbey` or `/a/apartment_building/outdoor`, one of a partition `/a/abbey/sun_....jpg`.
A partition has 50 images a class for training and 50 for testing; the others belong to neither. The lists are looked
for in the data set's folder, in `Partitions/` and beside the images. (vision.princeton.edu/projects/2010/SUN; Xiao et
al., SUN Database, CVPR 2010, Sec. 4; the tree as `torchvision/datasets/sun397.py` of pytorch/vision reads it.)
"""

from __future__ import annotations

import re

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.folders import files_in, read_lines, read_text, subfolders
from headstart.readers.options import ReadOptions

CLASSES = "ClassName.txt"
FOLDERS = ("SUN397", "")
LISTS = ("", "Partitions", "partitions", "SUN397")
CLASS = re.compile(r"/[a-z](/[A-Za-z0-9_-]+)+")
PARTS = {"Training": "train", "Testing": "test"}


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    names, images = _find(root, CLASSES), _images(root)
    return f"SUN-397: {names.name} with {images.name}/a/ and so on" if names and images else None


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Image labels; classes in the order of ClassName.txt, with its lines as ids; image ids are paths without ending.

    `partition`: which of the ten makes the splits; 0 for none. Sizes stay unknown until decoding.
    Raises DataError for lists that cannot be read, classes without folder, and listed images that are not there.
    """
    listed, images = _find(root, CLASSES), _images(root)
    if listed is None or images is None:
        raise DataError(f"{root}: there is no {CLASSES}, or no folder a/ of images. Put {CLASSES} beside SUN397/.")
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    notes: list[str] = []
    classes = _classes(listed)
    paths: list[DataPath] = []
    labels: list[int] = []
    for label, line in enumerate(classes):
        images_of_class = files_in(images / line)
        if not images_of_class:
            faults.record(
                Fault(
                    "class-without-examples",
                    str(listed),
                    f"{line!r}",
                    f"has no images in {images / line}",
                    "Put them there, or take the line out.",
                )
            )
        paths += images_of_class
        labels += [label] * len(images_of_class)
    others = [folder for folder in _with_images(images) if _line(folder, images) not in classes]
    if others:
        notes.append(
            f"{images}: {len(others)} folders of images are not in {CLASSES} and were left aside; first: "
            f"{_line(others[0], images)}"
        )
    splits = _partition(
        root, options.partition, {_line(path, images): k for k, path in enumerate(paths)}, faults, notes=notes
    )
    return annotate(
        root,
        "sun397",
        [_line(path, images).lstrip("/").removesuffix(path.suffix) for path in paths],
        [path.relative for path in paths],
        sizes_hw=[(0, 0)] * len(paths),
        splits=splits,
        image_labels=labels,
        image_classes=[line.split("/", 2)[2] for line in classes],
        image_class_ids=classes,
        notes=notes,
        left_out=faults.found,
    )


def _find(root: DataPath, name: str) -> DataPath | None:
    places = (root / inside / name if inside else root / name for inside in LISTS)
    return next((path for path in places if path.is_file()), None)


def _images(root: DataPath) -> DataPath | None:
    """The folder that holds a/, b/ and so on."""
    for name in FOLDERS:
        folder = root / name if name else root
        if any(len(letter) == 1 and subfolders(sub) for letter, sub in subfolders(folder).items()):
            return folder
    return None


def _classes(path: DataPath) -> list[str]:
    lines = read_lines(path)
    for k, line in enumerate(lines):
        if not CLASS.fullmatch(line):
            raise DataError(
                f"{path}: entry {k} is {line[:80]!r}; a class such as /a/abbey is expected. Correct the line."
            )
        if line in lines[:k]:
            raise DataError(f"{path}: entry {k}, {line!r}, stands twice. Take one line out.")
    if len({line.split("/", 2)[2] for line in lines}) < max(len(lines), 1):
        raise DataError(f"{path}: lists no class, or two of one name below different letters. Fetch the file again.")
    return lines


def _with_images(folder: DataPath) -> list[DataPath]:
    folders = [folder] if files_in(folder) else []
    return folders + [below for sub in subfolders(folder).values() for below in _with_images(sub)]


def _line(path: DataPath, images: DataPath) -> str:
    """As the lists name it."""
    return "/" + path.relative.removeprefix(images.relative).lstrip("/")


def _partition(root: DataPath, number: int, row_of: dict[str, int], faults: Faults, *, notes: list[str]) -> list[str]:
    """Split of each image."""
    splits = [""] * len(row_of)
    if number == 0:
        return splits
    lists = {part: _find(root, f"{part}_{number:02d}.txt") for part in PARTS}
    missing = [f"{part}_{number:02d}.txt" for part, path in lists.items() if path is None]
    if len(missing) == len(PARTS) and number == 1:
        notes.append(f"{root}: there is neither {' nor '.join(missing)}, so there are no official splits")
        return splits
    if missing:
        raise DataError(
            f"{root}: {' and '.join(missing)} of partition {number} is not there. Put it into Partitions/, "
            "or say partition=0 for no official splits."
        )
    for part, path in lists.items():
        assert path is not None
        lines = read_text(path).splitlines()
        if not any(line.strip() for line in lines):
            raise DataError(f"{path}: lists no image. Fetch the file again.")
        for k, line in enumerate(lines, 1):
            row = row_of.get(line.strip())
            if line.strip() and row is None:
                faults.record(
                    Fault(
                        "image-missing",
                        str(path),
                        f"line {k}",
                        f"names {line.strip()[:99]!r}, which is not there",
                        "Put the image there, or take the line out.",
                    )
                )
            elif row is not None and splits[row] not in ("", PARTS[part]):
                faults.record(
                    Fault(
                        "image-in-two-splits",
                        str(path),
                        f"line {k}",
                        f"names {line.strip()!r}, a {splits[row]} image too",
                        "Take the line out of one list.",
                    )
                )
            elif row is not None:
                splits[row] = PARTS[part]
    if "" in splits:
        notes.append(f"{root}: {splits.count('')} of {len(splits)} images are in neither part of partition {number}")
    return splits
