"""Images with index masks: one-channel files of the same name whose values are class numbers.

Layouts: `images/` with `masks/`, each flat or with `train/`, `val/`, `test/` inside; `train/images/` with
`train/masks/`, and so on; `train/` with `trainannot/`, and so on. (CamVid's lists and color masks: `camvid`.)

Classes: from `classes.txt` beside the folders, where line k (from 0) names value k, or lines read `VALUE NAME`; a
value named void, ignore, ignored or unlabeled is neither trained on nor scored. Without that file every value that
occurs is a class named after its number, 255 too: masks of 0 and 255 are common, so nothing is void unless named so.
Where the format is said and there is no such layout, `images/` with `semantic_masks/` is read, and its classes from
`classes` of `semantic_classes.yaml` (lightly-ai/coco128_yolo).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headstart.data.annotations import Annotations
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.file_names import composed
from headstart.readers.folders import (
    SPLIT_FOLDERS,
    files_in,
    has_files,
    relative,
    split_of,
    subfolders,
)
from headstart.readers.masks import camvid
from headstart.readers.masks.pairs import MASK_SUFFIXES, annotate_pairs, mask_classes, note_unpaired
from headstart.readers.options import ReadOptions

IMAGE_FOLDERS = ("images", "image", "imgs")
MASK_FOLDERS = ("masks", "mask", "labels", "annotations", "segmentations")
SEMANTIC_FOLDERS = ("semantic_masks", "semantic")
"""Looked for when the format is said: such folders lie beside other annotation of the same images."""
MASK_ENDINGS = ("", "_mask", "_L")
"""Endings of a mask's stem after its image's stem."""


@dataclass(frozen=True)
class _Pair:
    images: DataPath
    masks: DataPath
    split: str


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    pairs = _pairs(root)
    if not pairs or camvid.looks_like(root):
        return None
    return "index masks: " + ", ".join(f"{relative(p.images, root)}/ with {relative(p.masks, root)}/" for p in pairs)


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Masks and their classes; ids are the images' paths without ending.

    Without `classes.txt` all masks are
    decoded to see which values occur. Raises DataError when no mask fits an image, or `classes.txt` has faults.
    """
    masks: dict[DataPath, DataPath | None] = {}
    splits: list[str] = []
    notes: list[str] = []
    for pair in _pairs(root) or list(_flat(root, SEMANTIC_FOLDERS)):
        masks_of_split = _match(pair, notes)
        masks |= masks_of_split
        splits += [pair.split] * len(masks_of_split)
    named, void = mask_classes(root, [mask for mask in masks.values() if mask], notes)
    return annotate_pairs(root, "index-masks", masks, splits, named=named, void=void, notes=notes)


def _pairs(root: DataPath) -> list[_Pair]:
    return next((pairs for layout in (_flat, _split_outside, _beside) if (pairs := list(layout(root)))), [])


def _flat(root: DataPath, mask_folders: tuple[str, ...] = MASK_FOLDERS) -> Iterator[_Pair]:
    """images/ with masks/, or images/train/ with masks/train/."""
    images, masks = _named(root, IMAGE_FOLDERS), _named(root, mask_folders)
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
    folders = {name.lower(): sub for name, sub in subfolders(folder).items()}
    return next((folders[name] for name in names if name in folders), None)


def _match(pair: _Pair, notes: list[str]) -> dict[DataPath, DataPath | None]:
    masks = {composed(m.stem): m for m in files_in(pair.masks, MASK_SUFFIXES)}
    images = files_in(pair.images)
    mask_of = {
        image: next((masks[stem + e] for e in MASK_ENDINGS if (stem := composed(image.stem)) + e in masks), None)
        for image in images
    }
    without = [image.name for image, mask in mask_of.items() if mask is None]
    if len(without) == len(images):
        raise DataError(
            f"{pair.masks}: no mask is named like an image of {pair.images} (first image {images[0].name}, "
            f"first mask {min(masks.values()).name}). Name each mask as its image."
        )
    unused = sorted(set(masks.values()) - {m for m in mask_of.values() if m})
    note_unpaired(pair.images, without, pair.masks, [mask.name for mask in unused], notes=notes)
    return mask_of
