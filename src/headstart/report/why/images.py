"""The images of an explorer: small pictures within a budget of bytes, and what is in each."""

from __future__ import annotations

import base64
import io
import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headstart.batches.image_sets import ImageSet
from headstart.errors import StoreError
from headstart.report.run_dir import JOB_NAME, RunDir

PICTURES = 8_000_000
"""Bytes of all pictures of a page; in the text of a page they take a third more."""
LARGEST, SMALLEST = 320, 72
"""Pixels of the longer side."""
SAMPLE = 50
"""Images that a size is tried on first."""
QUALITY = 80
POOREST = 30
BOXES = 60
"""True boxes of an image that are drawn, at most."""


def open_images(run: RunDir, job: str) -> ImageSet | None:
    """The prepared images of a job; None, and a note, where they are not in the store any more."""
    try:
        if JOB_NAME.fullmatch(job):
            return ImageSet.open(run.path / "store" / job)
    except StoreError:
        pass
    run.notes.append(f"The images of {job} are not in the store: the explorer of images is left out.")
    return None


def image_data(images: ImageSet, count: int, budget: float = PICTURES) -> dict[str, Any]:
    """Of the first `count` images, as the explorer reads it: `ids`, `pictures` (JPEG, base64), `size` [w, h] of the
    prepared image, `boxes` in thousandths (x1, y1, x2, y2, class, one after the other), `classes` of boxes."""
    height, width = images.images.shape[1:3]
    offsets = np.asarray(images.box_offsets[: count + 1])
    scale = np.array([width, height, width, height])
    boxes = np.round(1000 * np.asarray(images.boxes_xyxy[: offsets[-1]], np.float64) / scale).astype(int)
    labels = np.asarray(images.box_labels[: offsets[-1]])
    rows = np.column_stack([boxes, labels]).tolist()
    return {
        "ids": [str(name) for name in images.image_ids[:count]],
        "size": [width, height],
        "pictures": pictures(images.images[:count], budget),
        "boxes": [[v for row in rows[a : min(b, a + BOXES)] for v in row] for a, b in pairwise(offsets)],
        "classes": [str(name) for name in images.box_classes],
    }


def pictures(images: NDArray[np.uint8], budget: float) -> list[str]:
    """(n, h, w, 3) as JPEG files in base64, all together at most `budget` bytes: the more images, the smaller they are,
    and then the poorer. Images that are too many even so stay as small as `SMALLEST`."""
    n, height, width = images.shape[:3]
    side = min(float(LARGEST), max(height, width))
    quality = QUALITY
    sample = images[:: max(1, n // SAMPLE)]
    while n:
        scale = side / max(height, width)
        size = max(1, round(scale * width)), max(1, round(scale * height))
        taken = sum(len(_jpeg(np.asarray(image), size, quality)) for image in sample) * n / len(sample)
        files = [_jpeg(np.asarray(image), size, quality) for image in images] if taken <= budget else []
        if files and (total := sum(map(len, files))) <= budget:
            return [base64.b64encode(file).decode("ascii") for file in files]
        if side <= SMALLEST and quality <= POOREST:
            files = files or [_jpeg(np.asarray(image), size, quality) for image in images]
            return [base64.b64encode(file).decode("ascii") for file in files]
        if side > SMALLEST:
            over = (total if files else taken) / budget
            side = max(SMALLEST, side * min(0.97, math.sqrt(1 / over)))
        else:
            quality -= 25
    return []


def _jpeg(image: NDArray[np.uint8], size: tuple[int, int], quality: int) -> bytes:
    picture, out = Image.fromarray(image), io.BytesIO()
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    picture.save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def cells(energy: NDArray[np.floating], most: int = 16) -> dict[str, Any]:
    """Maps (n, h, w) as the explorer reads them: `grid` [h, w], `values` in base64, a byte a cell, of each map from its
    lowest (0) to its highest (255); averaged to at most `most` cells a side."""
    maps = np.asarray(energy, np.float32)
    for axis in (1, 2):
        if maps.shape[axis] > most:
            parts = np.array_split(maps, most, axis=axis)
            maps = np.stack([part.mean(axis=axis) for part in parts], axis=axis)
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    unit = (maps - low) / np.where(high > low, high - low, 1)
    values = np.round(255 * unit).astype(np.uint8).tobytes()
    return {"grid": list(maps.shape[1:]), "values": base64.b64encode(values).decode("ascii")}
