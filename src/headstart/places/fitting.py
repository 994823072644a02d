"""How an image becomes one of another size: `stretch`, `crop`, or `letterbox`.

Letterbox: as large as it fits, its aspect kept, in the upper left corner; the rest is filled. Letters: an image of
h x w pixels, a picture of H x W that it is brought to.
"""

from __future__ import annotations

from typing import Literal

Resize = Literal["stretch", "crop", "letterbox"]
FILLING = (124, 116, 104)
"""RGB of what a letterbox fills: the mean of ImageNet, about 0 once a network's mean is taken off."""


def fitted_hw(image_hw: tuple[int, int], picture_hw: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the picture that show the image in a letterbox."""
    factor = min(picture_hw[0] / image_hw[0], picture_hw[1] / image_hw[1])
    return max(1, round(image_hw[0] * factor)), max(1, round(image_hw[1] * factor))


def canvas_hw(image_hw: tuple[int, int], picture_hw: tuple[int, int], resize: str) -> tuple[int, int]:
    """The size at which the picture shows the image at its own: the image's, or larger by what a letterbox fills."""
    if resize != "letterbox":
        return image_hw
    shown = fitted_hw(image_hw, picture_hw)
    return round(image_hw[0] * picture_hw[0] / shown[0]), round(image_hw[1] * picture_hw[1] / shown[1])
