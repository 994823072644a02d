"""The embedded world: endless drawn images with exact boxes, masks, part masks and one label each.

An object is a body (a lobed superellipse of any rotation) that carries a part: a disc with a 5 x 5 glyph in two colors.
Glyph and colors of the part always are those of the class; the part alone tells it. Color, texture and outline of the
body follow the class with probability one half each, and are random otherwise. So a classifier can live off the part,
while a detector has to find the whole body.

Image `index` of a world is a function of (world, index, size) alone: a set is a slice of the world, and is the same on
every machine. Random numbers are the raw output of numpy's PCG64, whose stream is fixed; what reaches pixels is
computed by + - * / and square roots (`shapes_drawing.py`).

`python -m headstart.world.shapes OUT` writes a slice as a COCO folder.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import HeadstartError, UsageError
from headstart.progress import Progress
from headstart.store.arrays import mapped_array, save_arrays
from headstart.store.files import replacing, write_text
from headstart.terminal import say, tell
from headstart.world.worlds import WORLDS, World

Floats = NDArray[np.float64]

# Squareness, number of lobes, depth of lobes: ellipse, box, peanut, trefoil, quatrefoil, six lobes.
_OUTLINES = ((0.0, 0, 0.0), (1.0, 0, 0.0), (0.3, 2, 0.2), (0.0, 3, 0.2), (0.2, 4, 0.17), (0.0, 6, 0.14))
_STEPS = 720
# Six decimals, so that no machine's sine shows.
_COSINES = tuple(round(math.cos(2 * math.pi * k / _STEPS), 6) for k in range(_STEPS))
_SINES = tuple(round(math.sin(2 * math.pi * k / _STEPS), 6) for k in range(_STEPS))
_SIDES = tuple(round(0.15 * 4.0 ** ((k + 0.5) / 1024), 6) for k in range(1024))
"""Log-uniform sides of first objects, 0.15 to 0.6 of the image's side."""
_INSTANCES = (0.40, 0.65, 0.82, 0.93, 1.0)
"""Cumulative probability of 1..5 instances of the main class."""
_SMALLEST_SIDE = 0.13
_PART_RADIUS = 0.42
_PART_OFFSET = 0.2
_TRIES = 16
_MAX_OBJECTS = len(_INSTANCES) + 2


@dataclass(frozen=True)
class Drawing:
    """One image of a world. All arrays are (h, w) with h = w = size; boxes are in pixels, continuous edges."""

    image: NDArray[np.uint8]
    """(h, w, 3) RGB."""
    boxes_xyxy: NDArray[np.float32]
    """(m, 4): extent of the visible pixels of each object; the first object is of the main class."""
    labels: NDArray[np.int32]
    """(m,): index into the world's classes."""
    instances: NDArray[np.uint8]
    """(h, w): 0 background, k + 1 where object k is visible (its part included)."""
    parts: NDArray[np.uint8]
    """(h, w): 0, or k + 1 where the part of object k is visible."""
    image_label: int
    """The main class."""


@dataclass(frozen=True)
class _Thing:
    label: int
    shape: Floats
    look: Floats


def draw(world: str, index: int, size: int) -> Drawing:
    """Draw image `index` (0..) of a world at size x size pixels.

    Raises UsageError for an unknown world, a negative index or a size below 32.
    """
    from headstart.world import drawing as kernels

    it = _world(world, index, size)
    bits = np.random.PCG64(np.random.SeedSequence([it.seed, index]))
    dice = _dice(bits)
    things, order, instances, parts = _compose(it, size, dice)
    canvas = kernels.background(
        size,
        _units(bits, kernels.LATTICE_VALUES),
        _color(next(dice), _between(dice, *it.saturation), _between(dice, 0.35, 0.75)),
        np.array(it.octaves) * _between(dice, 0.6, 1.3),
        it.chroma,
    )
    for _ in range(8 + _below(dice, 3)):
        ends = np.array([_between(dice, -0.05, 1.05) * size for _ in range(4)])
        color = _color(next(dice), _between(dice, 0.1, 0.6), _between(dice, 0.2, 0.9))
        kernels.stroke(canvas, ends, _between(dice, *it.stroke_width) * size, color)
    glyphs = _glyphs(world)
    for k in order:
        kernels.paint(canvas, things[k].shape, things[k].look, glyphs[things[k].label])
    image = kernels.develop(canvas, _units(bits, size * size), 7.0)
    labels = np.array([thing.label for thing in things], np.int32)
    boxes_xyxy = kernels.extents(instances, len(things))
    return Drawing(image, boxes_xyxy, labels, instances, parts=parts, image_label=things[0].label)


def _compose(
    world: World, size: int, dice: Iterator[float]
) -> tuple[list[_Thing], list[int], NDArray[np.uint8], NDArray[np.uint8]]:
    """Choose and place the objects: things, their order from back to front, who is visible where, and whose part."""
    from headstart.world import drawing as kernels

    instances = np.zeros((size, size), np.uint8)
    parts = np.zeros((size, size), np.uint8)
    areas = np.zeros((_MAX_OBJECTS + 1, 4), np.int64)
    things: list[_Thing] = []
    order: list[int] = []
    first = smallest = side = _SIDES[_below(dice, len(_SIDES))]
    for label, is_main in _cast(world, dice):
        if things:
            side = first * _between(dice, 0.75, 1.0) if is_main else smallest * _between(dice, 0.6, 0.85)
        for attempt in range(_TRIES):
            # Crowded images get smaller objects rather than fewer of them.
            side = max(side * (0.93 if attempt else 1.0), _SMALLEST_SIDE)
            shape = _shape(world.outlines[label], side * size, size, dice)
            over = _below(dice, 2) == 1
            if kernels.place(shape, len(things) + 1, over, instances, parts, areas):
                order.insert(len(order) if over else 0, len(things))
                things.append(_Thing(label, shape, _look(world, label, shape, dice)))
                smallest = min(smallest, side) if is_main else smallest
                break
    return things, order, instances, parts


def _cast(world: World, dice: Iterator[float]) -> list[tuple[int, bool]]:
    """Labels of the objects of one image, and whether each is of the main class; main ones first."""
    main = _below(dice, len(world.classes))
    roll = next(dice)
    count = 1 + sum(roll >= bound for bound in _INSTANCES)
    others = [label for label in range(len(world.classes)) if label != main]
    extra = [others.pop(_below(dice, len(others))) for _ in range(_below(dice, 3))]
    return [(main, True)] * count + [(label, False) for label in extra]


def _shape(outline: int, side: float, size: int, dice: Iterator[float]) -> Floats:
    """Geometry of one body somewhere in the image; `side` in pixels is the geometric mean of its axes."""
    if next(dice) < 0.5:
        outline = _below(dice, len(_OUTLINES))
    square, lobes, depth = _OUTLINES[outline]
    stretch = math.sqrt(_between(dice, 1.0, 1.6))
    half_x, half_y = side / 2 * stretch, side / 2 / stretch
    turn, phase, tilt = _below(dice, _STEPS), _below(dice, _STEPS), _below(dice, 61) - 30
    cos, sin = _COSINES[turn], _SINES[turn]
    # Up to a fifth of the half extent may leave the image.
    margin_x = min(0.8 * (half_x * abs(cos) + half_y * abs(sin)), size / 2)
    margin_y = min(0.8 * (half_x * abs(sin) + half_y * abs(cos)), size / 2)
    x, y = _between(dice, margin_x, size - margin_x), _between(dice, margin_y, size - margin_y)
    away, offset = _below(dice, _STEPS), next(dice) * _PART_OFFSET * half_y
    part_x, part_y = x + _COSINES[away] * offset, y + _SINES[away] * offset
    return np.array(
        [
            x,
            y,
            half_x,
            half_y,
            cos,
            sin,
            square,
            lobes,
            depth,
            _COSINES[phase],
            _SINES[phase],
            part_x,
            part_y,
            _PART_RADIUS * half_y,
            _COSINES[tilt],
            _SINES[tilt],
        ]
    )


def _look(world: World, label: int, shape: Floats, dice: Iterator[float]) -> Floats:
    """Colors and texture of one object, as `shapes_drawing` wants them."""
    follows = next(dice) < 0.5
    hue, jitter = next(dice), _between(dice, -0.02, 0.02)
    if follows:
        hue = world.hues[label] + jitter
    texture = world.textures[label] if next(dice) < 0.5 else _below(dice, 6)
    first = _color(hue, _between(dice, 0.45, 0.95), _between(dice, 0.5, 0.95))
    second = first * _between(dice, 0.45, 0.7)
    half_y = float(shape[3])
    period = max(half_y * _between(dice, 0.3, 0.5), 1.5)
    shading = [_between(dice, -0.15, 0.15), _between(dice, -0.15, 0.15)]
    rim = [_between(dice, 0.4, 1.0), min(1.3 / half_y, 0.2)]
    # The disc has the hue opposite to the class's own, so that it stands out from bodies that follow the class.
    class_hue = world.hues[label]
    disc = _color(class_hue + 0.5 + _between(dice, -0.01, 0.01), _between(dice, 0.6, 0.7), _between(dice, 0.9, 1.0))
    glyph = _color(class_hue, _between(dice, 0.7, 1.0), _between(dice, 0.15, 0.35))
    if world.gray_parts:
        disc, glyph = np.full(3, disc.mean()), np.full(3, glyph.mean())
    return np.concatenate([first, second, [texture, period], shading, rim, disc, glyph])


def _color(hue: float, saturation: float, value: float) -> Floats:
    """RGB in 0..255 of a hue (turns), saturation and value."""
    turn = (hue - math.floor(hue)) * 6
    ramps = (abs(turn - 3) - 1, 2 - abs(turn - 2), 2 - abs(turn - 4))
    return np.array([255 * value * (1 - saturation + saturation * min(max(ramp, 0.0), 1.0)) for ramp in ramps])


@cache
def _glyphs(world: str) -> NDArray[np.uint8]:
    """(classes, 5, 5): 1 where the glyph has its color."""
    table = [[[cell == "#" for cell in row] for row in rows.split()] for rows in WORLDS[world].glyphs.values()]
    return np.array(table, np.uint8)


def _units(bits: np.random.PCG64, count: int) -> Floats:
    """`count` numbers in [0, 1), from the raw stream."""
    return (np.asarray(bits.random_raw(count)) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _dice(bits: np.random.PCG64) -> Iterator[float]:
    while True:
        yield from _units(bits, 256).tolist()


def _between(dice: Iterator[float], low: float, high: float) -> float:
    return low + (high - low) * next(dice)


def _below(dice: Iterator[float], count: int) -> int:
    return int(next(dice) * count)


def _world(world: str, index: int, size: int) -> World:
    if world not in WORLDS:
        raise UsageError(f"no world is named {world!r}. Choose one of: {', '.join(WORLDS)}.")
    if index < 0:
        raise UsageError(f"world {world!r} has no image {index}. Indices start at 0.")
    if size < 32:
        raise UsageError(f"images of {size} pixels a side are too small to draw. Ask for 32 or more.")
    return WORLDS[world]


def image_id(world: str, index: int) -> str:
    """The name of an image, such as `base-000123`."""
    return f"{world}-{index:06d}"


def draw_set(world: str, count: int, first: int, size: int, *, out: Path, progress: Progress) -> None:
    """Draw images first .. first + count - 1 into a folder, as a prepared set (`headstart.batches.image_sets`).

    The folder is made where it does not exist. `progress` is told the fraction done and what is being done.
    Raises UsageError as `draw` does, and for a count below 1.
    """
    _some(count)
    classes = _world(world, first, size).classes
    out.mkdir(parents=True, exist_ok=True)
    shapes = {"images": (count, size, size, 3)} | dict.fromkeys(("masks", "instances", "parts"), (count, size, size))
    files = {name: mapped_array(out / f"{name}.npy", shape, np.uint8) for name, shape in shapes.items()}
    boxes, labels, image_labels = [], [], np.empty(count, np.int32)
    for i in range(count):
        if i % 64 == 0:
            progress(i / count, f"drawing {world}")
        drawing = draw(world, first + i, size)
        semantic = np.concatenate([[0], drawing.labels + 1]).astype(np.uint8)
        files["images"][i] = drawing.image
        files["masks"][i] = semantic[drawing.instances]
        files["instances"][i] = drawing.instances
        files["parts"][i] = drawing.parts
        boxes.append(drawing.boxes_xyxy)
        labels.append(drawing.labels)
        image_labels[i] = drawing.image_label
    for file in files.values():
        file.flush()
    boxes_xyxy = np.concatenate(boxes)
    lut = np.full(256, 255, np.uint8)
    lut[: len(classes) + 1] = np.arange(len(classes) + 1)
    records: dict[str, Any] = {
        "image_ids": np.array([image_id(world, first + i) for i in range(count)]),
        "boxes_xyxy": boxes_xyxy,
        "boxes_source_xyxy": boxes_xyxy.astype(np.float64),
        "box_offsets": np.cumsum([0, *map(len, boxes)], dtype=np.int64),
        "box_labels": np.concatenate(labels),
        "box_flags": np.zeros(len(boxes_xyxy), np.uint8),
        "image_labels": image_labels,
        "sizes_hw": np.full((count, 2), size, np.int32),
        "clusters": np.arange(count, dtype=np.int64),
        "box_classes": np.array(classes),
        "image_classes": np.array(classes),
        "mask_classes": np.array(("background", *classes)),
        "mask_paths": np.array([""] * count),
        "mask_lut": lut,
    }
    save_arrays(out / "records.npz", records)
    progress(1.0, f"drew {count} images of {world}")


def write_coco(world: str, count: int, first: int, size: int, *, out: Path, progress: Progress) -> None:
    """Draw a slice of a world as a COCO folder: images/*.png and annotations/instances.json.

    Segmentations are uncompressed run lengths of the visible pixels. Each record in `images` has a `label` too: the
    name of the main class. Raises UsageError as `draw_set` does, and where the folder already holds annotations.
    """
    from PIL import Image

    _some(count)
    classes = _world(world, first, size).classes
    target = out / "annotations" / "instances.json"
    if target.exists():
        raise UsageError(f"{target} exists already. Name another folder, or remove it first.")
    (out / "images").mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i in range(count):
        progress(i / count, f"drawing {world}")
        drawing = draw(world, first + i, size)
        name = f"{image_id(world, first + i)}.png"
        with replacing(out / "images" / name, durable=False) as part:
            Image.fromarray(drawing.image).save(part, "PNG")
        images.append(
            {
                "id": first + i + 1,
                "file_name": name,
                "width": size,
                "height": size,
                "label": classes[drawing.image_label],
            }
        )
        for k, (label, box) in enumerate(zip(drawing.labels.tolist(), drawing.boxes_xyxy.tolist(), strict=True)):
            mask = drawing.instances == k + 1
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": first + i + 1,
                    "category_id": label + 1,
                    "iscrowd": 0,
                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "area": int(mask.sum()),
                    "segmentation": {"size": [size, size], "counts": _run_lengths(mask)},
                }
            )
    categories = [{"id": k + 1, "name": name, "supercategory": world} for k, name in enumerate(classes)]
    record = {"images": images, "annotations": annotations, "categories": categories}
    write_text(target, json.dumps(record))
    progress(1.0, f"drew {count} images of {world}")


def _run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """COCO's run lengths: down the columns, beginning with the zeros (possibly none)."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(n) for n in np.diff(np.concatenate([[0], changes, [mask.size]]))]


def _some(count: int) -> None:
    if count < 1:
        raise UsageError(f"cannot draw {count} images. Ask for one or more.")


def main(arguments: list[str] | None = None) -> int:
    """The command `python -m headstart.world.shapes`; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m headstart.world.shapes", description="Draw a COCO data set.")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--world", choices=sorted(WORLDS), default="base")
    parser.add_argument("--count", type=int, default=100, help="number of images")
    parser.add_argument("--first", type=int, default=0, help="index of the first image")
    parser.add_argument("--size", type=int, default=96, help="height and width, pixels")
    asked = parser.parse_args(arguments)
    try:
        write_coco(
            asked.world, asked.count, asked.first, asked.size, out=asked.out, progress=lambda fraction, what: None
        )
    except HeadstartError as error:
        tell(f"error: {error}")
        return error.exit_code
    say(f"{asked.count} images in {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
