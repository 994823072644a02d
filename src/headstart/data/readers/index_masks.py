"""Images with index masks: one-channel files of the same name whose values are class numbers.

Layouts: `images/` with `masks/`, each flat or with `train/`, `val/`, `test/` inside; `train/images/` with
`train/masks/`, and so on; `train/` with `trainannot/`, and so on (CamVid as in the SegNet tutorial).

Classes: from `classes.txt` beside the folders, where line k (from 0) names value k, or lines read `VALUE NAME`; a
value named void, ignore, ignored or unlabeled is neither trained on nor scored. Without that file every value that
occurs is a class named after its number, 255 too: masks of 0 and 255 are common, so nothing is void unless named so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotate import annotate
from headstart.data.annotations import IGNORED, Annotations
from headstart.data.images import header_sizes_hw, read_mask
from headstart.data.options import ReadOptions
from headstart.data.places import DataPath
from headstart.data.readers.folders import (
    SPLIT_FOLDERS,
    files_in,
    has_files,
    read_lines,
    relative,
    split_of,
    subfolders,
)
from headstart.errors import DataError

MASK_SUFFIXES = frozenset({".png", ".bmp", ".gif", ".tif", ".tiff", ".pgm"})
"""Lossless ones: JPEG changes class numbers."""
IMAGE_FOLDERS = ("images", "image", "imgs")
MASK_FOLDERS = ("masks", "mask", "labels", "annotations", "segmentations")
MASK_ENDINGS = ("", "_mask", "_L")
"""Endings of a mask's stem after its image's stem."""
VOID_NAMES = frozenset({"void", "ignore", "ignored", "unlabeled", "unlabelled"})
CLASSES_FILE = "classes.txt"
CAMVID = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign symbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
    "void",
)
"""Values 0 to 11 of the SegNet tutorial's CamVid; used where the folder's own lists name CamVid."""


@dataclass(frozen=True)
class _Pair:
    images: DataPath
    masks: DataPath
    split: str


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    pairs = _pairs(root)
    if not pairs:
        return None
    return "index masks: " + ", ".join(f"{relative(p.images, root)}/ with {relative(p.masks, root)}/" for p in pairs)


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Masks and their classes; ids are the images' paths without ending.

    Without `classes.txt` all masks are
    decoded to see which values occur. Raises DataError when no mask fits an image, or `classes.txt` has faults.
    """
    images: list[DataPath] = []
    masks: list[DataPath | None] = []
    splits: list[str] = []
    notes: list[str] = []
    for pair in _pairs(root):
        found = _match(pair, notes)
        images += found
        masks += found.values()
        splits += [pair.split] * len(found)
    names, void = _classes(root, [m for m in masks if m], notes)
    lut = np.full(256, IGNORED, np.uint8)
    for k, value in enumerate(names):
        lut[value] = k
    return annotate(
        root,
        "index-masks",
        [relative(p, root).removesuffix(p.suffix) for p in images],
        [p.relative for p in images],
        [_size_hw(image, mask) for image, mask in zip(images, masks, strict=True)],
        splits,
        mask_paths=[m.relative if m else "" for m in masks],
        mask_lut=lut,
        mask_void=void,
        mask_classes=tuple(names.values()),
        notes=notes,
    )


def _pairs(root: DataPath) -> list[_Pair]:
    return next((found for layout in (_flat, _split_outside, _beside) if (found := list(layout(root)))), [])


def _flat(root: DataPath) -> Iterator[_Pair]:
    """images/ with masks/, or images/train/ with masks/train/."""
    images, masks = _named(root, IMAGE_FOLDERS), _named(root, MASK_FOLDERS)
    if images is None or masks is None:
        return
    if has_files(images) and has_files(masks, MASK_SUFFIXES):
        yield _Pair(images, masks, "")
    for name, folder in subfolders(images).items():
        if (split := split_of(name)) and has_files(folder) and has_files(masks / name, MASK_SUFFIXES):
            yield _Pair(folder, masks / name, split)


def _split_outside(root: DataPath) -> Iterator[_Pair]:
    """train/images/ with train/masks/."""
    for name, folder in subfolders(root).items():
        images, masks = _named(folder, IMAGE_FOLDERS), _named(folder, MASK_FOLDERS)
        if (split := split_of(name)) and images and masks and has_files(images) and has_files(masks, MASK_SUFFIXES):
            yield _Pair(images, masks, split)


def _beside(root: DataPath) -> Iterator[_Pair]:
    """train/ with trainannot/."""
    folders = subfolders(root)
    for name, folder in folders.items():
        masks = folders.get(f"{name}annot")
        if name.lower() in SPLIT_FOLDERS and masks and has_files(folder) and has_files(masks, MASK_SUFFIXES):
            yield _Pair(folder, masks, SPLIT_FOLDERS[name.lower()])


def _named(folder: DataPath, names: tuple[str, ...]) -> DataPath | None:
    found = {name.lower(): sub for name, sub in subfolders(folder).items()}
    return next((found[name] for name in names if name in found), None)


def _match(pair: _Pair, notes: list[str]) -> dict[DataPath, DataPath | None]:
    masks = {m.stem: m for m in files_in(pair.masks, MASK_SUFFIXES)}
    images = files_in(pair.images)
    found = {
        image: next((masks[image.stem + e] for e in MASK_ENDINGS if image.stem + e in masks), None) for image in images
    }
    without = [image.name for image, mask in found.items() if mask is None]
    if len(without) == len(images):
        raise DataError(f"{pair.masks}: no mask is named like an image of {pair.images} (first image {images[0].name}, "
                        f"first mask {min(masks.values()).name}). Name each mask as its image.")  # fmt: skip
    if without:
        notes.append(
            f"{pair.images}: {len(without)} images have no mask and take no part in segmentation; first: {without[0]}"
        )
    unused = sorted(set(masks.values()) - {m for m in found.values() if m})
    if unused:
        notes.append(f"{pair.masks}: {len(unused)} masks have no image; first: {unused[0].name}")
    return found


def _size_hw(image: DataPath, mask: DataPath | None) -> tuple[int, int]:
    """Of the image, in the direction (shown or stored) that the mask has; (0, 0) when the image is damaged."""
    try:
        shown, stored = header_sizes_hw(image)
        drawn = header_sizes_hw(mask)[1] if mask else shown
    except DataError:
        return (0, 0)  # Reported, or skipped and listed, when the two are decoded.
    if drawn not in (shown, stored):
        raise DataError(
            f"{mask}: the mask is {drawn[1]} x {drawn[0]} pixels, its image {image.name} {shown[1]} x {shown[0]}. "
            "Export the mask at the size of its image."
        )
    return drawn


def _classes(root: DataPath, masks: list[DataPath], notes: list[str]) -> tuple[dict[int, str], tuple[int, ...]]:
    """Value -> class name in the order of the values, and the void values."""
    if (root / CLASSES_FILE).is_file():
        named = named_values(root / CLASSES_FILE)
    elif _says_camvid(root):
        named = dict(enumerate(CAMVID))
    else:
        named = {int(value): str(value) for value in np.flatnonzero(_values_seen(masks))}
        notes.append(
            f"{root}: no {CLASSES_FILE}, so each of the {len(named)} mask values that occur is a class named after its "
            f"number{', 255 too' if 255 in named else ''}. A {CLASSES_FILE} with a line for each value names them; a "
            "value named void is ignored"
        )
    void = tuple(value for value, name in named.items() if name.lower() in VOID_NAMES)
    classes = {value: name for value, name in sorted(named.items()) if value not in void}
    if len(classes) < 2:
        raise DataError(
            f"{root}: the masks have {len(classes)} classes ({', '.join(classes.values())}); segmentation needs two or "
            f"more. Check the masks' values, or name them in {CLASSES_FILE}."
        )
    if len(set(classes.values())) < len(classes):
        raise DataError(f"{root / CLASSES_FILE}: a class name stands twice. Give every value a name of its own.")
    return classes, void


def named_values(path: DataPath) -> dict[int, str]:
    """Value -> name, void ones too, from a `classes.txt` (see the module). Raises DataError for one with faults."""
    lines = read_lines(path)
    parts = [line.split(maxsplit=1) for line in lines]
    if all(len(p) == 2 and p[0].isdecimal() for p in parts):
        named = {int(p[0]): p[1] for p in parts}
        if len(named) < len(lines) or max(named, default=0) > 255:
            raise DataError(
                f"{path}: values must differ and be at most 255. Give one line `VALUE NAME` for each value."
            )
        return named
    if len(lines) > 256:
        raise DataError(f"{path}: {len(lines)} names for at most 256 values. Give one line for each value, from 0.")
    return dict(enumerate(lines))


def _says_camvid(root: DataPath) -> bool:
    lists = [root / f"{name}.txt" for name in ("train", "val", "test")]
    return any("camvid" in line.lower() for path in lists if path.is_file() for line in read_lines(path)[:1])


def _values_seen(masks: list[DataPath]) -> NDArray[np.bool_]:
    seen = np.zeros(256, bool)
    for path in masks:
        seen[np.unique(read_mask(path))] = True
    return seen
