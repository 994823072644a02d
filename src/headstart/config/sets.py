"""Sets of images that a study names: drawn, or in a folder."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from headstart.recipes.settings import Settings

ORIGIN_STRIDE = 1_000_000
"""Images of a drawn world between those of two origins: what a pre-training of seed s draws begins s times so many
further on than its set says. So sets end below it."""


class WorldSet(Settings):
    """Images drawn by the embedded world (`headstart.world.shapes`)."""

    world: Literal["base", "novel", "base-gray", "novel-gray"]
    """`base`: the classes that are pre-trained on. `novel`: other classes, glyphs, hues and backgrounds. The images of
    `base-gray` and `novel-gray` are theirs but for the parts, which have no colors there."""
    count: int = Field(gt=0)
    """Number of images."""
    first: int = Field(default=0, ge=0)
    """Index of the first image of the endless world; two sets of one world must not overlap. For pre-trainings it is
    that of seed 0: every seed draws its own images (`ORIGIN_STRIDE`)."""
    size: int = Field(default=96, ge=32)
    """Height and width, pixels."""

    @model_validator(mode="after")
    def _ends_before_other_origins(self) -> WorldSet:
        if self.first + self.count > ORIGIN_STRIDE:
            raise ValueError(
                f"it ends at image {self.first + self.count:,}; from {ORIGIN_STRIDE:,} on are the images of further "
                "seeds. Give a smaller `first` or `count`"
            )
        return self


class FolderSet(Settings):
    """Images of a data set on disk, brought to one size once and shared by all trials."""

    path: str
    """Folder of the data set, or `data:NAME` (`headstart.config.data`). In a study file a relative path is relative to
    that file."""
    task: Literal["detect", "segment", "classify"]
    role: Literal["train", "val", "trainval", "test", "all"]
    """`trainval`: all that is not test, for probes, which split off their own validation images. `all`: every image
    there is, for explanations of weights that have seen none of them."""
    fold: int | None = Field(default=None, ge=0)
    """With cross-fitting: which fold is the test part. None: the data set has test images of its own."""
    folds: int = Field(default=0, ge=0)
    """Number of folds of the cross-fitting; 0 when `fold` is None."""
    per_class: int | None = Field(default=None, gt=0)
    """Without an official split: so many images of each class train and all others test; every seed draws its own."""
    test_per_class: int | None = Field(default=None, gt=0)
    """With `per_class`: so many of the others of each class test; None: all."""
    among: tuple[str, ...] = ()
    """With `per_class`: the splits of the source that images are drawn from; none: all images."""
    images: int | None = Field(default=None, gt=0)
    """How many images there are, for plans while the data are not there."""
    size_hw: tuple[int, int]
    """Height and width in pixels that images are brought to."""
    format: str | None = None
    """Name of the reader; None: the format is recognized."""
    read: dict[str, str | int | bool] = Field(default={})
    """Options of the reader, such as `on_bad_box = "skip"` or `zero_based = true`."""
    on_bad_image: Literal["error", "skip"] = "error"
    """`skip`: images that cannot be decoded are left out, in training and evaluation alike, counted and listed."""
    resize: Literal["stretch", "crop", "letterbox"] = "stretch"
    """`stretch`: to size_hw, whatever the aspect. `crop`: shorter side to 8/7 of size_hw, then the center. `letterbox`:
    as large as they fit, aspect kept, in the upper left corner; the rest is gray, of no class in masks."""

    @model_validator(mode="after")
    def _one_split(self) -> FolderSet:
        if self.per_class and (self.folds or self.task != "classify"):
            raise ValueError("`per_class` draws classified images, without `folds`")
        if (self.among or self.test_per_class) and not self.per_class:
            raise ValueError("`among` and `test_per_class` need `per_class`")
        return self

    @property
    def drawn(self) -> bool:
        """Whether its roles are parts of one prepared set, which every seed deals anew."""
        return bool(self.folds or self.per_class)


class TableSet(Settings):
    """Images of a data set on disk as they are: what pre-trainings take chips, crops or whole images of, and tasks
    that are trained so (`own_sizes`)."""

    path: str
    """Folder, archive or URL of the data set, or `data:NAME` (`headstart.config.data`). In a study file a relative path
    is relative to that file."""
    splits: tuple[str, ...] = ()
    """Trained on; none: `train`, or all where there is no such split."""
    format: str | None = None
    """Name of the reader; None: the format is recognized."""
    read: dict[str, str | int | bool] = Field(default={})
    """Options of the reader."""
    images: int | None = Field(default=None, gt=0)
    """How many images there are, for plans while the data are not there."""


def _kind(values: Any) -> str:
    if isinstance(values, Settings):
        return type(values).__name__
    if not isinstance(values, dict):
        return "TableSet"
    if "world" in values:
        return "WorldSet"
    return "FolderSet" if {"task", "role", "size_hw"} & set(values) else "TableSet"


AnySet = Annotated[
    Annotated[WorldSet, Tag("WorldSet")]
    | Annotated[FolderSet, Tag("FolderSet")]
    | Annotated[TableSet, Tag("TableSet")],
    Discriminator(_kind),
]
"""For fields: drawn where it says `world`; prepared where it says what for; else as it is on disk."""
