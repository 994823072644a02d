"""How a pre-training makes inputs of images: one class a layout, with what this layout reads and nothing else."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, SerializeAsAny, field_validator

from headstart.recipes.settings import ReadSettings


class ScaleSettings(ReadSettings):
    """One scale of a pyramid; see `headstart.batches.chips.scales.Scale`."""

    kind: Literal["factor", "longest", "resolution"]
    value: float = Field(gt=0)
    lo: float = Field(default=0.0, ge=0)
    hi: float | None = Field(default=None, gt=0)
    """None: no bound."""
    limit: float = Field(default=0.0, ge=0)
    """Of the longer side, pixels; 0: none."""

    def idle(self) -> dict[str, str]:
        """As in `ReadSettings`."""
        return {} if self.kind == "resolution" else {"limit": 'it needs `kind = "resolution"`'}


class SmallSettings(ReadSettings):
    """Small-object augmentation (Kisantal et al., arXiv 1902.07296)."""

    below: float = Field(default=32.0, gt=0)
    """Square root of the area, pixels, below which an object is small."""
    repeats: int = Field(default=1, ge=1)
    """How often the chips of an image with a small object come in an epoch."""
    copies: int = Field(default=0, ge=0)
    """How often each small object with an outline is pasted into its image, elsewhere."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Of the images with such objects that get pastes in an epoch: pasting into every one made it worse (Table 4)."""

    def idle(self) -> dict[str, str]:
        """As in `ReadSettings`."""
        return {} if self.copies else {"share": "it needs `copies`, at least 1"}


class Sampling(ReadSettings):
    """What every layout reads."""

    tag: ClassVar[str] = "layout"
    family: ClassVar[dict[str, type[ReadSettings]]] = {}

    layout: str
    size: int = Field(default=512, ge=32)
    """Side of an input, pixels. Of whole images and pyramids: of the counterpart under labels, and what a scale of kind
    `factor` multiplies."""


class ScaledSampling(Sampling):
    """Of layouts that look at images at scales."""

    scales: tuple[ScaleSettings, ...] = Field(default=(), validate_default=True)
    """Finest first."""
    window: int = Field(default=256, ge=1)
    """Chips that are shuffled together; their images are decoded once."""

    @field_validator("scales")
    @classmethod
    def _some(cls, scales: tuple[ScaleSettings, ...]) -> tuple[ScaleSettings, ...]:
        if not scales:
            raise ValueError("at least one scale is needed")
        return scales


class ChipSampling(ScaledSampling):
    """SNIPER's chips."""

    layout: Literal["chips"]
    negatives: int = Field(default=0, ge=0)
    """At most so many negative chips an image and epoch, from the proposals of a network trained for
    `proposal_epochs`."""
    proposal_epochs: float = Field(default=2.0, gt=0)
    small: SmallSettings | None = None

    def idle(self) -> dict[str, str]:
        """As in `ReadSettings`."""
        return {} if self.negatives else {"proposal_epochs": "it needs `negatives`, at least 1"}


class WholeSampling(ScaledSampling):
    """Images whole, at one scale."""

    layout: Literal["whole"]

    @field_validator("scales")
    @classmethod
    def _one(cls, scales: tuple[ScaleSettings, ...]) -> tuple[ScaleSettings, ...]:
        if len(scales) > 1:
            raise ValueError('layout "whole" reads one scale; layout "pyramid" reads several')
        return scales


class PyramidSampling(ScaledSampling):
    """Images whole, at every scale (SNIP)."""

    layout: Literal["pyramid"]


class CropSampling(Sampling):
    """A random part of each image, for labels."""

    layout: Literal["crops"]
    least_area: float = Field(default=0.08, gt=0, le=1)
    """Of an image in a crop; 1: the whole image, stretched."""


class FixedSampling(Sampling):
    """Images brought to one size once, whatever their aspect, as study tasks have them."""

    layout: Literal["fixed"]
    quarter_turns: bool = False
    """Turn images by a random multiple of 90 degrees."""


Sampling.family.update(
    {
        "chips": ChipSampling,
        "whole": WholeSampling,
        "pyramid": PyramidSampling,
        "crops": CropSampling,
        "fixed": FixedSampling,
    }
)


AnySampling = SerializeAsAny[Sampling]
"""For fields: a sampling of any layout."""
