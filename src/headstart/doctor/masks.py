"""What masks tell when they are decoded: sizes, values that no class has, palettes, smoothed edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotations import Annotations
from headstart.data.faults import Fault
from headstart.data.flags import IGNORED
from headstart.errors import DataError
from headstart.places.images import mask_palette, read_mask, read_segment_ids
from headstart.places.paths import DataPath

BLENDED = 8
"""Values that are drawn at edges alone, from which on a mask was smoothed."""
MOST_BLENDED = 0.4
"""Share of the pixels that have such values; more is no edge but noise."""


@dataclass
class MasksSeen:
    """Values of index masks, and the colors that palettes give them: value -> color -> the first mask with it."""

    values: set[int] = field(default_factory=set)
    colors: dict[int, dict[tuple[int, int, int], str]] = field(default_factory=dict)

    def add(self, other: MasksSeen) -> None:
        self.values |= other.values
        for value, colors in other.colors.items():
            known = self.colors.setdefault(value, {})
            for color, path in colors.items():
                known.setdefault(color, path)

    def palettes_that_differ(self) -> Iterator[Fault]:
        """One for each further color of a value that masks show."""
        for value, colors in sorted(self.colors.items()):
            (first, path), *others = colors.items()
            for color, other in others:
                why = f"has the color {color} in its palette, and {first} in that of {path}"
                fix = "Save all masks with one palette: the same number may stand for two classes."
                yield Fault("mask-palette-differs", other, f"value {value}", why, fix)


def edge_values(mask: NDArray[np.uint8]) -> list[int]:
    """Values that fill no square of four pixels, where they are many and cover little; [] for a mask drawn without
    smoothing. mask (h, w)."""
    counts = np.bincount(mask.reshape(-1), minlength=256)
    a, b, c, d = mask[:-1, :-1], mask[1:, :-1], mask[:-1, 1:], mask[1:, 1:]
    filled = np.bincount(a[(a == b) & (a == c) & (a == d)], minlength=256)
    thin = np.flatnonzero((counts > 0) & (filled == 0))
    smoothed = len(thin) >= BLENDED and counts[thin].sum() <= MOST_BLENDED * mask.size
    return thin.tolist() if smoothed else []


def unreadable(rule: str, path: DataPath, error: DataError) -> Fault:
    """What decoding the file says of it, and its advice."""
    why, _, fix = str(error).removeprefix(f"{path}: ").partition(". ")
    return Fault(rule, str(path), "", why, fix)


def look_at_mask(
    table: Annotations, i: int, path: DataPath, sizes: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[list[Fault], MasksSeen]:
    try:
        mask = read_mask(path, table.mask_colors)
        palette = {} if len(table.mask_colors) else mask_palette(path)
    except DataError as error:
        return [unreadable("mask-unreadable", path, error)], MasksSeen()
    faults = _size_faults(path, (mask.shape[0], mask.shape[1]), sizes)
    values = np.unique(mask)
    for value in np.setdiff1d(values[table.mask_lut[values] == IGNORED], table.mask_void).tolist():
        faults.append(
            Fault(
                "mask-value-unknown",
                str(path),
                f"value {value}",
                "is neither a class nor void",
                "Name it in the list of classes, or correct the mask.",
            )
        )
    if blended := edge_values(mask):
        why = f"{len(blended)} of its {len(values)} values are drawn at edges alone, such as {blended[0]}"
        faults.append(Fault("mask-anti-aliased", str(path), "", why, "Draw or resize it without smoothing."))
    drawn = {value: palette[value] for value in values.tolist() if value in palette}
    return faults, MasksSeen(set(values.tolist()), {value: {color: str(path)} for value, color in drawn.items()})


def look_at_segments(
    table: Annotations, i: int, path: DataPath, sizes: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[list[Fault], MasksSeen]:
    """Panoptic: which segments are drawn, and which of the image's are not."""
    try:
        drawn = read_segment_ids(path)
    except DataError as error:
        return [unreadable("mask-unreadable", path, error)], MasksSeen()
    faults = _size_faults(path, (drawn.shape[0], drawn.shape[1]), sizes)
    ids = table.box_ids
    assert ids is not None, "panoptic segments have ids"
    annotated = ids[table.box_offsets[i] : table.box_offsets[i + 1]]
    for value in np.setdiff1d(np.unique(drawn), [0, *annotated]).tolist():
        faults.append(
            Fault(
                "mask-value-unknown",
                str(path),
                f"segment {value}",
                "is not annotated in its image",
                "Fetch the PNG files and the JSON file of one version.",
            )
        )
    for value in np.setdiff1d(annotated, drawn).tolist():
        faults.append(
            Fault(
                "segment-not-drawn",
                str(path),
                f"segment {value}",
                "is annotated and not drawn",
                "Fetch the PNG files and the JSON file of one version.",
            )
        )
    return faults, MasksSeen()


def _size_faults(path: DataPath, drawn: tuple[int, int], sizes: tuple[tuple[int, int], tuple[int, int]]) -> list[Fault]:
    if drawn in sizes:
        return []
    why = f"the mask is {drawn[1]} x {drawn[0]}, its image {sizes[0][1]} x {sizes[0][0]}"
    return [Fault("mask-size-differs", str(path), "", why, "Export the mask at the size of its image.")]


def unused_values(table: Annotations, seen: MasksSeen) -> Iterator[Fault]:
    if not seen.values:
        return
    for k, name in enumerate(table.mask_classes):
        values = set(np.flatnonzero(table.mask_lut == k).tolist())
        if not values & seen.values:
            yield Fault(
                "mask-value-unused",
                str(table.root),
                f"class {k} ({name!r})",
                f"has value {min(values, default=k)}, which no mask holds",
                "Remove the class, or add masks of it.",
            )
