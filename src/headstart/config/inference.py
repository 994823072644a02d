"""How images are looked at when masks are predicted: whole or in windows, at several scales, mirrored too."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from headstart.recipes.settings import ReadSettings


class MaskInference(ReadSettings):
    """`inference` of a task of kind `segment`: logits of all looks at an image are averaged."""

    window: int = Field(default=0, ge=0)
    """Side of the square windows, pixels, that an image is seen through, one after the other; 0: it is seen whole."""
    stride: int | None = Field(default=None, ge=1)
    """From one window to the next, pixels; None: two thirds of `window`. The last ones end where the image does."""
    scales: tuple[Annotated[float, Field(gt=0, le=8)], ...] = Field(default=(1.0,), min_length=1)
    """Factors that the image is seen at."""
    flip: bool = False
    """See each of them mirrored left to right, too."""

    @model_validator(mode="after")
    def _fits(self) -> MaskInference:
        if len(set(self.scales)) != len(self.scales):
            raise ValueError("`scales`: one stands twice; it would count twice")
        if self.stride and self.stride > self.window > 0:
            raise ValueError("`stride` is at most `window`: else pixels between two windows are never seen")
        return self

    def idle(self) -> dict[str, str]:
        """As in `ReadSettings`."""
        return {} if self.window else {"stride": "it needs `window`, its side in pixels"}

    def begins(self, side: int) -> list[int]:
        """Where windows begin along a side of so many pixels: every pixel is in one at least."""
        if not self.window or side <= self.window:
            return [0]
        stride = self.stride or max(1, 2 * self.window // 3)
        return [*range(0, side - self.window, stride), side - self.window]

    def looks(self, size_hw: tuple[int, int]) -> float:
        """Pixels that pass the network for an image of this size, as a multiple of its own."""
        seen = 0
        for scale in self.scales:
            sides = [max(1, round(side * scale)) for side in size_hw]
            parts = [min(self.window or side, side) * len(self.begins(side)) for side in sides]
            seen += parts[0] * parts[1] * (1 + self.flip)
        return seen / (size_hw[0] * size_hw[1])
