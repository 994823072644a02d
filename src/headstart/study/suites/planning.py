"""One study over many data sets: the same candidates, one task, a task of the study for each set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headstart.config.study import Study, Task
from headstart.data.splits import DEFAULT_FOLDS, assign, has_test
from headstart.errors import DataError, StudyError, UsageError
from headstart.readers.suites import SuiteSet
from headstart.recipes.schema import Recipe
from headstart.study.compare import comparison
from headstart.tasks.protocol import Budget
from headstart.tasks.table import trained_task, trained_tasks
from headstart.weights.cards import WeightsSpec
from headstart.weights.detectors.facts import DetectorFacts
from headstart.weights.starts import StartKind

GROWS = ("sets", "tasks", "weights", "seeds")
"""Parts of a suite's study that may get more."""
LONGEST_NAME = 28
"""Of a set within a study, where it stands in the names of its parts, too."""


@dataclass(frozen=True)
class LeftOut:
    """A data set of the suite that is not in the study, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Suite:
    """The study of a suite. sets: name of the task -> name of the data set, as its folder is called."""

    study: Study
    sets: dict[str, str]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Fixed:
    """One training for every candidate, in place of a search, of lengths that follow the data, and of the size that the
    budget gives. None: as usual."""

    updates: int | None = None
    rate: float | None = None
    protocol: str | None = None
    size_hw: tuple[int, int] | None = None


def choose_kind(sets: Sequence[SuiteSet], wanted: str | None) -> str:
    """The task asked for, or the one that most data sets serve. Raises UsageError where none does."""
    if wanted is not None:
        return trained_task(wanted).kind
    served = {
        kind: sum(s.table is not None and task.target in s.table.tasks for s in sets)
        for kind, task in trained_tasks().items()
    }
    best = max(served, key=lambda kind: served[kind])
    if not served[best]:
        raise UsageError("no data set of the suite can be trained on: headstart check DIR/SET says what is wrong.")
    return best


def suite_study(
    name: str,
    sets: Sequence[SuiteSet],
    candidates: list[tuple[str, WeightsSpec]],
    kind: str,
    *,
    root: str,
    budget: Budget,
    seeds: int | None,
    fixed: Fixed,
    reading: dict[str, Any],
    starts: Sequence[StartKind] = (),
    detector: DetectorFacts | None = None,
) -> Suite:
    """A study with a task for every data set that serves `kind`; the others are named with the reason.

    root: absolute path of the suite. candidates and what follows: as in `headstart.study.compare.comparison`. Raises
    UsageError where fewer than two sets are left: how differences vary from set to set cannot be told from one.
    """
    names = short_names([s.name for s in sets])
    told: dict[str, Any] = {"budget": budget, "seeds": seeds, "starts": starts, "detector": detector}
    parts: dict[str, Study] = {}
    left_out: list[LeftOut] = []
    for short, one in zip(names, sets, strict=True):
        try:
            parts[short] = _part(one, candidates, kind, root=root, reading=reading, **told)
        except (DataError, UsageError, StudyError) as fault:
            left_out.append(LeftOut(one.name, str(fault)))
    if len(parts) < 2:
        why = "; ".join(f"{o.name}: {o.why}" for o in left_out[:3])
        raise UsageError(
            f"{root}: a suite needs two data sets that can be used for {kind!r}. Left out: {why or 'none'}"
        )
    first = next(iter(parts.values()))
    prefixed = [_prefixed(short, part, fixed) for short, part in parts.items()]
    study = first.model_copy(
        update={
            "name": re.sub(r"[^A-Za-z0-9_.+-]+", "-", f"suite-{name}").strip("-.")[:60],
            "title": f"Starting weights over the data sets of {name}",
            "sets": {key: value for sets_of, _ in prefixed for key, value in sets_of.items()},
            "tasks": tuple(task for _, task in prefixed),
        }
    )
    known = dict(zip(names, (s.name for s in sets), strict=True))
    return Suite(Study.model_validate(study.model_dump()), {n: known[n] for n in parts}, tuple(left_out))


def _part(
    one: SuiteSet,
    candidates: list[tuple[str, WeightsSpec]],
    kind: str,
    *,
    root: str,
    reading: dict[str, Any],
    **told: Any,
) -> Study:
    """The comparison on one data set. Raises DataError, UsageError, StudyError with why it cannot be."""
    target = trained_task(kind).target
    if one.table is None:
        raise DataError(one.fault)
    if target not in one.table.tasks:
        raise UsageError(f"its annotations serve {', '.join(one.table.tasks) or 'no task'}, not {kind}")
    assign(one.table, target, 0 if has_test(one.table, target) else DEFAULT_FOLDS)
    place = f"{root}/{one.name}"
    return comparison(place, one.table, candidates, [kind], reading=reading, explain="no", **told)


def _prefixed(short: str, part: Study, fixed: Fixed) -> tuple[dict[str, Any], Task]:
    """Sets and the trained task of one comparison, under names of their own; probes stay out of a suite."""
    task = next(t for t in part.tasks if t.recipe is not None)
    used = {*task.train, *task.val, *task.test}
    renamed = {role: tuple(f"{short}.{name}" for name in getattr(task, role)) for role in ("train", "val", "test")}
    changes: dict[str, Any] = {"name": short, **renamed}
    assert task.recipe
    if fixed.updates or fixed.rate:
        changes["recipe"] = _fixed(task.recipe, fixed)
    if fixed.updates:
        changes |= {"most_updates": None, "least_updates": None}
    if fixed.protocol:
        changes["protocol"] = fixed.protocol
    sized = {"size_hw": fixed.size_hw} if fixed.size_hw else {}
    sets = {f"{short}.{name}": value.model_copy(update=sized) for name, value in part.sets.items() if name in used}
    return sets, task.model_copy(update=changes)


def _fixed(recipe: Recipe, fixed: Fixed) -> Recipe:
    changes: dict[str, Any] = {"updates": fixed.updates or recipe.updates}
    if fixed.rate:
        changes |= {"lr": fixed.rate, "rates": (), "name": f"{recipe.name[:46]}-fixed-lr"}
    return recipe.model_copy(update=changes)


def short_names(names: Sequence[str]) -> list[str]:
    """Names that a study can have, each its own: `-grccs`, `dice/mediumColor/export` are folders, too."""
    cleaned = [re.sub(r"[^A-Za-z0-9_+]+", "-", n).strip("-_+")[-LONGEST_NAME:].lstrip("-_+") or "set" for n in names]
    seen: dict[str, int] = {}
    out = []
    for name in cleaned:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return out


def extends(there: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the settings `wanted` of a study hold all that those `there` hold, unchanged: only more tasks, sets,
    weights or seeds."""
    if any(wanted["sets"].get(name) != value for name, value in there["sets"].items()):
        return False
    for part in ("tasks", "weights"):
        now = {entry["name"]: entry for entry in wanted[part]}
        if any(now.get(entry["name"]) != entry for entry in there[part]):
            return False
    if not {*there["seeds"]} <= {*wanted["seeds"]}:
        return False
    return all(there.get(key) == value for key, value in wanted.items() if key not in GROWS)
