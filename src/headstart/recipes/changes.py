"""Changes of a pre-training's recipe, from `--set KEY=VALUE` or from a study's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from headstart.errors import UsageError
from headstart.recipes.pretraining import PretrainingRecipe, checked_recipe, load_recipe
from headstart.recipes.settings import NOT_READ, Supervision
from headstart.texts import toml_of

Place = tuple[str, ...]


def changed_recipe(name: str, supervision: Supervision | None, changes: Sequence[str]) -> PretrainingRecipe:
    """The recipe of this name or file with changes, by boxes or labels (None: as the recipe does).

    Raises UsageError for unknown recipes, keys and values.
    """
    recipe = changed(load_recipe(name), changes)
    return recipe.by(supervision or recipe.supervision)


def changed(recipe: PretrainingRecipe, changes: Mapping[str, Any] | Sequence[str]) -> PretrainingRecipe:
    """The recipe with changes: values by dotted keys or in nested tables, or `KEY=VALUE` (values as in TOML, or plain
    words).

    What a change leaves without a reader goes with it: with another head the settings of the former one. Raises
    UsageError for keys and values that cannot be; its message has the changes in it.
    """
    if not changes:
        return recipe
    by_place = dict(_of_table(changes, ())) if isinstance(changes, Mapping) else dict(map(_of_text, changes))
    said = " ".join(f"{'.'.join(place)}={value}" for place, value in by_place.items())
    words = f"changes {said}" if isinstance(changes, Mapping) else f"--set {' '.join(changes)}"
    values = recipe.model_dump(mode="python", exclude_defaults=True, exclude={"expected"})
    for place, value in by_place.items():
        _put(values, place, value)
    _without_readerless(values, set(by_place))
    return checked_recipe(values, f"recipe {recipe.name} with {words}")


def _of_table(table: Mapping[str, Any], where: Place) -> Iterator[tuple[Place, Any]]:
    for key, value in table.items():
        place = (*where, *key.split("."))
        if isinstance(value, Mapping):
            yield from _of_table(value, place)
        else:
            yield place, value


def _of_text(change: str) -> tuple[Place, Any]:
    key, equals, text = change.partition("=")
    if not equals:
        raise UsageError(f"--set {change}: write KEY=VALUE, such as training.batch_size=16.")
    try:
        value = toml_of(f"value = {text}")["value"]
    except ValueError:
        value = text
    return tuple(key.strip().split(".")), value


def _put(values: dict[str, Any], place: Place, value: Any) -> None:
    *tables, last = place
    table = values
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise UsageError(f"{'.'.join(place)}={value}: {name} is a value, not a table of the recipe.")
    table[last] = value


def _without_readerless(values: dict[str, Any], changes: set[Place]) -> None:
    """Take out what the recipe had set itself and nothing reads any more."""
    while True:
        try:
            PretrainingRecipe.model_validate(values)
            return
        except ValidationError as fault:
            places = [tuple(map(str, error["loc"])) for error in fault.errors() if error["type"] == NOT_READ]
        unasked = [place for place in places if not any(p[: len(place)] == place for p in changes)]
        if not any(_take_out(values, place) for place in unasked):
            return


def _take_out(values: dict[str, Any], place: Place) -> bool:
    """Whether it was there."""
    *tables, last = place
    table: Any = values
    for name in tables:
        table = table.get(name) if isinstance(table, dict) else None
    return isinstance(table, dict) and table.pop(last, None) is not None
