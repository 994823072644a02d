"""How the authors of whole detectors train them: a file a family in `recipes/authors`, and a task's recipe with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.recipes.heads import OWN_OF_FAMILY
from headstart.recipes.schema import WholeRecipe
from headstart.texts import toml_of

MULTIPLES = (0.3, 1.0, 3.0)
"""Of the authors' rate: what `compare` tries."""

STILL = {"reestimate_batch_norm": False}
"""Norms are those of the network: most are frozen."""


def own_recipe(recipe: WholeRecipe, family: str) -> WholeRecipe:
    """A task's recipe as candidates of a family are trained by it: what it leaves to them is as their authors say."""
    if recipe.of_family:
        return recipe
    told = authors(family)
    own = {name: told[name] for name in OWN_OF_FAMILY if name in told}
    return WholeRecipe.model_validate({**recipe.model_dump(), **own, **STILL, "of_family": family})


def authors(family: str) -> dict[str, Any]:
    """What a family's file says: settings, `source`, and what of it is left out (`left_out`)."""
    return toml_of((Path(__file__).parent / "authors" / f"{family}.toml").read_text(encoding="utf-8"))
