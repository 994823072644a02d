"""A pre-training as a study names it: images, a recipe with changes, and where it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationInfo, model_validator

from headstart.errors import UsageError
from headstart.recipes.changes import changed
from headstart.recipes.pretraining import PretrainingRecipe, load_recipe
from headstart.recipes.settings import Name, Settings, Supervision


class Pretraining(Settings):
    """A pre-training made by the study itself; every seed makes its own."""

    images: Name
    """Name of the set trained on."""
    recipe: PretrainingRecipe
    """In a study file the name of a built-in recipe, the path of a TOML file of one (relative to the study), or the
    table of a whole one. What is stored is the recipe in full, with its changes made."""
    changes: dict[str, Any] = Field(default={})
    """Of the recipe: tables as it has them, or dotted keys such as "training.batch_size" = 16."""
    supervision: Supervision | None = None
    """None: the recipe's. `labels` for a recipe of boxes: its counterpart, which sees as many pixels."""
    start: str = ""
    """Another pre-training of this study, or a URI of weights; empty: as the recipe says, else random values."""
    validation: str | None = None
    """What checkpoints are evaluated on: a split of the same data set (None: `val` where there is one; "": none); for
    drawn or prepared images the name of another set."""
    proposals: str = ""
    """Parquet file of proposals for negative chips; empty: they are made first where the recipe wants them."""
    on_empty_class: Literal["error", "skip"] = "error"
    """Classes without examples are an error, or left out."""
    early: float | None = Field(default=None, gt=0, lt=1)
    """Keep the backbone of this fraction of the updates too: a control for unequal training."""
    noise: float = Field(default=0.0, ge=0, le=1)
    """Share of the training images that exchange their boxes and labels (`headstart.pretraining.noise`): a dial along
    which effects of the supervision must go away."""
    processes: int = Field(default=1, ge=1)
    """Processes that train together on this machine."""
    loaders: int | None = Field(default=None, ge=0)
    """Processes that make batches, for each that trains; None: by the CPUs."""

    @model_validator(mode="before")
    @classmethod
    def _recipe_in_full(cls, values: Any, info: ValidationInfo) -> Any:
        return values if not isinstance(values, dict) else recipe_in_full(values, "recipe", info)


def recipe_in_full(values: dict[str, Any], key: str, info: ValidationInfo) -> dict[str, Any]:
    """The values with the recipe that stands under `key` read, by its name or file, and with `changes` made to it.

    Raises ValueError with the faults.
    """
    if values.get(key) is None:
        return values
    base, recipe = Path((info.context or {}).get("base", ".")), values[key]
    changes, supervision = values.get("changes"), values.get("supervision")
    if not isinstance(recipe, str | dict | PretrainingRecipe):
        raise ValueError(f"`{key}` is the name of a recipe, the path of a TOML file, or a table")
    if not isinstance(changes, dict | None):
        raise ValueError('`changes` is a table of settings, such as { "training.batch_size" = 16 }')
    if supervision not in (None, *get_args(Supervision)):
        raise ValueError(f"`supervision` is {' or '.join(map(repr, get_args(Supervision)))}, not {supervision!r:.80}")
    try:
        if isinstance(recipe, str):
            file = base / recipe
            recipe = load_recipe(str(file) if recipe.endswith(".toml") else recipe)
        elif isinstance(recipe, dict):
            recipe = PretrainingRecipe.model_validate(recipe)
        if changes:
            recipe = changed(recipe, changes)
        recipe = recipe.by(supervision or recipe.supervision)
    except UsageError as fault:
        raise ValueError(str(fault)) from None
    said = {"supervision": recipe.supervision} if key == "recipe" else {}
    return {**values, key: recipe, "changes": {}, **said}
