"""Whole detectors in a comparison: a task of their own, in which each is trained as its authors do.

Within it architecture, recipe and input differ with the pre-training: it answers which start is the best as a product.
Which pre-training is the better one is asked by the other tasks alone, which have one architecture.
"""

from __future__ import annotations

from collections.abc import Sequence

from headstart.config.study import Task, WeightsEntry
from headstart.errors import UsageError
from headstart.models.whole.families import split_whole
from headstart.recipes.schema import Recipe, recipe_of
from headstart.recipes.whole_recipes import MULTIPLES
from headstart.weights.cards import WeightsSpec

PRODUCT = "which start, as a product"
"""What a ranking of whole detectors asks."""
NOT_PRETRAINING = (
    f"asks {PRODUCT}: network, input and the authors' recipe differ with the pre-training, so it does not say which "
    "pre-training is better"
)
WHOLE = "whole"
"""Head of its recipe, and the end of the task's name."""


def whole_entries(entries: Sequence[WeightsEntry], specs: Sequence[WeightsSpec]) -> tuple[str, ...]:
    """Names of the candidates that are whole detectors."""
    return tuple(entry.name for entry, spec in zip(entries, specs, strict=True) if split_whole(spec.backbone))


def pixels_of(specs: Sequence[WeightsSpec]) -> int:
    """Area of the largest input: images are brought to it once, and by each network to its own."""
    names = [name for spec in specs if (name := split_whole(spec.backbone))]
    return round(max(name.input.pixels for name in names))


def whole_recipe(recipe: Recipe) -> Recipe:
    """As many updates on as many images as another task's, and as many rates: multiples of the authors' own."""
    said = {"name": f"{recipe.name}-{WHOLE}", "updates": recipe.updates, "batch_size": recipe.batch_size}
    return recipe_of(said | {"rates": MULTIPLES, "head": WHOLE})


def others(tasks: Sequence[Task], entries: Sequence[WeightsEntry], wholes: Sequence[str]) -> list[Task]:
    """The tasks without whole detectors, as far as candidates are left."""
    if not wholes:
        return list(tasks)
    names = [entry.name for entry in entries]
    only = [tuple(name for name in task.only or names if name not in wholes) for task in tasks]
    return [task.model_copy(update={"only": left}) for task, left in zip(tasks, only, strict=True) if left]


def require_detection(tasks: Sequence[str], wholes: Sequence[str]) -> None:
    """Raises UsageError where whole detectors are asked to do something else."""
    if wholes and "detect" not in tasks:
        raise UsageError(
            f"{', '.join(wholes)}: whole detectors are compared by detection only; these data, or --task, are of other "
            "tasks. Give their files without #whole, as backbones"
        )
