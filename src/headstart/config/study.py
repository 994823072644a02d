"""Settings of studies and recipes, read from TOML and checked all at once.

A study is one file: sets of images, weights to compare, tasks to transfer them to, seeds. Nothing in it is
changed after it was read; the resolved copy is saved with every result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, model_validator

from headstart.config.axes import Axis, Factorial, faults_of_axes, with_axes
from headstart.config.data import DataSource, Origin, Published, data_name
from headstart.config.inference import MaskInference
from headstart.config.pretraining import Pretraining, recipe_in_full
from headstart.config.probes import FurtherProbes
from headstart.config.screening import Screening, faults_of_screening
from headstart.config.sets import AnySet, FolderSet, TableSet, WorldSet
from headstart.recipes.pretraining import PretrainingRecipe
from headstart.recipes.schema import AnyRecipe
from headstart.recipes.settings import Name, Settings


class WeightsEntry(Settings):
    """One candidate. Exactly one of `uri` and `pretraining`."""

    name: Name
    uri: str | None = None
    """`random:NAME`, `timm:NAME`, `tv:ENUM`, `file:PATH` or the path of a weights card (TOML)."""
    pretraining: Name | None = None
    start: Literal["random", "backbone", "backbone+neck", "detector"] = "backbone"
    """What a transfer copies: `backbone`; `backbone+neck`, and `detector` (all but the class layer), of weights that
    are a detector's; `random`: nothing, the same network with random values."""
    class_rows: Literal["fresh", "by-name"] = "fresh"
    """`by-name`: the class layer's rows of classes that the weights know under the same names are copied, too. Only
    with `start = "detector"`; other candidates have no such rows, so a comparison is then of more than starts."""
    times: float = Field(default=1.0, ge=1, le=100)
    """Its trainings on tasks have so many times the updates that recipes say: for an arm that starts from nothing and
    is trained until that no longer helps. It is measured, and no part of rankings: these compare one recipe."""
    megabytes: float | None = Field(default=None, gt=0)
    """Size of its file, for plans."""
    default: bool = False
    """The candidate that others are compared with: the ImageNet classifier, where there is one."""

    @model_validator(mode="after")
    def _one_source(self) -> WeightsEntry:
        if (self.uri is None) == (self.pretraining is None):
            raise ValueError("give exactly one of `uri` and `pretraining`")
        if self.class_rows != "fresh" and self.start != "detector":
            raise ValueError('`class_rows` needs `start = "detector"`')
        return self

    @property
    def made_by(self) -> str | None:
        """The pre-training whose weights it has; None where they are given, or random."""
        return None if self.start == "random" else self.pretraining


Limit = Annotated[int, Field(gt=0)] | Annotated[float, Field(gt=0, lt=1)]


class Task(Settings):
    """One task on one data set. With folds, `train`, `val` and `test` name one set per fold."""

    name: Name
    kind: Name
    """One of `headstart.tasks.table`; which there are, and what they need, is checked when the study is planned."""
    train: tuple[Name, ...]
    val: tuple[Name, ...] = ()
    """Needed when rates are searched; for probes the validation images are split off `train` where empty."""
    test: tuple[Name, ...]
    recipe: AnyRecipe | None = None
    """None for tasks that train no model, such as probes, and for those trained on images at their own sizes."""
    own_sizes: PretrainingRecipe | None = None
    """Images are trained and tested on at their own sizes, as pre-trainings see them (chips, scales), by the recipe of
    one: a built-in name, the path of a TOML file, or a whole table. Its sets are as they lie on disk."""
    changes: dict[str, Any] = Field(default={})
    """Of `own_sizes`, as those of a pre-training."""
    only: tuple[Name, ...] = ()
    """Candidates that this task is run for; empty: all."""
    limit: Limit | None = None
    """Train on so many images of each training set only, or below 1 on a share of them: a stratified part, another one
    for each seed, which holds the seed's part of every smaller limit (`headstart.batches.training_part`)."""
    most_updates: int | None = Field(default=None, gt=0)
    """Training goes on, for as many updates again each time, while a candidate is still moving on held-out images, for
    so many updates at most; all candidates and seeds are trained for as long. All seeds are asked, or in an adaptive
    study the first. None: the recipe's updates are what there is."""
    least_updates: int | None = Field(default=None, gt=0)
    """Training goes on for so many updates in any case, and a candidate is still moving, too, while its held-out score
    at the end gained more than a tenth of itself with the last doubling of its updates. Rates fall to 0 at the end of a
    training of any length, so one length alone cannot tell whether it was enough."""
    protocol: Literal["voc07-11pt", "voc-area", "coco"] = "voc-area"
    """How detections are scored."""
    further: FurtherProbes | None = None
    """Of a probe: other classifiers, every stage, few images of each class."""
    inference: MaskInference | None = None
    """Of segmentation: how test images are looked at; None: each once, whole. Held-out images always are."""

    @model_validator(mode="before")
    @classmethod
    def _recipe_in_full(cls, values: Any, info: ValidationInfo) -> Any:
        return values if not isinstance(values, dict) else recipe_in_full(values, "own_sizes", info)

    @property
    def is_trained(self) -> bool:
        """Whether models are trained; else it is a probe."""
        return self.recipe is not None or self.own_sizes is not None

    def trains_both(self, explain: Explain) -> bool:
        """Whether it is run for both candidates that are explained: else it tells nothing of their difference."""
        return not self.only or {explain.boxes, explain.labels} <= set(self.only)

    @model_validator(mode="after")
    def _fits(self) -> Task:
        if self.own_sizes is not None:
            if self.recipe is not None or self.val or self.limit or self.most_updates or len(self.train) != 1:
                raise ValueError("`own_sizes` stands alone: no `recipe`, `val`, `limit`, `most_updates`, and one fold")
            if self.own_sizes.supervision != "boxes" or self.own_sizes.sampling.layout == "fixed":
                raise ValueError("`own_sizes` is a recipe that trains by boxes, on chips or whole images")
        if len(self.train) != len(self.test) or (self.val and len(self.val) != len(self.train)):
            raise ValueError("train, val and test need one set per fold each")
        if self.further and self.is_trained:
            raise ValueError("`further` is of probes, which take no recipe")
        if self.recipe and self.recipe.rates and not self.val:
            raise ValueError("a search over rates needs validation sets (`val`)")
        if self.most_updates and (self.recipe is None or self.most_updates < self.recipe.updates):
            raise ValueError("`most_updates` must be at least the updates of the task's recipe")
        if self.least_updates and self.least_updates > (self.most_updates or 0):
            raise ValueError("`least_updates` needs `most_updates`, which must be at least as many")
        return self


class Explain(Settings):
    """Which two candidates to explain, and on which images."""

    boxes: Name
    """Name of the weights in the role of detection pre-training."""
    labels: Name
    """Name of the weights in the role of classification pre-training."""
    random: Name | None = None
    """Control: random weights."""
    scratch: Name | None = None
    """Random weights that are fine-tuned to their plateau (`times`): what pre-training saves, and what it cannot be
    had without."""
    images: Name
    """Set for neighbors, activations and composition; not trained on by any arm."""
    statistics: Name
    """Set whose images give the per-channel statistics (other images than `images`)."""
    probe: Name | None = None
    """Task (kind `probe`) whose log-loss the composition analysis reads; its test set must be `images`."""
    new_classes: bool = False
    """Its classes are of no pre-training, so it is evidence of F2b beside other probes, too."""


class Why(Settings):
    """Pairs of candidates that are explained on held-out images, however they were pre-trained: neighbors, where
    features fire, and, of a task, which images each gets right. `Explain` asks the paper's findings; this asks none."""

    task: Name | None = None
    """Whose models are explained. It chooses the pair, too: the best candidate against the default one, or, where that
    is the best, against the second. None: only the weights themselves."""
    images: Name
    """Set that is explained on; of a task the images that it is tested on, in all its folds."""
    statistics: Name
    """Set that batch norms are re-estimated on and channels standardized by: one that is trained on."""
    pairs: tuple[tuple[Name, Name], ...] = ()
    """Pairs asked for by name; they take the place of the chosen one, but with `every`."""
    every: bool = False
    """All pairs of the task's candidates, the chosen one first."""


class Study(Settings):
    """A whole study."""

    name: Name
    title: str = ""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    """Different numbers; each makes its own pre-trainings, heads and orders of images, and draws its own images where
    there is a choice."""
    backbone: str | None = None
    """Backbone of the study's own pre-trainings that start at random values, in place of their recipes' (a built-in
    name or `file.py:function`)."""
    threads: int = Field(default=1, ge=1)
    """Threads of each job. Part of every key: another number gives other last bits."""
    bootstrap: int = Field(default=1000, ge=100)
    """Resamples of the test images."""
    search: Literal["each", "first", "shared"] = "each"
    """Seeds that search their own rate, where rates are searched. `first`: the first seed alone, for all; that costs
    less, and what the search found by luck is then common to all seeds. `shared`: the first seed on the first fold, for
    all seeds and folds."""
    adaptive: bool = False
    """Candidates of a task that trains are dropped once they are shown to be worse than another, and no more seeds are
    run once more would hardly change which are left: `seeds` are those at most (docs/adaptive.md)."""
    margin: float = Field(default=0.01, ge=0)
    """Practical margin: differences below it do not matter to the user (1 point)."""
    store: str | None = Field(default=None, exclude=True)
    """Folder of a store that several runs share; no part of what the study is."""
    sets: dict[Name, AnySet]
    pretraining: dict[Name, Pretraining] = Field(default={})
    weights: tuple[WeightsEntry, ...] = ()
    tasks: tuple[Task, ...] = ()
    """A study without tasks only pre-trains; every pre-training is made, whether a task needs it or not."""
    explain: Explain | None = None
    why: tuple[Why, ...] = ()
    screen: Screening | None = None
    axes: tuple[Axis, ...] = ()
    """Settings that tasks and pre-trainings are repeated along; what they add stands among these."""
    factorial: Factorial | None = None
    data: dict[Name, DataSource] = Field(default={})
    """Public data sets that its sets name (`path = "data:NAME"`)."""
    stand_ins: dict[str, Pretraining] = Field(default={})
    """By the URI of public weights, the pre-training that they stand in for: made in miniatures, where it is small."""
    sources: tuple[Origin, ...] = ()
    """Where its settings are from."""
    published: tuple[Published, ...] = ()
    """Numbers that its results stand beside."""

    @model_validator(mode="before")
    @classmethod
    def _axes_added(cls, values: Any) -> Any:
        return with_axes(values)

    @model_validator(mode="after")
    def _names_resolve(self) -> Study:
        faults = _pretraining_faults(self)
        faults += [
            f"weights.{w.name}: no pretraining named {w.pretraining!r}"
            for w in self.weights
            if w.pretraining and w.pretraining not in self.pretraining
        ]
        names_of_weights = {w.name for w in self.weights}
        for task in self.tasks:
            used = (*task.train, *task.val, *task.test)
            faults += [f"tasks.{task.name}: no set named {s!r}" for s in used if s not in self.sets]
            faults += _layout_faults(task, {name: self.sets[name] for name in used if name in self.sets})
            faults += [
                f"tasks.{task.name}.only: no weights named {n!r}" for n in task.only if n not in names_of_weights
            ]
        if len(set(self.seeds)) != len(self.seeds):
            faults.append("seeds: a seed stands twice; it would be counted as an independent repetition")
        if sum(w.default for w in self.weights) > 1:
            faults.append("weights: only one can be the default")
        if self.adaptive and self.explain:
            faults.append("adaptive: findings need all seeds of both arms; leave out `adaptive`, or [explain]")
        if self.adaptive and self.search == "each" and any(task.recipe and task.recipe.rates for task in self.tasks):
            faults.append('adaptive: seeds cannot search rates of their own then; `search = "shared"`, or "first"')
        faults += _overlap_faults(self) + _explain_faults(self) + _why_faults(self) + _naming_faults(self)
        faults += faults_of_screening(self.screen, self.sets)
        faults += faults_of_axes(self.axes, self.factorial, self.tasks, self.pretraining, weights=names_of_weights)
        for what, names in (("weights", [w.name for w in self.weights]), ("tasks", [t.name for t in self.tasks])):
            faults += [f"{what}: the name {n!r} stands twice" for n in sorted({n for n in names if names.count(n) > 1})]
        if not self.pretraining and not (self.weights and (self.tasks or self.why or self.screen)):
            faults.append("weights, tasks: a study transfers weights to tasks, or pre-trains (`[pretraining.NAME]`)")
        if bool(self.weights) != bool(self.tasks) and not (self.weights and (self.why or self.screen)):
            faults.append("weights, tasks: give both, or neither")
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _layout_faults(task: Task, sets: dict[str, WorldSet | FolderSet | TableSet]) -> list[str]:
    """Sets that are prepared where they should be as on disk, or the other way round."""
    wrong = [name for name, images in sets.items() if isinstance(images, TableSet) is (task.own_sizes is None)]
    why = (
        "is for pre-trainings; a task's set has `task`, `role` and `size_hw`, too"
        if task.own_sizes is None
        else "is brought to one size; `own_sizes` takes sets with `path` and `splits` only"
    )
    return [f"tasks.{task.name}: set {name!r} {why}" for name in wrong]


def _naming_faults(study: Study) -> list[str]:
    """Data and results that are named and are not there."""
    named = [(name, data_name(s.path)) for name, s in study.sets.items() if isinstance(s, FolderSet | TableSet)]
    faults = [
        f"sets.{name}: there is no data set named {of[0]!r} in [data]"
        for name, of in named
        if of and of[0] not in study.data
    ]
    faults += [
        f"stand_ins.{uri}: no set named {wanted.images!r}"
        for uri, wanted in study.stand_ins.items()
        if wanted.images not in study.sets
    ]
    beyond = [w.name for w in study.weights if w.start in ("backbone+neck", "detector")]
    faults += [
        f"tasks.{t.name}: `own_sizes` copies backbones only, and {', '.join(some)} would copy more: see `only`"
        for t in study.tasks
        if t.own_sizes and (some := [name for name in beyond if not t.only or name in t.only])
    ]
    tasks, weights = {t.name for t in study.tasks}, {w.name for w in study.weights}
    return faults + [
        f"published: there is no task {p.task!r} with weights {p.weights!r}"
        for p in study.published
        if p.task not in tasks or p.weights not in weights
    ]


def _pretraining_faults(study: Study) -> list[str]:
    """Sets that are not there or do not fit the layout, and starts that go round in a circle."""
    faults = []
    for name, wanted in study.pretraining.items():
        images, layout = study.sets.get(wanted.images), wanted.recipe.sampling.layout
        if images is None:
            faults.append(f"pretraining.{name}: no set named {wanted.images!r}")
        elif isinstance(images, FolderSet) and layout != "fixed":
            faults.append(
                f"pretraining.{name}: layout {layout!r} takes images as they are, and set {wanted.images!r} has them "
                "brought to one size. Name a set with `path` and `splits` only"
            )
        if isinstance(images, WorldSet | FolderSet) and wanted.validation and wanted.validation not in study.sets:
            faults.append(f"pretraining.{name}.validation: no set named {wanted.validation!r}")
        sizes = {"WorldSet": lambda s: (s.size, s.size), "FolderSet": lambda s: s.size_hw}
        size_hw = sizes.get(type(images).__name__, lambda s: None)(images)
        if layout == "fixed" and size_hw and size_hw != (wanted.recipe.sampling.size,) * 2:
            faults.append(
                f"pretraining.{name}: set {wanted.images!r} has images of {size_hw[1]} x {size_hw[0]} pixels, and "
                f"sampling.size is {wanted.recipe.sampling.size}. Make them equal"
            )
        passed, start = [name], wanted.start
        while start in study.pretraining and start not in passed:
            passed.append(start)
            start = study.pretraining[start].start
        if start in passed:
            faults.append(f"pretraining.{name}: starts from itself by way of {', '.join([*passed[1:], start])}")
    return faults


def _explain_faults(study: Study) -> list[str]:
    explain = study.explain
    if explain is None:
        return []
    names = {w.name for w in study.weights}
    faults = [
        f"explain.{role}: no weights named {value!r}"
        for role, value in (
            ("boxes", explain.boxes),
            ("labels", explain.labels),
            ("random", explain.random),
            ("scratch", explain.scratch),
        )
        if value and value not in names
    ]
    faults += [
        f"explain.{role}: no set named {value!r}"
        for role, value in (("images", explain.images), ("statistics", explain.statistics))
        if value not in study.sets
    ]
    if explain.statistics == explain.images:
        faults.append("explain.statistics: must be other images than explain.images")
    probes = {t.name: t for t in study.tasks if not t.is_trained}
    if explain.probe and explain.probe not in probes:
        faults.append(f"explain.probe: no probe task named {explain.probe!r}")
    elif explain.probe and probes[explain.probe].test != (explain.images,):
        faults.append(f"explain.probe: {explain.probe!r} is tested on other images than explain.images")
    return faults


def _why_faults(study: Study) -> list[str]:
    names, tasks = {w.name for w in study.weights}, {t.name: t for t in study.tasks}
    faults = []
    for k, why in enumerate(study.why):
        faults += [f"why.{k}: no weights named {n!r}" for n in sorted({*sum(why.pairs, ())} - names)]
        faults += [f"why.{k}: {a!r} is paired with itself" for a, b in why.pairs if a == b]
        if why.task is None and not why.pairs:
            faults.append(f"why.{k}: give a `task`, whose best candidate is explained, or `pairs`")
        if why.task is not None and why.task not in tasks:
            faults.append(f"why.{k}.task: no task named {why.task!r}")
        elif why.task is not None and tasks[why.task].own_sizes:
            faults.append(f"why.{k}.task: {why.task!r} is tested on images at their own sizes, not on prepared ones")
        for role, value in (("images", why.images), ("statistics", why.statistics)):
            images = study.sets.get(value)
            if images is None or isinstance(images, TableSet):
                faults.append(f"why.{k}.{role}: no set of prepared images named {value!r}")
    return faults


def _overlap_faults(study: Study) -> list[str]:
    """Drawn sets are slices of one endless world: two that share images would train on what is tested. Those that are
    only pre-trained on may, such as more and fewer images."""
    drawn = [(name, s) for name, s in study.sets.items() if isinstance(s, WorldSet)]
    tasks = {name for task in study.tasks for name in (*task.train, *task.val, *task.test)}
    explained = {name for why in (study.explain, *study.why) if why for name in (why.images, why.statistics)}
    only_pretraining = {wanted.images for wanted in study.pretraining.values()} - tasks - explained
    return [
        f"sets.{b}: overlaps sets.{a}; both hold image {max(x.first, y.first)} of the {x.world} world"
        for k, (a, x) in enumerate(drawn)
        for b, y in drawn[k + 1 :]
        if x.world == y.world and max(x.first, y.first) < min(x.first + x.count, y.first + y.count)
        if not only_pretraining.issuperset((a, b))
    ]


def builtin_studies_folder() -> Path:
    """Folder of the studies that come with the package."""
    return Path(__file__).parent / "builtin"
