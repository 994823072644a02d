"""One training, in full."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from headstart.recipes.settings import Name, Settings


class Recipe(Settings):
    """One training, in full. `version` is raised by hand whenever a value changes."""

    name: Name
    version: int = Field(default=1, ge=1)
    updates: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    lr: float | None = Field(default=None, gt=0)
    """Rate of the heads when it is fixed. Exactly one of `lr` and `rates` is given."""
    rates: tuple[float, ...] = ()
    """Rates searched, ascending, chosen on validation; extended by the same ratio when the best is at an edge."""
    backbone_rate: float = Field(default=1.0, ge=0)
    """The backbone's rate as a fraction of the heads'."""
    reference_batch: int | None = Field(default=None, ge=1)
    """Batch size that the rate is for: it is scaled in proportion to `batch_size` (Goyal et al., arXiv 1706.02677)."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """`sgd`: with momentum 0.9."""
    weight_decay: float = Field(default=0.05, ge=0)
    schedule: Literal["cosine", "steps"] = "cosine"
    """After the warm-up: `cosine` to zero, or constant with a drop to a tenth at each of `drops`."""
    drops: tuple[float, ...] = ()
    """Fractions of the updates, ascending, for `steps`."""
    warmup: int = Field(default=50, ge=0)
    """Updates of linear warm-up."""
    accumulate: int = Field(default=1, ge=1)
    """Parts that a batch is trained in, one after the other, to need less memory; an update follows the last."""
    precision: Literal["fp32", "bf16", "fp16", "fp64"] = "fp32"
    """Of the forward pass; weights stay float32 (fp64: everything, for exact comparisons)."""
    compile: bool = False
    """Compile the backbone with torch.compile."""
    average: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the exponential average of the weights that is kept in their place at the end; 0: none."""
    clip_norm: float = Field(default=10.0, gt=0)
    flip: bool = True
    """Mirror half of the images left to right."""
    quarter_turns: bool = False
    """Turn images by a random multiple of 90 degrees."""
    batch_norm: Literal["train", "frozen", "sync", "group"] = "train"
    """`frozen`: the backbone's statistics. `sync`: trained, with statistics over all processes. `group`: replaced by
    group norm."""
    reestimate_batch_norm: bool = True
    """Re-estimate batch-norm statistics on target images before the first update."""
    trainable: Literal["all", "heads"] = "all"
    freeze: tuple[Literal["stem", "C2", "C3", "C4", "C5"], ...] = ()
    """Parts of a ResNet that stay as they are, their batch norms too."""
    head: Literal["fcos", "retinanet", "faster-rcnn", "pixel", "linear"]
    levels: tuple[str, ...] = ("C5",)
    """Stages that the head reads, finest first."""
    channels: int = Field(default=64, ge=1)
    """Width of the head."""
    neck: Literal["plain", "fpn", "c4", "dc5"] = "plain"
    """What a detector reads. `plain`: `levels` (faster-rcnn: of one stride, side by side). `fpn`: a feature pyramid
    over `levels` and coarser ones (fcos, retinanet: 2, so P3..P7 for C3, C4, C5; faster-rcnn: 1). For faster-rcnn on
    ResNets, `c4`: proposals on C4, the backbone's layer4 on each RoI; `dc5`: plain after C5 was dilated to the stride
    of C4."""
    tower: int = Field(default=1, ge=1)
    """Convolutions before the outputs of fcos and retinanet; as published: 4."""
    deformable: tuple[Literal["C2", "C3", "C4", "C5"], ...] = ()
    """Stages of a ResNet whose 3x3 convolutions become deformable, such as C3, C4, C5; those of the starting weights
    that are deformable already stay as they are."""
    modulated: bool = True
    """Deformable convolutions weigh what they sample (version 2), or do not (version 1)."""
    anchors: tuple[float, ...] = ()
    """faster-rcnn: square roots of anchors' areas, pixels: all on the one map, or one for each level of a pyramid.
    Empty: tenth to three fifths of the image's side, or 8 strides."""
    proposals: int = Field(default=300, ge=1)
    """faster-rcnn: proposals of an image."""
    rois: int = Field(default=128, ge=1)
    """faster-rcnn: proposals of an image that the second stage is trained on; at most `proposals`."""
    positive_part: float = Field(default=0.25, gt=0, le=1)
    """faster-rcnn: at most so much of them are objects (SNIPER: all that are)."""
    class_agnostic: bool = False
    """faster-rcnn: one box a proposal instead of one for each class."""
    roi_pool: Literal["align", "deform", "deform-modulated"] = "align"
    """faster-rcnn: how proposals are read, plainly or where the head learns to look."""
    decoupled: bool = False
    """faster-rcnn: objectness and class apart (R-FCN-3000), for thousands of classes."""
    soft_background: bool = False
    """faster-rcnn: background far from any box counts a quarter, for data not labeled exhaustively (OpenImages)."""
    reduce: bool = False
    """faster-rcnn: a 1x1 convolution to `channels` before RoIs are read, as SNIPER has."""
    mimic: bool = False
    """faster-rcnn: in training, features of objects are drawn to those of their cut-out images (feature mimicking,
    arXiv 1811.11168). Up to 32 patches of 224 pixels an image pass the network, too."""

    @model_validator(mode="after")
    def _one_rate(self) -> Recipe:
        if (self.lr is None) == (not self.rates):
            raise ValueError("give exactly one of `lr` (fixed) and `rates` (searched)")
        if (self.schedule == "steps") != bool(self.drops) or list(self.drops) != sorted(set(self.drops)):
            raise ValueError('`schedule = "steps"` needs `drops`, ascending fractions of the updates; no other does')
        if self.batch_size % self.accumulate:
            raise ValueError("`batch_size` must be a multiple of `accumulate`")
        if len(set(self.levels)) != len(self.levels) or list(self.levels) != sorted(self.levels):
            raise ValueError("`levels` are different stages, finest first, such as C3, C4, C5")
        if self.neck in ("c4", "dc5") and self.head != "faster-rcnn":
            raise ValueError(f'`neck = "{self.neck}"` is for `head = "faster-rcnn"`; {self.head} has plain or fpn')
        if self.mimic and self.head != "faster-rcnn":
            raise ValueError(f'`mimic` is for `head = "faster-rcnn"`: {self.head} reads no regions')
        if self.deformable and self.head in ("pixel", "linear"):
            raise ValueError(
                f"`deformable` is for detectors; for {self.head} name the backbone so: "
                f"resnet50[deformable={'+'.join(self.deformable)}]"
            )
        if list(self.deformable) != sorted(set(self.deformable)):
            raise ValueError("`deformable` are different stages, finest first, such as C3, C4, C5")
        if self.rois > self.proposals:
            raise ValueError("`rois` are chosen among `proposals`: at most as many")
        if self.rates and (len(self.rates) < 3 or list(self.rates) != sorted(set(self.rates))):
            raise ValueError("`rates` needs at least three different values, ascending")
        return self


HEADS = {"boxes": ("fcos", "retinanet", "faster-rcnn"), "labels": ("linear",)}
"""Heads that a pre-training by either supervision can have; those of a task are in `headstart.tasks`."""


def require_head(recipe: Recipe, supervision: str) -> None:
    heads = HEADS[supervision]
    if recipe.head not in heads:
        said = f"head {recipe.head!r} is not trained by {supervision}; use {' or '.join(heads)}"
        raise ValueError(f"recipe {recipe.name!r}: {said}")
