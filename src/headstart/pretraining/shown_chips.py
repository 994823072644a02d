"""What a picture of a recipe's chips shows, as plain results: numbers by scale, and some images with their chips.

The chips are those of the first epoch, and their pixels and targets are made by the code that makes batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.batches.chips.batches import ChipBatches
from headstart.batches.chips.cutting import rounded_origin
from headstart.batches.chips.scales import ChipTable, Scale
from headstart.errors import UsageError
from headstart.pretraining.images import Images, chip_batches
from headstart.progress import Progress
from headstart.recipes.pretraining import PretrainingRecipe, builtin_names, load_recipe

PICTURES = 12
"""Images that are shown, unless a few more are needed to show what is rare."""
CUTS = 6
"""Chips of an image that are shown by themselves, at most."""
EPOCH = 0
XYXY = tuple[float, float, float, float]


@dataclass(frozen=True)
class ScaleFacts:
    """One scale of the pyramid, over all images."""

    scale: Scale
    chips: int
    """Positive and negative ones."""
    negatives: int
    admitted: int
    """Boxes that belong to the scale, each counted once."""
    targets: int
    """The same, counted in every chip that holds them."""
    pixels: int
    """Of images, in the chips; their padding is not counted."""
    pyramid: int
    """Pixels that the images would have at this scale, whole."""


@dataclass(frozen=True, eq=False)
class Cut:
    """One chip as the network gets it: pixels (h, w, 3) uint8, boxes (k, 4) in its pixels."""

    pixels: NDArray[np.uint8]
    targets: NDArray[np.float32]
    ignored: NDArray[np.float32]
    """Out of the scale's range or cut by the edge, and boxes around several objects."""


@dataclass(frozen=True, eq=False)
class ShownChip:
    """A chip over its image; xyxy in pixels of the original image."""

    name: str
    """A number, counted through the image; N before it when the chip is negative."""
    scale: int
    factor: float
    negative: bool
    xyxy: XYXY
    num_targets: int
    cut: Cut | None
    """None: not shown by itself."""


@dataclass(frozen=True)
class ShownBox:
    """A box over its image, in pixels of the original image."""

    xyxy: XYXY
    name: str
    scales: tuple[int, ...]
    """Those that it belongs to."""
    several: bool = False
    """Around several objects: no target at any scale."""


@dataclass(frozen=True, eq=False)
class ShownImage:
    """An image (h, w, 3) with its boxes and all its chips."""

    name: str
    pixels: NDArray[np.uint8]
    factors: tuple[float, ...]
    """By what it is multiplied at each scale."""
    boxes: tuple[ShownBox, ...]
    chips: tuple[ShownChip, ...]


@dataclass(frozen=True, eq=False)
class ShownChips:
    """All of a page. side: of a chip, pixels. boxes: trained on, over all images; left_over: those that no scale takes.
    counts: (n,) chips of each image. wants_negatives: the recipe does, whether there were proposals or not."""

    data: str
    recipe: PretrainingRecipe
    seed: int
    side: int
    boxes: int
    left_over: int
    counts: NDArray[np.int64]
    scales: tuple[ScaleFacts, ...]
    wants_negatives: bool
    pictures: tuple[ShownImage, ...]


def require_chips(recipe: PretrainingRecipe) -> None:
    """Raises UsageError for recipes of whole images or of labels."""
    if recipe.sampling.layout == "chips":
        return
    names = [name for name in builtin_names("boxes") if load_recipe(name).sampling.layout == "chips"]
    trains = {
        "crops": "by labels, on random parts of images",
        "whole": "on whole images",
        "pyramid": "on whole images at every scale",
        "fixed": "on images brought to one size",
    }[recipe.sampling.layout]
    raise UsageError(
        f"recipe {recipe.name} trains {trains}: it has no chips to show. Recipes that have: {', '.join(names)}."
    )


def shown_chips(
    images: Images, recipe: PretrainingRecipe, seed: int, proposals: Path | None, *, progress: Progress
) -> ShownChips:
    """Lay the chips of the first epoch, count them, and draw those of a few images.

    proposals: a Parquet file of them, for negative chips; None: none are shown. Raises UsageError for a recipe without
    chips; DataError as `chip_batches` does, and for images that cannot be read.
    """
    require_chips(recipe)
    source = chip_batches(images, recipe, seed, None, proposals=proposals)
    table, boxes = source.epochs.of(EPOCH), source.epochs.boxes_of(EPOCH)
    held = np.zeros(len(boxes.xyxy), bool)
    held[table.box_rows] = True
    counts = np.bincount(table.images, minlength=len(images.train))
    chosen = _telling(table, counts, np.repeat(np.arange(len(counts)), np.diff(boxes.offsets))[~held])
    pictures = []
    for k, i in enumerate(chosen):
        progress(k / len(chosen), f"drawing chips of {images.train.image_name(i)}")
        pictures.append(_picture(source, table, i, images.classes))
    return ShownChips(
        images.train.root.name,
        recipe,
        seed,
        recipe.sampling.size,
        boxes=len(held),
        left_over=int((~held).sum()),
        counts=counts,
        scales=_by_scale(source, table),
        wants_negatives=recipe.negatives > 0,
        pictures=tuple(pictures),
    )


def _by_scale(source: ChipBatches, table: ChipTable) -> tuple[ScaleFacts, ...]:
    sizes = source.boxes.sizes_hw.astype(np.float64)
    scale_of_target = np.repeat(table.scales, np.diff(table.box_offsets))
    pixels = table.sizes_hw.astype(np.int64).prod(1)
    facts = []
    for s, scale in enumerate(source.layout.scales):
        of_scale, rows = table.scales == s, table.box_rows[scale_of_target == s]
        whole = np.floor(sizes * scale.factors(sizes)[:, None]).astype(np.int64).prod(1)
        facts.append(
            ScaleFacts(
                scale,
                int(of_scale.sum()),
                int((of_scale & table.negative).sum()),
                len(np.unique(rows)),
                targets=len(rows),
                pixels=int(pixels[of_scale].sum()),
                pyramid=int(whole.sum()),
            )
        )
    return tuple(facts)


def _telling(table: ChipTable, counts: NDArray[np.int64], of_left_over: NDArray[np.int64]) -> list[int]:
    """Images from that with the most chips to that with the fewest; among them one with a box that no scale takes
    (`of_left_over`: images of such boxes) and one with a negative chip, where there are any."""
    order = np.argsort(counts, kind="stable")[np.count_nonzero(counts == 0) :]
    number = min(PICTURES, len(order))
    ends = np.cumsum(counts[order])
    # The images of chips evenly apart, so that images of many chips are among them; each once, up to the last.
    place = np.searchsorted(ends, np.linspace(0, ends[-1] - 1, number), side="right") - np.arange(number)
    place = np.minimum(np.maximum.accumulate(place), len(order) - number) + np.arange(number)
    chosen = set(order[place].tolist())
    for rare in (of_left_over, table.images[table.negative]):
        if len(rare) and not chosen & set(rare.tolist()):
            chosen.add(int(rare[0]))
    return sorted(chosen, key=lambda i: (-counts[i], i))


def _picture(source: ChipBatches, table: ChipTable, i: int, classes: tuple[str, ...]) -> ShownImage:
    chip_rows = np.arange(*np.searchsorted(table.images, [i, i + 1]))
    looked_at = _looked_at(table, chip_rows)
    cuts = dict(zip(looked_at.tolist(), _cuts(source, table, looked_at), strict=True)) if len(looked_at) else {}
    chips, numbers = [], {False: 0, True: 0}
    for chip in chip_rows.tolist():
        negative, factor = bool(table.negative[chip]), float(table.factors[chip])
        numbers[negative] += 1
        x, y = rounded_origin(factor, table.origins_xy[chip]).tolist()
        height, width = table.sizes_hw[chip].tolist()
        xyxy = (x / factor, y / factor, (x + width) / factor, (y + height) / factor)
        name = f"{'N' if negative else ''}{numbers[negative]}"
        chips.append(
            ShownChip(
                name,
                int(table.scales[chip]),
                factor,
                negative,
                xyxy=xyxy,
                num_targets=len(table.rows_of(chip)),
                cut=cuts.get(chip),
            )
        )
    annotations = source.annotations
    size = annotations.size_hw(i)
    factors = tuple(float(s.factors(np.array([size]))[0]) for s in source.layout.scales)
    return ShownImage(
        annotations.image_name(i),
        source.decoded(i, EPOCH),
        factors,
        _boxes(source, table, chip_rows, i, classes=classes),
        chips=tuple(chips),
    )


def _boxes(
    source: ChipBatches, table: ChipTable, chip_rows: NDArray[np.int64], i: int, *, classes: tuple[str, ...]
) -> tuple[ShownBox, ...]:
    scales: dict[int, set[int]] = {}
    for chip in chip_rows.tolist():
        for row in table.rows_of(chip).tolist():
            scales.setdefault(row, set()).add(int(table.scales[chip]))
    boxes = source.epochs.boxes_of(EPOCH)
    shown = []
    for row in range(boxes.offsets[i], boxes.offsets[i + 1]):
        name, takers = classes[int(boxes.labels[row])], tuple(sorted(scales.get(row, ())))
        shown.append(ShownBox(tuple(boxes.xyxy[row].tolist()), name, takers))
    xyxy, bounds = source.groups
    several = xyxy[bounds[i] : bounds[i + 1]].tolist()
    return (*shown, *(ShownBox(tuple(box), "several objects", (), True) for box in several))


def _looked_at(table: ChipTable, chip_rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `CUTS` of an image's chips: the fullest of each scale, a negative one, then the fullest of the others."""
    counts = np.diff(table.box_offsets)[chip_rows]
    fullest = chip_rows[np.argsort(-counts, kind="stable")].tolist()
    first: dict[tuple[int, bool], int] = {}
    for chip in fullest:
        kind = (-1, True) if table.negative[chip] else (int(table.scales[chip]), False)
        first.setdefault(kind, chip)
    chosen = list(dict.fromkeys([*first.values(), *fullest]))[:CUTS]
    return np.sort(np.array(chosen, np.int64))


def _cuts(source: ChipBatches, table: ChipTable, chips: NDArray[np.int64]) -> list[Cut]:
    batch = source.alone(chips, EPOCH)
    cuts = []
    for k in range(len(chips)):
        ignored = [part[k].numpy() for part in (batch.ignored, batch.group_of) if part is not None]
        cuts.append(
            Cut(
                batch.images[k].permute(1, 2, 0).numpy(),
                batch.boxes_xyxy[k].numpy(),
                np.concatenate([np.zeros((0, 4), np.float32), *ignored]),
            )
        )
    return cuts
