"""Recipes of `headstart pretrain`, read from TOML: what images become, the training in full, how it is evaluated."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, ValidationError, model_validator

from headstart.errors import UsageError
from headstart.recipes.heads import FasterRcnnHead, FcosHead, LinearHead, TowerHead
from headstart.recipes.sampling import AnySampling, ChipSampling, CropSampling, FixedSampling, ScaleSettings
from headstart.recipes.schema import HEADS, Recipe, Training, recipe_of
from headstart.recipes.settings import Name, ReadSettings, Settings, Supervision, faults_of
from headstart.texts import toml_of


class PretrainingTraining(Training):
    """The training of a pre-training: what every head reads."""

    family: ClassVar[dict[str, type[ReadSettings]]] = {}
    elsewhere: ClassVar[Mapping[str, str]] = {
        "quarter_turns": 'images are turned by `sampling.quarter_turns`, which layout "fixed" has',
        "updates": "they follow from the recipe's `epochs`",
        "rates": "its rate is `lr`; rates are searched on the tasks of a study only",
        "limit": "it is of the tasks of a study; `--split` chooses images",
        "name": "it stands at the top of the recipe",
        "version": "it stands at the top of the recipe",
    }

    lr: float = Field(gt=0)
    """Rate of the heads."""
    reestimate_batch_norm: bool = False
    """Re-estimate batch-norm statistics on the images before the first update."""
    head: str


class FcosTraining(FcosHead, PretrainingTraining):
    """FCOS."""

    head: Literal["fcos"]


class RetinaNetTraining(TowerHead, PretrainingTraining):
    """RetinaNet."""

    head: Literal["retinanet"]


class FasterRcnnTraining(FasterRcnnHead, PretrainingTraining):
    """Faster R-CNN."""

    head: Literal["faster-rcnn"]


class LinearTraining(LinearHead, PretrainingTraining):
    """A classifier."""

    head: Literal["linear"]


PretrainingTraining.family.update(
    {
        "fcos": FcosTraining,
        "retinanet": RetinaNetTraining,
        "faster-rcnn": FasterRcnnTraining,
        "linear": LinearTraining,
    }
)


AnyTraining = SerializeAsAny[PretrainingTraining]
"""For fields: the training of a pre-training, with any head."""


class Expected(Settings):
    """The number that a recipe is expected to reach, as it was measured; or none, with what its source publishes."""

    run: Literal["measured", "not in full"] = "not in full"
    metric: str = ""
    """As in `headstart.names`."""
    value: float | None = None
    """Mean over seeds."""
    spread: float | None = Field(default=None, ge=0)
    """Standard deviation over seeds."""
    seeds: int | None = Field(default=None, ge=2)
    """How many."""
    how: str = ""
    """A command, and what is to be said about it."""
    published: str = ""
    """The number that the recipe's source publishes, and where."""

    @model_validator(mode="after")
    def _whole(self) -> Expected:
        lacking = {part in ("", None) for part in (self.metric, self.value, self.spread, self.seeds, self.how)}
        if lacking != {self.run != "measured"}:
            raise ValueError(
                '`run = "measured"` needs `metric`, `value`, `spread`, `seeds` and `how`; "not in full" has none'
            )
        return self

    def words(self) -> str:
        """In one line."""
        said = f"published: {self.published}" if self.published else ""
        if self.value is None or self.spread is None:
            return "; ".join(part for part in ("not run in full", said) if part)
        number = f"{self.metric} {self.value:.3f}, standard deviation {self.spread:.3f} over {self.seeds} seeds"
        return "; ".join(part for part in (f"{number} ({self.how})", said) if part)


class PretrainingRecipe(ReadSettings):
    """One pre-training, in full."""

    name: Name
    version: int = Field(ge=1)
    about: str
    """One line."""
    source: str
    """Where the numbers come from."""
    command: str
    """As it was meant to be used."""
    expected: Expected = Expected()
    """What is to come out; no part of what the result depends on."""
    supervision: Supervision
    backbone: str
    weights: str = ""
    """Where it starts, if not at random values; `--weights` goes before."""
    epochs: float = Field(gt=0)
    """Of the chips of the data."""
    sampling: AnySampling
    inference: tuple[ScaleSettings, ...] = ()
    """By boxes: scales at which whole images are evaluated, finest first; empty: the first of `sampling`."""
    training: AnyTraining
    checkpoint_epochs: float = Field(default=1.0, gt=0)
    """Between two checkpoints that are evaluated on the validation images, and kept."""
    keep: int = Field(default=3, ge=1)
    """So many of the last states are kept, beside the best checkpoint."""
    budget: ChipSampling | None = None
    """By labels: the sampling whose chips the epochs are counted in, where it is another one's: see `by`."""

    @model_validator(mode="after")
    def _fits(self) -> PretrainingRecipe:
        heads = HEADS[self.supervision]
        if self.training.head not in heads:
            raise ValueError(
                f"training.head: {self.training.head!r} is not trained by {self.supervision}; use {' or '.join(heads)}"
            )
        if self.sampling.layout not in LAYOUTS[self.supervision]:
            raise ValueError(
                f"sampling.layout: {self.sampling.layout!r} is not for {self.supervision}; use "
                f"{' or '.join(LAYOUTS[self.supervision])}"
            )
        if self.negatives and self.training.head != "faster-rcnn":
            raise ValueError("sampling.negatives: needs proposals, which only `faster-rcnn` makes")
        return self

    def identity(self) -> dict[str, Any]:
        """What the result depends on: without what only describes the recipe."""
        values = self.model_dump(mode="json", exclude={"about", "source", "command", "expected"})
        return values | {"training": self.training.identity()}

    def idle(self) -> dict[str, str]:
        """As in `ReadSettings`."""
        if self.supervision == "labels":
            return {"inference": "images are evaluated as they are trained on by labels"}
        return {"budget": "a training by boxes counts its own inputs"}

    @property
    def negatives(self) -> int:
        """At most so many negative chips an image and epoch."""
        return self.sampling.negatives if isinstance(self.sampling, ChipSampling) else 0

    def recipe(self, updates: int) -> Recipe:
        """The training with its number of updates."""
        turned = isinstance(self.sampling, FixedSampling) and self.sampling.quarter_turns
        more = {"name": self.name, "version": self.version, "updates": updates, "quarter_turns": turned}
        return recipe_of(self.training.model_dump() | more)

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
        shared = set(LinearTraining.model_fields) - DETECTOR_ONLY
        training = {k: v for k, v in self.training.model_dump(exclude_unset=True).items() if k in shared}
        fixed = isinstance(self.sampling, FixedSampling)
        crops = CropSampling(layout="crops", size=self.sampling.size, least_area=1.0)
        same = self.model_dump(exclude={"inference", "expected", "sampling", "training", "budget"})
        counted = {"budget": self.sampling} if isinstance(self.sampling, ChipSampling) else {}
        changed = {
            "supervision": "labels",
            "sampling": self.sampling if fixed else crops,
            "training": LinearTraining.model_validate({**training, "head": "linear"}),
        }
        return PretrainingRecipe.model_validate({**same, **counted, **changed})


LAYOUTS: dict[Supervision, tuple[str, ...]] = {
    "boxes": ("chips", "whole", "pyramid", "fixed"),
    "labels": ("crops", "fixed"),
}
"""Layouts of each supervision."""
DETECTOR_ONLY = frozenset({"head", "freeze", "trainable"})
"""Fields of a detector's training that its counterpart under labels has, and does not take over."""


@dataclass(frozen=True)
class PretrainingOptions:
    """What can be asked of a pre-training beside its data and recipe."""

    weights: str = ""
    """URI of the starting weights; "": the recipe's, or random."""
    out: Path | None = None
    """Where to write; None: `runs/pretrain-RECIPE-SUPERVISION-DATA`. What was begun there goes on."""
    dry_run: bool = False
    seed: int = 0
    _: KW_ONLY
    split: tuple[str, ...] = ()
    """Trained on; none: `train`, or all."""
    val: str | None = None
    """Split that is evaluated on; None: `val` where there is one; "": none."""
    proposals: Path | None = None
    """Parquet for negative chips; None: made first where the recipe wants them."""
    on_empty_class: Literal["error", "skip"] = "error"
    """Classes without examples are an error, or left out."""
    noise: float | None = None
    """Share of the images, 0 to 1, that exchange their boxes and labels; None: none of them."""
    format: str | None = None
    read: Mapping[str, Any] | None = None
    """As in `open_dataset`."""
    loaders: int | None = None
    """Processes that make batches, for each that trains; None: by the CPUs."""
    processes: int | None = None
    """Processes that train together on this machine; None: one a GPU, or one. torchrun's where it started several."""
    device: str = "auto"
    """auto, cpu, cuda, or some GPUs: cuda:0,1; each process takes one."""
    threads: int | None = None
    """Of each process that trains on the CPU; None: torch's own choice."""
    trust_code: bool = False
    """Let Python files run that the recipe, a card or a checkpoint names as backbones."""
    offline: bool = False
    overwrite: bool = False
    """Delete another pre-training in `out`."""
    store: str | Path | None = None
    """A folder where several runs keep their jobs, each of which is done once."""
    executor: Literal["local", "ray"] = "local"
    """"ray": on the cluster at `address` (docs/cluster.md); else in this process."""
    address: str | None = None
    """Of the cluster; None: one that is started on this machine."""
    events: str | Path | None = None
    """A file for what happens, a line of JSON each (docs/events.md)."""
    tensorboard: bool = False
    """Write the curves of the training into `tensorboard/` of the run, for TensorBoard."""


def builtin_names(supervision: Supervision | None = None) -> list[str]:
    """Names of the recipes that come with the package, all or those of one supervision."""
    names = sorted(path.stem for path in _folder().glob("*.toml"))
    return [name for name in names if supervision is None or load_recipe(name).supervision == supervision]


def load_recipe(name: str) -> PretrainingRecipe:
    """A recipe by name, or from the path of a TOML file. Raises UsageError that names every fault."""
    path = Path(name) if name.endswith(".toml") else _folder() / f"{name}.toml"
    try:
        there = path.is_file()
    except OSError:  # a name that no file can have
        there = False
    if not there:
        near = difflib.get_close_matches(name, builtin_names(), 1)
        raise UsageError(
            f"{name:.200}: no such recipe. It is neither a TOML file nor one of {', '.join(builtin_names())}."
            + (f" Did you mean {near[0]}?" if near else "")
        )
    try:
        values = toml_of(path.read_text(encoding="utf-8"))
    except ValueError as fault:  # of the text, or of its bytes
        raise UsageError(f"{path}: not valid TOML: {fault}. Mend the file at that place.") from None
    return checked_recipe(values, str(path))


def checked_recipe(values: dict[str, Any], where: str) -> PretrainingRecipe:
    """The recipe of these values. Raises UsageError that begins with `where` and names every fault."""
    try:
        return PretrainingRecipe.model_validate(values)
    except ValidationError as fault:
        lines = faults_of(fault)
        raise UsageError(
            f"{where}: {len(lines)} fault{'s' * (len(lines) > 1)} in the recipe:\n  " + "\n  ".join(lines)
        ) from None


def _folder() -> Path:
    return Path(__file__).parent / "builtin"
