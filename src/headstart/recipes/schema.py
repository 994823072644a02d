"""One training, in full: what every training reads, and for each head what this head reads, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, model_validator

from headstart.recipes.heads import (
    DeepLabHead,
    FasterRcnnHead,
    FcnHead,
    FcosHead,
    LinearHead,
    PixelHead,
    TowerHead,
    WholeHead,
)
from headstart.recipes.settings import Name, ReadSettings


class Training(ReadSettings):
    """What every training reads, whatever its head and purpose."""

    tag: ClassVar[str] = "head"
    tacit: ClassVar[frozenset[str]] = frozenset({"sentinel"})

    batch_size: int = Field(ge=1)
    backbone_rate: float = Field(default=1.0, ge=0)
    """The backbone's rate as a fraction of the heads'."""
    reference_batch: int | None = Field(default=None, ge=1)
    """Batch size that the rate is for: it is scaled in proportion to `batch_size` (Goyal et al., arXiv 1706.02677)."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """`sgd`: with momentum 0.9."""
    weight_decay: float = Field(default=0.05, ge=0)
    schedule: Literal["cosine", "steps"] = "cosine"
    """After the warm-up: `cosine` to zero, or constant with a drop to a tenth at each of `drops`."""
    drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Fractions of the updates, ascending, for `steps`."""
    warmup: int = Field(default=50, ge=0)
    """Updates of linear warm-up."""
    accumulate: int = Field(default=1, ge=1)
    """Parts that a batch is trained in, one after the other, to need less memory; an update follows the last."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "fp64"] | None = None
    """Of the forward pass; weights stay float32 (fp64: everything, for exact comparisons). None: bf16 on GPUs, fp32 on
    the CPU. `auto`: bf16 wherever the hardware multiplies in it, CPUs too, else fp32."""
    compile: bool = False
    """Compile the backbone with torch.compile."""
    average: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the exponential average of the weights that is kept in their place at the end; 0: none."""
    clip_norm: float = Field(default=10.0, gt=0)
    flip: bool = True
    """Mirror half of the images left to right."""
    batch_norm: Literal["train", "frozen", "sync", "group"] = "train"
    """`frozen`: the backbone's statistics. `sync`: trained, with statistics over all processes. `group`: replaced by
    group norm."""
    trainable: Literal["all", "heads"] = "all"
    freeze: tuple[Literal["stem", "C2", "C3", "C4", "C5"], ...] = ()
    """Parts of a ResNet that stay as they are, their batch norms too."""
    sentinel: bool = True
    """Stop when the first updates are unlike those of a sound training, and say why. It changes no result, so it is in
    no key: a stopped training goes on without it."""

    @model_validator(mode="after")
    def _steps(self) -> Training:
        if self.schedule == "steps" and (not self.drops or list(self.drops) != sorted(set(self.drops))):
            raise ValueError('`schedule = "steps"` needs `drops`, ascending fractions of the updates')
        if self.batch_size % self.accumulate:
            raise ValueError("`batch_size` must be a multiple of `accumulate`")
        return self

    def idle(self) -> dict[str, str]:
        """As in `ReadSettings`."""
        idle = super().idle()
        if self.schedule != "steps":
            idle["drops"] = 'it needs `schedule = "steps"`'
        if self.trainable == "heads":
            idle["backbone_rate"] = '`trainable = "heads"` leaves the backbone as it is'
        return idle

    def identity(self) -> dict[str, Any]:
        """What the result depends on."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in self.tacit}


class Recipe(Training):
    """A training on a task, or by a study. `version` is raised by hand whenever a value changes."""

    family: ClassVar[dict[str, type[ReadSettings]]] = {}

    name: Name
    version: int = Field(default=1, ge=1)
    updates: int = Field(ge=1)
    lr: float | None = Field(default=None, gt=0)
    """Rate of the heads when it is fixed. Exactly one of `lr` and `rates` is given."""
    rates: tuple[Annotated[float, Field(ge=1e-12, le=1e6)], ...] = ()
    """Rates searched, ascending, chosen on validation; extended by the same ratio when the best is at an edge."""
    warmup: int | None = Field(default=None, ge=0)  # type: ignore[assignment]
    """Updates of linear warm-up; None: a tenth of the updates."""
    quarter_turns: bool = False
    """Turn images by a random multiple of 90 degrees."""
    reestimate_batch_norm: bool = True
    """Re-estimate batch-norm statistics on target images before the first update."""
    head: str

    @model_validator(mode="after")
    def _one_rate(self) -> Recipe:
        if (self.lr is None) == (not self.rates):
            raise ValueError("give exactly one of `lr` (fixed) and `rates` (searched)")
        if self.rates and (len(self.rates) < 3 or list(self.rates) != sorted(set(self.rates))):
            raise ValueError("`rates` needs at least three different values, ascending")
        return self

    @property
    def warmup_updates(self) -> int:
        """Of linear warm-up."""
        return self.updates // 10 if self.warmup is None else self.warmup

    @property
    def rate(self) -> float:
        """Of the heads, for a batch of `batch_size`. Raises ValueError where it is still to be searched."""
        if self.lr is None:
            raise ValueError(f"recipe {self.name}: its rate is to be searched among {self.rates}")
        return self.lr * (self.batch_size / self.reference_batch if self.reference_batch else 1.0)


class FcosRecipe(FcosHead, Recipe):
    """FCOS."""

    head: Literal["fcos"]


class RetinaNetRecipe(TowerHead, Recipe):
    """RetinaNet."""

    head: Literal["retinanet"]


class FasterRcnnRecipe(FasterRcnnHead, Recipe):
    """Faster R-CNN."""

    head: Literal["faster-rcnn"]


class PixelRecipe(PixelHead, Recipe):
    """Semantic segmentation."""

    head: Literal["pixel"]


class FcnRecipe(FcnHead, Recipe):
    """Semantic segmentation by FCN."""

    head: Literal["fcn"]


class DeepLabRecipe(DeepLabHead, Recipe):
    """Semantic segmentation by DeepLabV3."""

    head: Literal["deeplab"]


class WholeRecipe(WholeHead, Recipe):
    """A whole detector of transformers."""

    head: Literal["whole"]

    @property
    def rate(self) -> float:
        """As of `Recipe`: a multiple of the authors' rate."""
        return super().rate * self.own_rate


class LinearRecipe(LinearHead, Recipe):
    """Classification."""

    head: Literal["linear"]


Recipe.family.update(
    {
        "fcos": FcosRecipe,
        "retinanet": RetinaNetRecipe,
        "faster-rcnn": FasterRcnnRecipe,
        "pixel": PixelRecipe,
        "fcn": FcnRecipe,
        "deeplab": DeepLabRecipe,
        "linear": LinearRecipe,
        "whole": WholeRecipe,
    }
)
AnyDetectorRecipe = FcosRecipe | RetinaNetRecipe | FasterRcnnRecipe


AnyRecipe = SerializeAsAny[Recipe]
"""For fields: a recipe of any head."""


def recipe_of(values: Any) -> Recipe:
    """The recipe of these values, of the class that their `head` names; a recipe is returned as it is.

    Raises pydantic's ValidationError that names every fault (`headstart.recipes.settings.faults_of`).
    """
    return Recipe.model_validate(values)


def as_written(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a recipe as results hold them, without what its head does not read: versions before 0.1.0 wrote out the
    settings of all heads."""
    kind = Recipe.family.get(values.get("head", ""))
    if kind is None:
        return dict(values)
    known = {name for other in Recipe.family.values() for name in other.model_fields}
    defaults = {name: field.default for name, field in kind.model_fields.items()}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}
    return {
        name: value
        for name, value in values.items()
        if name not in known or (name in plain and (value != plain[name] or name == "head"))
    }


HEADS = {"boxes": ("fcos", "retinanet", "faster-rcnn"), "labels": ("linear",)}
"""Heads that a pre-training by either supervision can have; those of a task are in `headstart.tasks`."""


def require_head(recipe: Recipe, supervision: str) -> None:
    heads = HEADS[supervision]
    if recipe.head not in heads:
        said = f"head {recipe.head!r} is not trained by {supervision}; use {' or '.join(heads)}"
        raise ValueError(f"recipe {recipe.name!r}: {said}")
