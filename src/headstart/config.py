"""Settings of studies and recipes, read from TOML and checked all at once.

A study is one file: sets of images, weights to compare, tasks to transfer them to, seeds. Nothing in it is
changed after it was read; the resolved copy is saved with every result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Supervision = Literal["boxes", "labels"]
TaskKind = Literal["detect", "segment", "classify", "probe"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=60)]


class Settings(BaseModel):
    """Frozen; unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WorldSet(Settings):
    """Images drawn by the embedded world (`headstart.data.shapes`)."""

    world: Literal["base", "novel"]
    """`base`: the classes that are pre-trained on. `novel`: other classes, glyphs, hues and backgrounds."""
    count: int = Field(gt=0)
    """Number of images."""
    first: int = Field(default=0, ge=0)
    """Index of the first image of the endless world; two sets of one world must not overlap."""
    size: int = Field(default=96, ge=32)
    """Height and width, pixels."""


class FolderSet(Settings):
    """Images of a data set on disk, brought to one size once and shared by all trials."""

    path: str
    """Folder of the data set. In a study file a relative path is relative to that file."""
    task: Literal["detect", "segment", "classify"]
    role: Literal["train", "val", "trainval", "test"]
    """`trainval`: all that is not test, for probes, which split off their own validation images."""
    fold: int | None = Field(default=None, ge=0)
    """With cross-fitting: which fold is the test part. None: the data set has test images of its own."""
    folds: int = Field(default=0, ge=0)
    """Number of folds of the cross-fitting; 0 when `fold` is None."""
    size_hw: tuple[int, int]
    """Height and width in pixels that images are brought to."""
    format: str | None = None
    """Name of the reader; None: the format is recognized."""
    read: dict[str, str | int | bool] = {}
    """Options of the reader, such as `on_bad_box = "skip"` or `zero_based = true`."""
    on_bad_image: Literal["error", "skip"] = "error"
    """`skip`: images that cannot be decoded are left out, in training and evaluation alike, counted and listed."""
    resize: Literal["stretch", "crop"] = "stretch"
    """`stretch`: to size_hw, whatever the aspect. `crop`: shorter side to 8/7 of size_hw, then the center."""


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
            raise ValueError(f"`deformable` is for detectors; for {self.head} name the backbone so: "
                             f"resnet50[deformable={'+'.join(self.deformable)}]")  # fmt: skip
        if list(self.deformable) != sorted(set(self.deformable)):
            raise ValueError("`deformable` are different stages, finest first, such as C3, C4, C5")
        if self.rois > self.proposals:
            raise ValueError("`rois` are chosen among `proposals`: at most as many")
        if self.rates and (len(self.rates) < 3 or list(self.rates) != sorted(set(self.rates))):
            raise ValueError("`rates` needs at least three different values, ascending")
        return self


HEADS = {"detect": ("fcos", "retinanet", "faster-rcnn"), "segment": ("pixel",), "classify": ("linear",)}
"""Heads that each kind of training can have."""


def _require_head(recipe: Recipe, kind: str) -> None:
    if recipe.head not in HEADS[kind]:
        raise ValueError(f"recipe {recipe.name!r}: head {recipe.head!r} cannot {kind}; use {' or '.join(HEADS[kind])}")


class Pretraining(Settings):
    """A pre-training made by the study itself; every seed makes its own."""

    images: Name
    """Name of the set trained on."""
    supervision: Supervision
    recipe: Recipe
    early: float | None = Field(default=None, gt=0, lt=1)
    """Keep the backbone of this fraction of the updates too: a control for unequal training."""

    @model_validator(mode="after")
    def _fits(self) -> Pretraining:
        _require_head(self.recipe, {"boxes": "detect", "labels": "classify"}[self.supervision])
        if self.recipe.lr is None:
            raise ValueError("a pre-training needs a fixed `lr`; rates are searched on tasks only")
        return self


class WeightsEntry(Settings):
    """One candidate. Exactly one of `uri` and `pretraining`."""

    name: Name
    uri: str | None = None
    """`random:NAME`, `timm:NAME`, `tv:ENUM`, `file:PATH` or the path of a weights card (TOML)."""
    pretraining: Name | None = None
    default: bool = False
    """The candidate that others are compared with: the ImageNet classifier, where there is one."""

    @model_validator(mode="after")
    def _one_source(self) -> WeightsEntry:
        if (self.uri is None) == (self.pretraining is None):
            raise ValueError("give exactly one of `uri` and `pretraining`")
        return self


class Task(Settings):
    """One task on one data set. With folds, `train`, `val` and `test` name one set per fold."""

    name: Name
    kind: TaskKind
    train: tuple[Name, ...]
    val: tuple[Name, ...] = ()
    """Needed when rates are searched; for probes the validation images are split off `train` where empty."""
    test: tuple[Name, ...]
    recipe: Recipe | None = None
    """None for probes only."""
    only: tuple[Name, ...] = ()
    """Candidates that this task is run for; empty: all."""
    limit: int | None = Field(default=None, gt=0)
    """Train on `limit` images of each training set only: the first that are drawn; of a folder a stratified part, which
    holds the part of every smaller limit (`headstart.data.subsets.nested_order`)."""
    protocol: Literal["voc07-11pt", "voc-area", "coco"] = "voc-area"
    """How detections are scored."""

    @model_validator(mode="after")
    def _fits(self) -> Task:
        if (self.recipe is None) != (self.kind == "probe"):
            raise ValueError("probes take no recipe; every other task needs one")
        if self.recipe:
            _require_head(self.recipe, self.kind)
        if len(self.train) != len(self.test) or (self.val and len(self.val) != len(self.train)):
            raise ValueError("train, val and test need one set per fold each")
        if self.recipe and self.recipe.rates and not self.val:
            raise ValueError("a search over rates needs validation sets (`val`)")
        return self


class Explain(Settings):
    """Which two candidates to explain, and on which images."""

    boxes: Name
    """Name of the weights in the role of detection pre-training."""
    labels: Name
    """Name of the weights in the role of classification pre-training."""
    random: Name | None = None
    """Control: random weights."""
    images: Name
    """Set for neighbors, activations and composition; not trained on by any arm."""
    statistics: Name
    """Set whose images give the per-channel statistics (other images than `images`)."""
    probe: Name | None = None
    """Task (kind `probe`) whose log-loss the composition analysis reads; its test set must be `images`."""


class Study(Settings):
    """A whole study."""

    name: Name
    title: str = ""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    """Different numbers; each makes its own pre-trainings, heads and orders of images."""
    backbone: str | None = None
    """Backbone of the study's own pre-trainings (a built-in name or `file.py:function`)."""
    threads: int = Field(default=1, ge=1)
    """Threads of each job. Part of every key: another number gives other last bits."""
    bootstrap: int = Field(default=1000, ge=100)
    """Resamples of the test images."""
    margin: float = Field(default=0.01, ge=0)
    """Practical margin: differences below it do not matter to the user (1 point)."""
    sets: dict[Name, WorldSet | FolderSet]
    pretraining: dict[Name, Pretraining] = {}
    weights: tuple[WeightsEntry, ...] = Field(min_length=1)
    tasks: tuple[Task, ...] = Field(min_length=1)
    explain: Explain | None = None

    @model_validator(mode="after")
    def _names_resolve(self) -> Study:
        faults = [
            f"pretraining.{n}: no set named {p.images!r}"
            for n, p in self.pretraining.items()
            if p.images not in self.sets
        ]
        faults += [
            f"weights.{w.name}: no pretraining named {w.pretraining!r}"
            for w in self.weights
            if w.pretraining and w.pretraining not in self.pretraining
        ]
        names_of_weights = {w.name for w in self.weights}
        for task in self.tasks:
            used = (*task.train, *task.val, *task.test)
            faults += [f"tasks.{task.name}: no set named {s!r}" for s in used if s not in self.sets]
            faults += [
                f"tasks.{task.name}.only: no weights named {n!r}" for n in task.only if n not in names_of_weights
            ]
        if len(set(self.seeds)) != len(self.seeds):
            faults.append("seeds: a seed stands twice; it would be counted as an independent repetition")
        if sum(w.default for w in self.weights) > 1:
            faults.append("weights: only one can be the default")
        faults += _overlap_faults(self) + _explain_faults(self)
        for what, names in (("weights", [w.name for w in self.weights]), ("tasks", [t.name for t in self.tasks])):
            faults += [f"{what}: the name {n!r} stands twice" for n in sorted({n for n in names if names.count(n) > 1})]
        if self.pretraining and not self.backbone:
            faults.append("backbone: needed, since the study pre-trains")
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _explain_faults(study: Study) -> list[str]:
    explain = study.explain
    if explain is None:
        return []
    names = {w.name for w in study.weights}
    faults = [f"explain.{role}: no weights named {value!r}"
              for role, value in (("boxes", explain.boxes), ("labels", explain.labels), ("random", explain.random))
              if value and value not in names]  # fmt: skip
    faults += [f"explain.{role}: no set named {value!r}"
               for role, value in (("images", explain.images), ("statistics", explain.statistics))
               if value not in study.sets]  # fmt: skip
    if explain.statistics == explain.images:
        faults.append("explain.statistics: must be other images than explain.images")
    probes = {t.name: t for t in study.tasks if t.kind == "probe"}
    if explain.probe and explain.probe not in probes:
        faults.append(f"explain.probe: no probe task named {explain.probe!r}")
    elif explain.probe and probes[explain.probe].test != (explain.images,):
        faults.append(f"explain.probe: {explain.probe!r} is tested on other images than explain.images")
    return faults


def _overlap_faults(study: Study) -> list[str]:
    """Drawn sets are slices of one endless world: two that share images would train on what is tested."""
    drawn = [(name, s) for name, s in study.sets.items() if isinstance(s, WorldSet)]
    return [
        f"sets.{b}: overlaps sets.{a}; both hold image {max(x.first, y.first)} of the {x.world} world"
        for k, (a, x) in enumerate(drawn)
        for b, y in drawn[k + 1 :]
        if x.world == y.world and max(x.first, y.first) < min(x.first + x.count, y.first + y.count)
    ]


def builtin_recipes() -> Path:
    """Folder of the recipes and studies that come with the package."""
    return Path(__file__).parent / "recipes"
