"""Recipes of `headstart pretrain`, read from TOML: what images become, the training in full, how it is evaluated."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from headstart.errors import UsageError
from headstart.recipes.schema import HEADS, Recipe
from headstart.recipes.settings import Name, Settings, Supervision


class ScaleSettings(Settings):
    """One scale of a pyramid; see `headstart.batches.chips.scales.Scale`."""

    kind: Literal["factor", "longest", "resolution"]
    value: float = Field(gt=0)
    lo: float = Field(default=0.0, ge=0)
    hi: float | None = Field(default=None, gt=0)
    """None: no bound."""
    limit: float = Field(default=0.0, ge=0)


class SmallSettings(Settings):
    """Small-object augmentation (Kisantal et al., arXiv 1902.07296)."""

    below: float = Field(default=32.0, gt=0)
    """Square root of the area, pixels, below which an object is small."""
    repeats: int = Field(default=1, ge=1)
    """How often the chips of an image with a small object come in an epoch."""
    copies: int = Field(default=0, ge=0)
    """How often each small object with an outline is pasted into its image, elsewhere."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Of the images with such objects that get pastes in an epoch: pasting into every one made it worse (Table 4)."""


class Sampling(Settings):
    """How images become inputs."""

    layout: Literal["chips", "whole", "pyramid", "crops"]
    """`chips`: SNIPER's. `whole`: images at the first scale. `pyramid`: images at every scale (SNIP). `crops`: a random
    part of each image, for labels."""
    scales: tuple[ScaleSettings, ...] = ()
    """Finest first."""
    size: int = Field(default=512, ge=32)
    """Side of a chip or crop, pixels."""
    window: int = Field(default=256, ge=1)
    """Chips that are shuffled together; their images are decoded once."""
    negatives: int = Field(default=0, ge=0)
    """At most so many negative chips an image and epoch, from the proposals of a network trained for
    `proposal_epochs`."""
    proposal_epochs: float = Field(default=2.0, gt=0)
    least_area: float = Field(default=0.08, gt=0, le=1)
    """Of an image in a crop; 1: the whole image, stretched."""
    small: SmallSettings | None = None

    @model_validator(mode="after")
    def _fits(self) -> Sampling:
        if (self.layout == "crops") == bool(self.scales):
            raise ValueError("`scales` are for chips, whole images and pyramids, which need them; crops have none")
        if self.layout != "chips" and (self.negatives or self.small):
            raise ValueError('negative chips and small-object augmentation need `layout = "chips"`')
        return self


class PretrainingRecipe(Settings):
    """One pre-training, in full."""

    name: Name
    version: int = Field(ge=1)
    about: str
    """One line."""
    source: str
    """Where the numbers come from."""
    command: str
    """As it was meant to be used."""
    supervision: Supervision
    backbone: str
    weights: str = ""
    """Where it starts, if not at random values; `--weights` goes before."""
    epochs: float = Field(gt=0)
    """Of the chips of the data."""
    sampling: Sampling
    inference: tuple[ScaleSettings, ...] = ()
    """Scales at which whole images are evaluated, finest first; empty: the first of `sampling`."""
    training: dict[str, Any]
    """Fields of `headstart.recipes.schema.Recipe`, but for its updates, which follow from the epochs."""
    checkpoint_epochs: float = Field(default=1.0, gt=0)
    """Between two checkpoints that are evaluated on the validation images, and kept."""
    keep: int = Field(default=3, ge=1)
    """So many of the last states are kept, beside the best checkpoint."""
    budget: Sampling | None = None
    """The sampling whose chips the epochs are counted in, where it is another one's: see `by`."""

    @model_validator(mode="after")
    def _fits(self) -> PretrainingRecipe:
        recipe = self.recipe(1)
        heads = HEADS[self.supervision]
        if recipe.head not in heads:
            raise ValueError(
                f"training.head: {recipe.head!r} is not trained by {self.supervision}; use {' or '.join(heads)}"
            )
        if recipe.lr is None:
            raise ValueError("training.lr: a pre-training needs a fixed rate")
        if (self.sampling.layout == "crops") != (self.supervision == "labels"):
            raise ValueError("sampling.layout: `crops` are for labels, the others for boxes")
        if self.sampling.negatives and recipe.head != "faster-rcnn":
            raise ValueError("sampling.negatives: needs proposals, which only `faster-rcnn` makes")
        return self

    def recipe(self, updates: int) -> Recipe:
        """The training with its number of updates."""
        return Recipe.model_validate(
            {
                "reestimate_batch_norm": False,
                **self.training,
                "name": self.name,
                "version": self.version,
                "updates": updates,
            }
        )

    def by(self, supervision: Supervision) -> PretrainingRecipe:
        """This recipe, or its counterpart under labels: the same images whole, as many pixels and updates.

        Raises UsageError for a recipe of labels asked to train by boxes.
        """
        if supervision == self.supervision:
            return self
        if self.supervision == "labels":
            raise UsageError(
                f"recipe {self.name} trains by labels and has no detector. For --supervision boxes use "
                f"one of: {', '.join(builtin_names('boxes'))}."
            )
        kept = {name: value for name, value in self.training.items() if name in LABEL_FIELDS}
        sampling = Sampling(layout="crops", size=self.sampling.size, least_area=1.0)
        return self.model_copy(
            update={
                "supervision": "labels",
                "sampling": sampling,
                "inference": (),
                "budget": self.sampling,
                "training": {**kept, "head": "linear"},
            }
        )


@dataclass(frozen=True)
class PretrainingOptions:
    """What can be asked of a pre-training beside its data and recipe."""

    weights: str = ""
    """URI of the starting weights; "": the recipe's, or random."""
    out: Path | None = None
    """Where to write; None: `runs/pretrain-RECIPE-SUPERVISION-DATA`. What was begun there goes on."""
    dry_run: bool = False
    seed: int = 0
    splits: tuple[str, ...] = ()
    """Trained on; none: `train`, or all."""
    validation: str | None = None
    """Split that is evaluated on; None: `val` where there is one; "": none."""
    proposals: Path | None = None
    """Parquet for negative chips; None: made first where the recipe wants them."""
    on_empty_class: Literal["error", "skip"] = "error"
    """Classes without examples are an error, or left out."""
    loaders: int | None = None
    """Processes that make batches, for each that trains; None: by the CPUs."""
    device: str = "auto"
    threads: int | None = None
    """Of each process that trains on the CPU; None: torch's own choice."""
    format: str | None = None
    read: dict[str, Any] | None = None
    """As in `open_dataset`."""
    offline: bool = False
    overwrite: bool = False
    """Delete another pre-training in `out`."""


LABEL_FIELDS = frozenset(
    {
        "batch_size",
        "lr",
        "backbone_rate",
        "reference_batch",
        "optimizer",
        "weight_decay",
        "schedule",
        "drops",
        "warmup",
        "accumulate",
        "precision",
        "compile",
        "average",
        "clip_norm",
        "flip",
        "batch_norm",
        "reestimate_batch_norm",
    }
)
"""Fields of a detector's training that its counterpart under labels shares."""


def builtin_names(supervision: Supervision | None = None) -> list[str]:
    """Names of the recipes that come with the package, all or those of one supervision."""
    names = sorted(path.stem for path in _folder().glob("*.toml"))
    return [name for name in names if supervision is None or load_recipe(name).supervision == supervision]


def load_recipe(name: str) -> PretrainingRecipe:
    """A recipe by name, or from the path of a TOML file. Raises UsageError that names every fault."""
    path = Path(name) if name.endswith(".toml") else _folder() / f"{name}.toml"
    if not path.is_file():
        near = difflib.get_close_matches(name, builtin_names(), 1)
        raise UsageError(
            f"{name}: no such recipe. It is neither a TOML file nor one of {', '.join(builtin_names())}."
            + (f" Did you mean {near[0]}?" if near else "")
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise UsageError(f"{path}: not valid TOML: {fault}. Mend the file at that place.") from None
    return checked_recipe(values, str(path))


def checked_recipe(values: dict[str, Any], where: str) -> PretrainingRecipe:
    """The recipe of these values. Raises UsageError that begins with `where` and names every fault."""
    try:
        return PretrainingRecipe.model_validate(values)
    except ValidationError as fault:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {_sentence(str(e['msg']))}" for e in fault.errors()]
        raise UsageError(
            f"{where}: {len(lines)} fault{'s' * (len(lines) > 1)} in the recipe:\n  " + "\n  ".join(lines)
        ) from None


def _sentence(message: str) -> str:
    """Of pydantic: without its heading, and of a training's faults the faults alone."""
    return " ".join(message.removeprefix("Value error, ").split())


def _folder() -> Path:
    return Path(__file__).parent / "builtin"
