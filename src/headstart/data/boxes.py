"""What the four numbers of a box mean in each source, and their continuous edges in pixels.

Inside Headstart a box is `xyxy`: absolute pixels of the original image, continuous edges, width = x2 - x1.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Convention = Literal["edges", "voc", "inclusive", "coco", "relative", "yolo", ""]
CONVENTIONS: dict[str, str] = {
    "edges": "x1, y1, x2, y2 in pixels, continuous edges",
    "voc": "xmin, ymin, xmax, ymax in pixels that count from 1, both ends inclusive",
    "inclusive": "xmin, ymin, xmax, ymax in pixels that count from 0, both ends inclusive",
    "coco": "x, y, width, height in pixels, continuous edges",
    "relative": "x1, y1, x2, y2 as fractions of the image's width and height",
    "yolo": "center x, center y, width, height as fractions of the image's width and height",
    "": "no boxes",
}
RELATIVE = ("relative", "yolo")
"""Conventions that need the image's size to give pixels."""


def to_edges(values: NDArray[np.float64], convention: str, sizes_hw: NDArray[Any]) -> NDArray[np.float64]:
    """Boxes (k, 4) of a source as xyxy (k, 4). sizes_hw: (2,) or (k, 2), read for relative conventions only.

    A VOC pixel k spans k - 1 to k in continuous edges, so xmin and ymin lose one and xmax and ymax stay (VOC 2012
    development kit, Sec. 4.3). Relative boxes of images whose size is not known (0, 0) come out as 0.
    """
    out = np.array(values, np.float64)
    if convention == "voc":
        out[:, :2] -= 1
    elif convention == "inclusive":
        out[:, 2:] += 1
    elif convention == "coco":
        out[:, 2:] += out[:, :2]
    elif convention in RELATIVE:
        if convention == "yolo":
            out[:, :2] -= out[:, 2:] / 2
            out[:, 2:] += out[:, :2]
        out *= np.tile(np.asarray(sizes_hw, np.float64)[..., ::-1], 2)
    return out


def impossible(
    values: NDArray[np.float64], convention: Convention, sizes_hw: NDArray[np.integer], one_pixel: bool = False
) -> list[tuple[int, str, str]]:
    """(which box, rule, what is wrong) of the boxes (k, 4) that cannot be.

    Those are: numbers that are not finite, no extent, and lying outside the image altogether (where its size is known:
    sizes_hw (k, 2) with 0, 0 for not known). A box that merely leaves the image is kept as the source says;
    it is clipped where it becomes a training target. one_pixel: a box whose inclusive ends are equal has an extent, of
    that pixel.
    """
    sizes = np.broadcast_to(np.asarray(sizes_hw, np.int64), (len(values), 2))
    # A relative box of an image of unknown size is judged on the unit square.
    unit = np.asarray((convention in RELATIVE) & ~sizes.any(1))
    bounds = np.where(unit[:, None], 1, sizes)
    with np.errstate(invalid="ignore", over="ignore"):
        xyxy = to_edges(values, convention, bounds)
        finite = np.asarray(np.isfinite(xyxy).all(1))
        width, height = xyxy[:, 2] - xyxy[:, 0], xyxy[:, 3] - xyxy[:, 1]
        # Equal ends: read inclusively a pixel, in practice a slip of the mouse.
        if convention in ("voc", "inclusive") and not one_pixel:
            width, height = values[:, 2] - values[:, 0], values[:, 3] - values[:, 1]
        elif convention in ("coco", "yolo"):  # Their own numbers: adding and subtracting edges would round.
            width, height = values[:, 2], values[:, 3]
        flat = np.asarray(finite & ((width <= 0) | (height <= 0)))
        outside = finite & ~flat & bounds.all(1)
        outside &= (xyxy[:, 2] <= 0) | (xyxy[:, 3] <= 0) | (xyxy[:, 0] >= bounds[:, 1]) | (xyxy[:, 1] >= bounds[:, 0])
    faults = []
    for k in np.flatnonzero(~finite | flat | outside).tolist():
        numbers = ", ".join(f"{v:.10g}" for v in values[k])
        if not finite[k]:
            faults.append((k, "box-not-finite", f"has ({numbers}), which are no pixel positions"))
        elif flat[k]:
            faults.append((k, "box-without-extent", f"has {_ends(values[k], convention)}"))
        else:
            within = "its image" if unit[k] else f"the image of {bounds[k, 1]} x {bounds[k, 0]}"
            faults.append((k, "box-outside", f"lies outside {within} with ({numbers})"))
    return faults


def leaving(xyxy: NDArray[np.float64], sizes_hw: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(k,) whether boxes (k, 4) reach beyond their images of known size (k, 2), by more than a rounding's 1e-6."""
    sizes = np.asarray(sizes_hw, np.float64)
    beyond = (xyxy[:, :2] < -1e-6).any(1) | (xyxy[:, 2:] > sizes[:, ::-1] + 1e-6).any(1)
    return np.asarray(beyond & sizes.all(1))


def _ends(box: NDArray[np.float64], convention: str) -> str:
    if convention in ("coco", "yolo"):
        return f"width {box[2]:g} and height {box[3]:g}"
    axis, low, high = ("x", box[0], box[2]) if box[2] <= box[0] else ("y", box[1], box[3])
    return f"{axis}max {high:g} <= {axis}min {low:g}"
