"""What readers of masks share: images and their masks to a table, their sizes, and names of the values in masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.flags import IGNORED
from headstart.errors import DataError
from headstart.places.images import header_sizes_hw, read_mask
from headstart.places.paths import DataPath
from headstart.readers.fields import whole
from headstart.readers.folders import read_lines, relative
from headstart.readers.yaml_files import read_mapping

MASK_SUFFIXES = frozenset({".png", ".bmp", ".gif", ".tif", ".tiff", ".pgm"})
"""Lossless ones: JPEG changes class numbers."""
VOID_NAMES = frozenset({"void", "ignore", "ignored", "unlabeled", "unlabelled"})
CLASSES_FILE = "classes.txt"
CLASSES_YAML = "semantic_classes.yaml"


def size_of_pair(image: DataPath, mask: DataPath | None) -> tuple[int, int]:
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


def annotate_pairs(
    root: DataPath,
    format: str,
    pairs: Mapping[DataPath, DataPath | None],
    splits: Sequence[str],
    *,
    named: Mapping[int, str],
    void: Sequence[int],
    notes: Sequence[str],
    **more: Any,
) -> Annotations:
    """The table of images with their masks; ids are the images' paths without ending. named: value -> class, in order.

    more: other arguments of `annotate`.
    """
    lut = np.full(256, IGNORED, np.uint8)
    for k, value in enumerate(named):
        lut[value] = k
    return annotate(
        root,
        format,
        [relative(image, root).removesuffix(image.suffix) for image in pairs],
        [image.relative for image in pairs],
        sizes_hw=[size_of_pair(image, mask) for image, mask in pairs.items()],
        splits=splits,
        mask_paths=[mask.relative if mask else "" for mask in pairs.values()],
        mask_lut=lut,
        mask_void=void,
        mask_classes=tuple(named.values()),
        notes=notes,
        **more,
    )


def note_unpaired(
    images: DataPath, without: Sequence[str], masks: DataPath, unused: Sequence[str], *, notes: list[str]
) -> None:
    """Tells of images without mask in one folder, and of masks without image in the other, by their names."""
    if without:
        notes.append(
            f"{images}: {len(without)} images have no mask and take no part in segmentation; first: {without[0]}"
        )
    if unused:
        notes.append(f"{masks}: {len(unused)} masks have no image; first: {unused[0]}")


def mask_classes(
    root: DataPath, masks: Sequence[DataPath], notes: list[str], usual: Sequence[str] = ()
) -> tuple[dict[int, str], tuple[int, ...]]:
    """Value -> class name in the order of the values, and the void values.

    From `classes.txt`, else `semantic_classes.yaml`, else `usual` (names of the values 0, 1, ..), else from the values
    that occur, for which all masks are decoded. Raises DataError for fewer than two classes, and equal names.
    """
    source = root / CLASSES_FILE
    if source.is_file():
        named = named_values(source)
    elif (root / CLASSES_YAML).is_file():
        source = root / CLASSES_YAML
        named = _values_of_yaml(source)
    elif usual:
        named = dict(enumerate(usual))
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
        raise DataError(f"{source}: a class name stands twice. Give every value a name of its own.")
    return classes, void


def named_values(path: DataPath) -> dict[int, str]:
    """Value -> name, void ones too, from a `classes.txt` (see the module). Raises DataError for one with faults."""
    lines = read_lines(path)
    parts = [line.split(maxsplit=1) for line in lines]
    if all(len(p) == 2 and p[0].isdecimal() and len(p[0]) < 10 for p in parts):
        named = {int(p[0]): p[1] for p in parts}
        if len(named) < len(lines) or max(named, default=0) > 255:
            raise DataError(
                f"{path}: values must differ and be at most 255. Give one line `VALUE NAME` for each value."
            )
        return named
    if len(lines) > 256:
        raise DataError(f"{path}: {len(lines)} names for at most 256 values. Give one line for each value, from 0.")
    return dict(enumerate(lines))


def _values_of_yaml(path: DataPath) -> dict[int, str]:
    classes = read_mapping(path).get("classes")
    named = {whole(key): name for key, name in classes.items()} if isinstance(classes, dict) else {}
    if not named or not all(k is not None and 0 <= k <= 255 and isinstance(v, str) and v for k, v in named.items()):
        raise DataError(
            f"{path}: `classes` does not give names to values of masks. Write lines `VALUE: NAME` below it."
        )
    return {k: name for k, name in named.items() if k is not None}


def _values_seen(masks: Sequence[DataPath]) -> NDArray[np.bool_]:
    seen = np.zeros(256, bool)
    for path in masks:
        seen[np.unique(read_mask(path))] = True
    return seen
