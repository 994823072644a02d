"""From a data set and some weights to a study: sizes, splits, recipes and rates, the same for every candidate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from headstart.config.axes import Axis
from headstart.config.probes import FurtherProbes
from headstart.config.screening import Screening
from headstart.config.sets import FolderSet
from headstart.config.study import Study, Task, WeightsEntry, Why
from headstart.data.annotations import Annotations
from headstart.data.splits import has_test
from headstart.errors import UsageError
from headstart.places.fitting import Resize
from headstart.study.planning.sizing import AS_USUAL, Sizing
from headstart.study.planning.whole_candidates import (
    WHOLE,
    others,
    pixels_of,
    require_detection,
    whole_entries,
    whole_recipe,
)
from headstart.tasks.protocol import Budget, TrainedTask
from headstart.tasks.table import TASKS, trained_task, trained_tasks
from headstart.weights.cards import WeightsSpec
from headstart.weights.detectors.facts import DetectorFacts, facts_of
from headstart.weights.starts import BEYOND, StartKind

FOLDS = 3
SHARES = (0.25, 0.5)
"""Of the data, beside all of them."""
LONGEST = 4
"""Times the updates that a task begins with: what training at most comes to while held-out scores still rise."""


@dataclass(frozen=True)
class Effort:
    """What a budget buys. Never an unfair search: only fewer updates, smaller images, fewer seeds, one search for all
    seeds. Of seeds it is how many at most, unless everything is run."""

    seeds: int
    pixels: int
    """Area of the input, for tasks that have no size of their own."""
    search: Literal["each", "first"]
    """Which seeds search their rate, where everything is run."""


EFFORTS: dict[Budget, Effort] = {
    "quick": Effort(seeds=3, pixels=320 * 240, search="first"),
    "normal": Effort(seeds=5, pixels=512 * 384, search="each"),
}
"""Beside them the updates, which each task has for either (`headstart.tasks.protocol.TrainedTask.updates`)."""


def comparison(
    data: str | Path,
    annotations: Annotations,
    candidates: list[tuple[str, WeightsSpec]],
    tasks: list[str],
    *,
    budget: Budget,
    seeds: int | None,
    reading: dict[str, Any] | None = None,
    explain: Literal["best", "all", "no"] = "best",
    starts: Sequence[StartKind] = (),
    detector: DetectorFacts | None = None,
    full: bool = True,
    probes: bool = False,
    curve: bool = False,
    sizing: Sizing = AS_USUAL,
) -> Study:
    """The study that `headstart compare` writes and runs. data: absolute path or URL. candidates: (uri with
    absolute paths, its facts).

    reading: how the data are read, as fields of `FolderSet`: format, read, on_bad_image. explain: which pairs of
    candidates are explained for every task, see `headstart.config.study.Why`. starts: of each candidate; none:
    backbones. detector: that all of detection's trainings have, where candidates start from more than a backbone.
    Whole detectors have a task of their own (`headstart.study.planning.whole_candidates`), and are not explained.
    full: train every candidate with every seed, each fold with its own search; else the study is adaptive, the rate of
    a candidate is searched once, and trainings begin at half the updates (docs/adaptive.md). probes: frozen features
    are probed further (docs/probes.md). curve: every training is repeated on a quarter and a half of the data
    (docs/axes.md). sizing: what images are brought to. Raises UsageError where no task is classification, and for a
    `sizing` that does not fit a task.
    """
    effort, name = EFFORTS[budget], PurePosixPath(str(data)).name
    sets: dict[str, FolderSet] = {}
    made: list[Task] = []
    entries, specs = _entries(candidates, starts), [spec for _, spec in candidates]
    for kind in tasks:
        task = trained_task(kind)
        sized = sizing.of(task, annotations, specs, effort.pixels)
        made += _tasks_of(task, data, annotations, budget, sets=sets, reading=reading or {}, full=full, sized=sized)
    if probes:
        made = _probed_further(made)
    wholes = whole_entries(entries, specs)
    require_detection(tasks, wholes)
    made = others(made, entries, wholes)
    if detector:
        backbones = tuple(e.name for e in entries if e.start not in BEYOND and e.name not in wholes)
        fitted = [(task, _fitted(task, detector)) for task in made]
        made = [own or task.model_copy(update={"only": backbones}) for task, own in fitted if own or len(backbones) > 1]
    why = tuple(
        Why(task=task.name, images=explained_set(task, sets), statistics=task.train[0], every=explain == "all")
        for task in (made if explain != "no" else ())
        if task.recipe
    )
    if wholes:
        detect = trained_task("detect")
        sized = sizing.of(detect, annotations, specs, pixels_of(specs))
        *_, whole = _tasks_of(
            detect, data, annotations, budget, sets=sets, reading=reading or {}, full=full, sized=sized, of=WHOLE
        )
        assert whole.recipe
        made.append(whole.model_copy(update={"recipe": whole_recipe(whole.recipe), "only": wholes}))
        sets = {name: images for name, images in sets.items() if name in _used(made) | {w.images for w in why}}
    return Study(
        name=_clean(f"compare-{name}"),
        title=f"Starting weights for {name}",
        seeds=tuple(range(seeds or effort.seeds)),
        bootstrap=1000,
        search=effort.search if full else "shared",
        adaptive=not full,
        sets=sets,  # type: ignore[arg-type]
        weights=entries,
        tasks=tuple(made),
        why=why,
        axes=tuple(Axis(task=t.name, setting="limit", values=SHARES) for t in made if curve and t.recipe),
    )


def explanation(
    data: str | Path,
    annotations: Annotations,
    candidates: list[tuple[str, WeightsSpec]],
    tasks: list[str],
    *,
    budget: Budget,
    reading: dict[str, Any] | None = None,
) -> Study:
    """The study that `headstart explain` writes and runs: nothing is trained but probes where images have labels.

    data, candidates, reading: as in `comparison`; the first two candidates are the pair.
    """
    sets: dict[str, FolderSet] = {}
    probes: list[Task] = []
    why: list[Why] = []
    entries = _entries(candidates)
    pair = (entries[0].name, entries[1].name)
    for kind in tasks:
        task = trained_task(kind)
        sized = AS_USUAL.of(task, annotations, [spec for _, spec in candidates], EFFORTS[budget].pixels)
        of_kind = _tasks_of(task, data, annotations, budget, sets=sets, reading=reading or {}, sized=sized)
        own = [t for t in of_kind if not t.recipe]
        trained = next(t for t in of_kind if t.recipe)
        images = explained_set(trained, sets)
        why.append(Why(task=own[0].name if own else None, images=images, statistics=trained.train[0], pairs=(pair,)))
        probes += own
    name = PurePosixPath(str(data)).name
    used = {n for t in probes for n in (*t.train, *t.test)} | {n for w in why for n in (w.images, w.statistics)}
    return Study(
        name=_clean(f"explain-{name}"),
        title=f"{pair[0]} and {pair[1]} on {name}",
        seeds=(0,),
        bootstrap=1000,
        sets={n: s for n, s in sets.items() if n in used},
        weights=entries,
        tasks=tuple(probes),
        why=tuple(why),
    )


def screening(
    data: str | Path,
    annotations: Annotations,
    candidates: list[tuple[str, WeightsSpec]],
    kind: Literal["classify", "detect"],
    *,
    images: int,
    budget: Budget,
    reading: dict[str, Any] | None = None,
    sizing: Sizing = AS_USUAL,
) -> Study:
    """The study that `headstart screen` writes and runs. data, candidates, reading, sizing: as in `comparison`."""
    task, name = trained_task(kind), PurePosixPath(str(data)).name
    size_hw, resize = sizing.of(task, annotations, [spec for _, spec in candidates], EFFORTS[budget].pixels)
    seen = FolderSet(path=str(data), task=kind, role="trainval", size_hw=size_hw, resize=resize, **(reading or {}))
    return Study(
        name=_clean(f"screen-{name}"),
        title=f"Weights for {name}, looked at",
        seeds=(0,),
        sets={"images": seen},
        weights=_entries(candidates),
        screen=Screening(images="images", most=images),
    )


def _entries(candidates: list[tuple[str, WeightsSpec]], starts: Sequence[StartKind] = ()) -> tuple[WeightsEntry, ...]:
    """Under names of their own; the first plain classifier that starts as a backbone is the default."""
    starts = starts or ["backbone"] * len(candidates)
    plain = [s == "backbone" and _is_plain_classifier(spec) for s, (_, spec) in zip(starts, candidates, strict=True)]
    default = plain.index(True) if True in plain else None
    names = _unique(_with_starts([spec.name for _, spec in candidates], starts))
    return tuple(
        WeightsEntry(name=name, uri=uri, default=k == default, start=start)
        for k, (name, (uri, _), start) in enumerate(zip(names, candidates, starts, strict=True))
    )


def _probed_further(tasks: list[Task]) -> list[Task]:
    """The tasks, every probe with all that is asked of frozen features."""
    if all(task.is_trained for task in tasks):
        raise UsageError(
            "--probes: no task here is classification, so there are no classes to probe for; leave it out."
        )
    return [task if task.is_trained else task.model_copy(update={"further": FurtherProbes()}) for task in tasks]


def explained_set(task: Task, sets: dict[str, FolderSet]) -> str:
    """Name of the set that holds all images which the task is tested on: its test set; of folds the set of all images,
    which is added to `sets`."""
    images = sets[task.test[0]]
    if not images.folds:
        return task.test[0]
    name = f"{task.kind}-all"
    sets[name] = images.model_copy(update={"role": "all", "fold": None})
    return name


def _with_starts(names: list[str], starts: Sequence[StartKind]) -> list[str]:
    """Names that say what is copied, where that is not the backbone or where the same weights start in several ways."""
    pairs = list(zip(names, starts, strict=True))
    several = {name for name, start in pairs if any(n == name and s != start for n, s in pairs)}
    return [
        f"{name[:45]}-{start.replace('backbone+', '')}" if start != "backbone" or name in several else name
        for name, start in pairs
    ]


def _fitted(task: Task, detector: DetectorFacts) -> Task | None:
    """The task with a recipe of the same length, for this detector; None for tasks that train none."""
    if task.recipe is None or facts_of(task.recipe) is None:
        return None
    kept = task.recipe.model_dump(include={"name", "updates", "batch_size", "rates", "precision"})
    return task.model_copy(update={"recipe": detector.recipe(**kept)})


def choose_tasks(annotations: Annotations, wanted: str | None) -> list[str]:
    """The task asked for, or all that the data set has annotations for. Raises UsageError."""
    able = [kind for kind, task in trained_tasks().items() if task.target in annotations.tasks]
    if wanted is None:
        return able
    trained_task(wanted)
    if wanted not in able:
        raise UsageError(
            f"{annotations.root}: cannot be used for {wanted!r}; its annotations ({annotations.format}) serve "
            f"{', '.join(able) or 'no task'}. Choose one of these with --task."
        )
    return [wanted]


def _tasks_of(
    task: TrainedTask,
    data: str | Path,
    annotations: Annotations,
    budget: Budget,
    *,
    sets: dict[str, FolderSet],
    reading: dict[str, Any],
    sized: tuple[tuple[int, int], Resize],
    full: bool = True,
    of: str = "",
) -> list[Task]:
    """The task, and before it the probes of what it tells apart. sized: what its images are brought to, and how; of:
    the end of its name, and of those of its sets."""
    probes = [p for p in TASKS.values() if not isinstance(p, TrainedTask) and p.target == task.target]
    folds = 0 if has_test(annotations, task.target) else FOLDS
    size_hw, resize = sized
    kind = f"{task.kind}-{of}" if of else task.kind
    names: dict[str, tuple[str, ...]] = {}
    for role in ("train", "val", "test", *(("trainval",) if probes else ())):
        names[role] = tuple(f"{kind}-{role}" + (f"-{k + 1}" if folds else "") for k in range(folds or 1))
        for k, name in enumerate(names[role]):
            sets[name] = FolderSet(
                path=str(data),
                task=task.target,
                role=role,
                fold=k if folds else None,
                folds=folds,
                size_hw=size_hw,
                resize=resize,
                **reading,
            )
    updates = task.updates[budget]
    recipe = task.recipe_for(updates if full else max(1, updates // 2), f"{task.kind}-{budget}")
    recipe = recipe.model_copy(update={"precision": "auto"})  # a CPU with bf16 trains in half to two thirds of the time
    return [
        *(
            Task(name=f"{task.kind}-{probe.kind}", kind=probe.kind, train=names["trainval"], test=names["test"])
            for probe in probes
        ),
        Task(
            name=f"{kind}-finetune" if probes else kind,
            kind=task.kind,
            recipe=recipe,
            least_updates=min(2 * recipe.updates, LONGEST * updates),
            most_updates=LONGEST * updates,
            train=names["train"],
            val=names["val"],
            test=names["test"],
        ),
    ]


def _used(tasks: Sequence[Task]) -> set[str]:
    """Names of their sets."""
    return {name for task in tasks for name in (*task.train, *task.val, *task.test)}


def _is_plain_classifier(spec: WeightsSpec) -> bool:
    """Trained on ImageNet labels and on nothing after: what people start from today."""
    return len(spec.lineage) == 1 and "imagenet" in spec.lineage[0].lower() and "label" in spec.lineage[0].lower()


def _clean(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", name).strip("-.")[:60] or "unnamed"


def _unique(names: list[str]) -> list[str]:
    """The names in order; those that stand more than once are numbered."""
    cleaned = [_clean(n)[:56] for n in names]
    numbered = [n if cleaned.count(n) == 1 else f"{n}-{cleaned[: k + 1].count(n)}" for k, n in enumerate(cleaned)]
    return numbered if len(set(numbered)) == len(numbered) else [f"{k}-{n}" for k, n in enumerate(cleaned, 1)]
