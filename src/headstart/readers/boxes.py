"""What readers of boxes share: where the boxes of each image begin, and the note on those that leave their images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def offsets_of(images: NDArray[np.int64], num_images: int) -> NDArray[np.int64]:
    """(n + 1,) where the boxes of each image begin. images (m,): place of each box's image, ascending."""
    return np.concatenate([[0], np.cumsum(np.bincount(images, minlength=num_images))]).astype(np.int64)


def note_leaving(
    boxes: NDArray[np.int64], record: Callable[[int], tuple[str, str]], notes: list[str], advice: str = ""
) -> None:
    """Tells of the boxes (k,) that leave their images. `record(box)`: (path, what in the file)."""
    if len(boxes):
        path, what = record(int(boxes[0]))
        notes.append(
            f"{len(boxes)} boxes leave their images and are clipped where they are trained on{advice}; first: "
            f"{path}: {what}"
        )
