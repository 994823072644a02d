"""Pascal VOC's segmentation: `SegmentationClass/*.png`, whose palette numbers are classes, 0 background, 255 void.

`ImageSets/Segmentation/{train,val,trainval,test}.txt` make the splits, which differ from those for detection; all years
of a `VOCdevkit/` are read together. With `sbd`, the images of `train_aug.txt` are trained on (10,582 with the Semantic
Boundaries Dataset, Hariharan et al., ICCV 2011), with masks of `SegmentationClassAug/`, which have no void.
Boxes come from `Annotations/`, numbered from 1 as the pixels of `SegmentationObject/` are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.boxes import Convention
from headstart.data.columns import BoxColumns
from headstart.data.faults import Fault, Faults, nothing_left
from headstart.data.flags import IGNORED
from headstart.errors import DataError
from headstart.places.images import header_sizes_hw
from headstart.places.paths import DataPath
from headstart.readers.folders import files_in, has_files, read_lines, relative, subfolders
from headstart.readers.masks.pairs import CLASSES_FILE, VOID_NAMES, named_values
from headstart.readers.options import ReadOptions
from headstart.readers.voc.lists import lists_of, splits_of, years
from headstart.readers.voc.xml import VocFile, place_boxes, read_voc_xml

PNG = frozenset({".png"})
VOID = 255
CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
"""Values 0 to 20 (VOC 2012 development kit, Sec. 4.2)."""
AUGMENTED = ("train_aug", "trainaug", "aug_train")
"""Names that the list of training images with those of SBD goes by; in Segmentation/ or SegmentationAug/."""


@dataclass
class _Row:
    """One image: its id, file, split, mask and XML."""

    name: str
    image: DataPath
    split: str
    mask: DataPath | None
    xml: DataPath


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    folders = [
        folder
        for base, _ in _roots(root)
        for name in ("SegmentationClass", "SegmentationClassAug")
        if has_files(folder := base / name, PNG) and has_files(base / "JPEGImages")
    ]
    if not folders:
        return None
    return f"Pascal VOC segmentation: {', '.join(relative(folder, root) for folder in folders)}/*.png with JPEGImages/"


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Masks of the listed images, and boxes of those with an XML file; ids are the names in the lists.

    Classes are VOC's 20 and background, unless `classes.txt` names others. Raises DataError for lists that name images
    or masks which are not there, masks of another size than their images, and bad XML and boxes.
    """
    faults, notes = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring), list[str]()
    if options.sbd and not any(_augmented_list(base) for base, _ in _roots(root)):
        raise DataError(
            f"{root}: there is no list {AUGMENTED[0]}.txt in ImageSets/Segmentation, which `sbd` asks for. "
            "Put it there, or read the set without `sbd`."
        )
    rows = [row for base, prefix in _roots(root) for row in _rows(base, prefix, options.sbd, faults)]
    files = [read_voc_xml(row.xml, faults) if row.xml.is_file() else None for row in rows]
    settled = [_size_hw(row, faults) for row in rows]
    good = [k for k, size in enumerate(settled) if size is not None]
    rows, files = [rows[k] for k in good], [files[k] for k in good]
    sizes = [size for size in settled if size is not None]
    if not rows:
        told = "no image of it is listed and has a mask. Check the lists in ImageSets/Segmentation."
        raise nothing_left(root, faults.found, told)
    convention: Convention = "edges" if options.zero_based else "voc"
    boxes = _boxes(files, sizes, faults, convention, notes=notes)
    named = named_values(root / CLASSES_FILE) if (root / CLASSES_FILE).is_file() else dict(enumerate(CLASSES))
    void = sorted({VOID, *(value for value, name in named.items() if name.lower() in VOID_NAMES)})
    values = [value for value in sorted(named) if value not in void]
    lut = np.full(256, IGNORED, np.uint8)
    lut[values] = range(len(values))
    return annotate(
        root,
        "voc-segmentation",
        [row.name for row in rows],
        [row.image.relative for row in rows],
        sizes_hw=sizes,
        splits=[row.split for row in rows],
        boxes=boxes,
        mask_paths=[row.mask.relative if row.mask else "" for row in rows],
        mask_lut=lut,
        mask_void=void,
        mask_classes=[named[value] for value in values],
        notes=notes,
        left_out=faults.found,
    )


def _roots(root: DataPath) -> list[tuple[DataPath, str]]:
    return [(root, "")] if (root / "JPEGImages").is_dir() else years(root)


def _rows(base: DataPath, prefix: str, sbd: bool, faults: Faults) -> list[_Row]:
    """The images that the lists name, in the order of their names; without lists, those that have a mask."""
    images = {path.stem: path for path in files_in(base / "JPEGImages")}
    drawn = {path.stem: path for path in files_in(base / "SegmentationClass", PNG)}
    augmented = {path.stem: path for path in files_in(base / "SegmentationClassAug", PNG)}
    lists = lists_of(base, "Segmentation")
    unlisted = {name: "" for name in {**drawn, **augmented} if name in images}
    splits = splits_of(lists, images, (), faults) if lists else unlisted
    path = _augmented_list(base) if sbd else None
    if path:
        splits = _augmented(path, images, splits, faults)
    rows = []
    for name, split in sorted(splits.items()):
        masks = (augmented, drawn) if path and split == "train" else (drawn, augmented)
        mask = masks[0].get(name) or masks[1].get(name)
        if mask is None and split != "test":  # The masks of VOC 2012's test images are not public.
            faults.record(
                Fault(
                    "mask-missing",
                    str(base / "SegmentationClass"),
                    f"{name!r}",
                    f"is in the {split or 'first'} list and has no mask",
                    "Put its PNG there, or take the line out.",
                )
            )
            continue
        rows.append(_Row(f"{prefix}{name}", images[name], split, mask, base / "Annotations" / f"{name}.xml"))
    return rows


def _augmented_list(base: DataPath) -> DataPath | None:
    sets = subfolders(base / "ImageSets")
    places = [
        sets[kind] / f"{name}.txt" for kind in ("Segmentation", "SegmentationAug") if kind in sets for name in AUGMENTED
    ]
    return next((place for place in places if place.is_file()), None)


def _augmented(path: DataPath, images: dict[str, DataPath], splits: dict[str, str], faults: Faults) -> dict[str, str]:
    """The splits with the images of train_aug.txt as training images, and none besides these."""
    held = {name: split for name, split in splits.items() if split in ("val", "test")}
    train: dict[str, str] = {}
    for line in read_lines(path):
        name = PurePosixPath(line.split()[0]).stem  # Some copies say /JPEGImages/a.jpg /SegmentationClassAug/a.png.
        if name in held:
            raise DataError(
                f"{path}: {name!r} is in {held[name]}.txt too. What is scored must not be trained on: take "
                "it out of one list."
            )
        if name not in images:
            faults.record(
                Fault(
                    "annotation-without-image",
                    str(path),
                    f"{name!r}",
                    "has no image in JPEGImages",
                    "Put it there, or take the line out.",
                )
            )
            continue
        train[name] = "train"
    return held | train


def _size_hw(row: _Row, faults: Faults) -> tuple[int, int] | None:
    """Of the image, in the direction (shown or stored) that the mask has; (0, 0): damaged; None: left out."""
    try:
        shown, stored = header_sizes_hw(row.image)
        drawn = header_sizes_hw(row.mask)[1] if row.mask else shown
    except DataError:
        return (0, 0)  # Reported, or skipped and listed, when the two are decoded.
    if drawn not in (shown, stored):
        why = f"the mask is {drawn[1]} x {drawn[0]} pixels, its image {row.image.name} {shown[1]} x {shown[0]}"
        faults.record(Fault("mask-size-differs", str(row.mask), "", why, "Export the mask at the size of its image."))
        return None
    return drawn


def _boxes(
    files: list[VocFile | None],
    sizes: list[tuple[int, int]],
    faults: Faults,
    convention: Convention,
    *,
    notes: list[str],
) -> BoxColumns | None:
    classes = tuple(sorted({item.name for file in files if file for item in file.objects}))
    if not classes:
        return None
    boxes, odd = place_boxes(files, sizes, classes, faults, convention=convention, numbered=True)
    notes += odd
    return boxes
