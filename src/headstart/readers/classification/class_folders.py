"""One folder per class: `<class>/*.jpg`, or `train/<class>/`, `val/<class>/`, `test/<class>/`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.images import IMAGE_SUFFIXES
from headstart.places.paths import DataPath
from headstart.readers.classification import caltech256
from headstart.readers.classification.split_lists import listed_splits
from headstart.readers.folders import files_in, has_files, relative, split_of, subfolders, walked
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
DEEPEST = 8
"""Folders within each other that are read."""


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


def found_in(root: DataPath) -> str | None:
    """The same of class folders in the one folder that holds images, or of classes whose images all lie deeper."""
    base = _inner(root)
    if base is None:
        return None
    parts = _parts(base, nested=True)
    base = next(iter(parts.values()))
    names = list(_deep(base))
    where = f"{relative(base, root)}/" if base != root else ""
    return f"class folders: {len(names)} folders of images, {where}{names[0]}/ to {where}{names[-1]}/"


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Image labels; classes are the folders' names, sorted; ids are paths. Sizes stay unknown until decoding.

    Folders in class folders are read, too, as torchvision does. Lists such as `train.txt` beside the folders make the
    splits. Raises DataError when a class of val or test has no training images.
    """
    faults, notes = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring), list[str]()
    base = root if looks_like(root) else _inner(root) or root
    parts = {split: (folder, _deep(folder)) for split, folder in _parts(base, nested=base == root).items()}
    classes = sorted({name for split, (_, folders) in parts.items() if split in TRAINING for name in folders})
    images: list[DataPath] = []
    labels: list[int] = []
    splits: list[str] = []
    for split, (folder, class_folders) in parts.items():
        _require_trained(class_folders, classes)
        for name, class_folder in class_folders.items():
            of_class = list(_images_below(class_folder, faults))
            images += of_class
            labels += [classes.index(name)] * len(of_class)
            splits += [split] * len(of_class)
        _report_others(folder, class_folders, faults)
        missing = [name for name in classes if name not in class_folders]
        if missing:
            notes.append(f"{folder}: no images of {len(missing)} of {len(classes)} classes; first: {missing[0]}")
    if list(parts) == [""]:
        splits = listed_splits(root, base, images, faults, notes=notes) or splits
    return annotate(
        root,
        "class-folders",
        [relative(image, root) for image in images],
        [image.relative for image in images],
        sizes_hw=[(0, 0)] * len(images),
        splits=splits,
        image_labels=labels,
        image_classes=classes,
        notes=notes,
        left_out=faults.found,
    )


def _require_trained(class_folders: dict[str, DataPath], classes: list[str]) -> None:
    for name, folder in class_folders.items():
        if name not in classes:
            raise DataError(
                f"{folder}: class {name!r} has no training images, so it cannot be learned. "
                "Add a folder of that name to the training images, or rename or remove this one."
            )


def _parts(root: DataPath, nested: bool = False) -> dict[str, DataPath]:
    """Split -> folder that holds the class folders; '' when there are no splits. nested: all images may lie deeper."""
    of_splits = [(split, folder) for name, folder in subfolders(root).items() if (split := split_of(name))]
    if not any(split in TRAINING and _classes(folder, nested) for split, folder in of_splits):
        return {"": root}
    parts: dict[str, DataPath] = {}
    for split, folder in of_splits:
        if _deep(folder):
            if split in parts:
                raise DataError(
                    f"{root}: {parts[split].name}/ and {folder.name}/ both hold {split} images. Join the two."
                )
            parts[split] = folder
    return parts


def _classes(folder: DataPath, nested: bool = False) -> dict[str, DataPath]:
    """Name -> folder of two or more classes; empty when the folders look like something else."""
    folders = _deep(folder) if nested else _with_images(folder)
    doubtful = [name for name in folders if name.lower() in PERHAPS or _like_a_split(name)]
    other = any(name.lower() in OTHER_FORMATS for name in subfolders(folder))
    return {} if other or len(folders) < 2 or len(doubtful) > 1 else folders


def _with_images(folder: DataPath) -> dict[str, DataPath]:
    return {name: sub for name, sub in subfolders(folder).items() if has_files(sub)}


def _like_a_split(name: str) -> bool:
    """`train`, `val2017`, `panoptic_val2017`; and `trainannot`, which holds the masks of `train`."""
    lower = name.lower()
    return split_of(lower.removesuffix("annot")) is not None or bool(re.search(r"(train|val|test)\d{4}$", lower))


def _deep(folder: DataPath) -> dict[str, DataPath]:
    """Folders that have images, be it in folders of their own."""
    return {name: sub for name, sub in subfolders(folder).items() if any(has_files(inner) for inner in walked(sub))}


def _inner(root: DataPath) -> DataPath | None:
    """Where the class folders are: here, if some have images of their own; or in the one folder that has images."""
    if root.is_file():
        return None
    if list(_parts(root, nested=True)) != [""]:
        return root
    deep = _deep(root)
    if len(deep) == 1:
        only = next(iter(deep.values()))
        return only if len(_classes(only)) > 1 else None
    names = {name.lower() for name in subfolders(root)}
    apart = not names & OTHER_FORMATS and not any(_like_a_split(name) or name in PERHAPS for name in names)
    return root if len(deep) > 1 and apart and _with_images(root) else None


def _images_below(folder: DataPath, faults: Faults, depth: int = DEEPEST) -> Iterator[DataPath]:
    """As torchvision walks: the folder's own images, then those of each folder in it. Other files are reported."""
    others = 0
    for entry, is_folder in folder.iterdir():
        if not is_folder and entry.suffix.lower() in IMAGE_SUFFIXES:
            yield entry
        others += not is_folder and entry.suffix.lower() not in IMAGE_SUFFIXES
    if others:
        why = f"{others} entries are no images and were left aside"
        faults.lost(Fault("file-left-aside", str(folder), "", why, "Move them out of the folder of the class."))
    inner = subfolders(folder)
    if inner and not depth:
        why = f"folders lie more than {DEEPEST} deep (a link that leads to itself?) and were left aside"
        faults.lost(Fault("file-left-aside", str(folder), "", why, "Take the link out, or move the images up."))
    for sub in inner.values() if depth else ():
        yield from _images_below(sub, faults, depth - 1)


def _report_others(folder: DataPath, class_folders: dict[str, DataPath], faults: Faults) -> None:
    """Images beside the folders of the classes, and folders of classes that hold none."""
    if loose := files_in(folder):
        why = f"{len(loose)} images lie beside the folders of the classes and were left aside; first: {loose[0].name}"
        faults.lost(Fault("file-left-aside", str(folder), "", why, "Move them into the folder of their class."))
    for name, sub in subfolders(folder).items():
        if name not in class_folders and not any(not is_folder for _, is_folder in sub.iterdir()):
            why, fix = "the folder holds no image, and is no class", "Add images, or remove the folder."
            faults.lost(Fault("class-without-examples", str(sub), "", why, fix))
