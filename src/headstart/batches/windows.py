"""Random windows of prepared images and their masks, enlarged or made smaller at random: what DeepLab is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headstart.batches.chips.cutting import PADDING
from headstart.data.flags import IGNORED

PLAIN = (1.0, 1.0)


@dataclass(frozen=True)
class Windows:
    """side: of the square windows, pixels; 0: as the images are. scales: least and greatest factor that an image is
    brought to before."""

    side: int = 0
    scales: tuple[float, float] = PLAIN

    def __bool__(self) -> bool:
        """Whether images are seen otherwise than they are."""
        return self.side > 0 or self.scales != PLAIN

    def drawn(self, size_hw: tuple[int, int], draws: NDArray[np.float64]) -> Window:
        """The window of one image; draws: three numbers in [0, 1), for the factor, from top and from left."""
        low, high = self.scales
        factor = low + (high - low) * draws[0]
        scaled = [max(1, round(side * factor)) for side in size_hw]
        out = [self.side or side for side in size_hw]
        begin = [
            int(draw * (max(0, whole - part) + 1)) for draw, whole, part in zip(draws[1:], scaled, out, strict=True)
        ]
        return Window((scaled[0], scaled[1]), (begin[0], begin[1]), (out[0], out[1]))


WHOLE = Windows()


@dataclass(frozen=True)
class Window:
    """Rows and columns `out_hw` of an image at the size `scaled_hw`, from `begin_yx` on. Where the image ends before,
    the rest is padding, at the right and below."""

    scaled_hw: tuple[int, int]
    begin_yx: tuple[int, int]
    out_hw: tuple[int, int]

    @property
    def seen_hw(self) -> tuple[int, int]:
        """How much of it is image."""
        rows, columns = (min(out, whole) for out, whole in zip(self.out_hw, self.scaled_hw, strict=True))
        return rows, columns

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Of an image (h, w, 3): bilinear, antialiased when it becomes smaller; padded with ImageNet's mean color."""
        out = np.empty((*self.out_hw, 3), np.uint8)
        out[:] = PADDING
        rows, columns = self.seen_hw
        out[:rows, :columns] = self._part(image, Image.Resampling.BILINEAR)
        return out

    def mask(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Of a mask (h, w): nearest; padding is ignored."""
        out = np.full(self.out_hw, IGNORED, np.uint8)
        rows, columns = self.seen_hw
        out[:rows, :columns] = self._part(mask, Image.Resampling.NEAREST)
        return out

    def boxes(self, boxes_xyxy: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.float32]:
        """Boxes (m, 4) of an image of this size, cut off where the window ends; some may be empty then."""
        (height, width), (top, left), (rows, columns) = self.scaled_hw, self.begin_yx, self.seen_hw
        factors = np.array([width / size_hw[1], height / size_hw[0]] * 2)
        moved = boxes_xyxy * factors - [left, top, left, top]
        return np.clip(moved, 0, [columns, rows, columns, rows]).astype(np.float32)

    def _part(self, array: NDArray[np.uint8], how: Image.Resampling) -> NDArray[np.uint8]:
        """What is seen of an array (h, w, ..), resized; nothing else of it is computed."""
        (top, left), (rows, columns) = self.begin_yx, self.seen_hw
        if self.scaled_hw == array.shape[:2]:
            return array[top : top + rows, left : left + columns]
        y, x = (whole / scaled for whole, scaled in zip(array.shape, self.scaled_hw, strict=False))
        box = (left * x, top * y, min((left + columns) * x, array.shape[1]), min((top + rows) * y, array.shape[0]))
        return np.asarray(Image.fromarray(np.ascontiguousarray(array)).resize((columns, rows), how, box=box))
