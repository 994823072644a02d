"""Axes along which a study repeats a task or a pre-training with another value of one setting, and tables of arms.

An axis adds what it repeats: a task `detect` with `setting = "limit"` and `values = [0.25, 0.5]` becomes three, the
others `detect-limit-0.25` and `detect-limit-0.5`; a pre-training becomes several together with the weights made of it.
What was read has them all, so nothing that runs a study knows of axes; reading it again adds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator

from headstart.recipes.settings import Name, Settings

LONGEST = 60
"""Characters of a name."""


class Axis(Settings):
    """One setting and its values beside the one that the task or pre-training has itself."""

    task: Name | None = None
    pretraining: Name | None = None
    setting: str
    """Of a task `limit` (a whole number of images, or a share of them below 1), `recipe.lr`, `recipe.updates`,
    `recipe.freeze`, ..; of a pre-training `images` (another set), or a setting of its recipe, such as `epochs`."""
    values: tuple[Any, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _of_one(self) -> Axis:
        if (self.task is None) == (self.pretraining is None):
            raise ValueError("an axis is of a `task` or of a `pretraining`: give one of them")
        if len({repr(v) for v in self.values}) != len(self.values):
            raise ValueError("`values` are different ones")
        return self

    def variant(self, name: str, value: Any) -> str:
        """Name of what has this value in place of its own."""
        words = "-".join(map(str, value)) if isinstance(value, list | tuple) else f"{value}"
        told = re.sub(r"[^A-Za-z0-9_.+-]+", "-", f"{self.setting.rpartition('.')[2]}-{words or 'none'}")
        return f"{name[: LONGEST - len(told) - 1]}-{told}"


class Factorial(Settings):
    """Arms that are all pairs of the levels of two factors; effects are told against the first levels."""

    factors: tuple[Name, Name] = ("data", "supervision")
    cells: dict[Name, dict[Name, Name]]
    """Level of the first factor -> level of the second -> weights."""

    @model_validator(mode="after")
    def _whole(self) -> Factorial:
        levels = [list(row) for row in self.cells.values()]
        if len(levels) < 2 or len(levels[0]) < 2 or any(set(row) != set(levels[0]) for row in levels):
            raise ValueError("`cells` has two levels or more of each factor, and the same second ones in every row")
        names = [name for row in self.cells.values() for name in row.values()]
        if len(set(names)) != len(names):
            raise ValueError("`cells` names each of the weights once")
        return self


def faults_of_axes(
    axes: Sequence[Axis],
    factorial: Factorial | None,
    tasks: Sequence[Any],
    pretraining: Mapping[str, Any],
    *,
    weights: set[str],
) -> list[str]:
    """Names that are not there. tasks: those of the study, each with its `name`."""
    names = {task.name for task in tasks}
    faults = [
        f"axes.{k}: no task named {axis.task!r}" for k, axis in enumerate(axes) if axis.task and axis.task not in names
    ]
    faults += [
        f"axes.{k}: no pretraining named {axis.pretraining!r}"
        for k, axis in enumerate(axes)
        if axis.pretraining and axis.pretraining not in pretraining
    ]
    cells = factorial.cells if factorial else {}
    return faults + [
        f"factorial.cells.{row}.{column}: no weights named {name!r}"
        for row, of_row in cells.items()
        for column, name in of_row.items()
        if name not in weights
    ]


def with_axes(values: Any) -> Any:
    """A study's values with what its axes add; values that are not as they should be are left for others to refuse."""
    axes = values.get("axes") if isinstance(values, dict) else None
    if not isinstance(axes, list | tuple):
        return values
    made = dict(values)
    for axis in axes:
        try:
            made = _with(made, axis if isinstance(axis, Axis) else Axis.model_validate(axis))
        except ValueError:
            return values
    return made


def _with(values: dict[str, Any], axis: Axis) -> dict[str, Any]:
    if axis.task:
        tasks = list(values.get("tasks") or ())
        base = next((t for t in tasks if _get(t, "name") == axis.task), None)
        there = {_get(t, "name") for t in tasks}
        new = [(axis.variant(axis.task, v), v) for v in axis.values] if base is not None else []
        more = [_changed(base, {"name": name, axis.setting: v}) for name, v in new if name not in there]
        return values | {"tasks": [*tasks, *more]}
    assert axis.pretraining
    trainings, weights = dict(values.get("pretraining") or {}), list(values.get("weights") or ())
    base = trainings.get(axis.pretraining)
    place = "images" if axis.setting == "images" else f"changes.{axis.setting.replace('.', '/')}"
    for value in axis.values if base is not None else ():
        name = axis.variant(axis.pretraining, value)
        if name not in trainings:
            trainings[name] = _changed(base, {place: value})
            of = [w for w in weights if _get(w, "pretraining") == axis.pretraining]
            named = [(w, axis.variant(str(_get(w, "name")), value)) for w in of]
            weights += [_changed(w, {"name": n, "pretraining": name, "default": False}) for w, n in named]
    return values | {"pretraining": trainings, "weights": weights}


def _get(entry: Any, name: str) -> Any:
    return entry.get(name) if isinstance(entry, Mapping) else getattr(entry, name, None)


def _changed(entry: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a table with changes at dotted places; `/` in a place is a dot of the last key."""
    plain = entry if isinstance(entry, Mapping) else entry.model_dump(mode="python", exclude_unset=True)
    made = dict(plain)
    for place, value in changes.items():
        _put(made, place.split("."), value)
    return made


def _put(table: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    first, *rest = keys
    if rest:
        inner = dict(table.get(first) or {})
        _put(inner, rest, value)
        table[first] = inner
    else:
        table[first.replace("/", ".")] = value
