"""Whole detectors among candidates: each has its authors' recipe, and does nothing but detect."""

from __future__ import annotations

from headstart.config.study import Task
from headstart.errors import StudyError
from headstart.models.whole.families import split_whole
from headstart.recipes.schema import Recipe, WholeRecipe
from headstart.recipes.whole_recipes import own_recipe


def recipe_of_candidate(task: Task, name: str, backbone: str) -> Recipe:
    """The task's recipe as a candidate is trained by it. Raises StudyError where one of them is a whole detector, or of
    one, and the other is not."""
    recipe, whole = task.recipe, split_whole(backbone)
    assert recipe
    if isinstance(recipe, WholeRecipe):
        if whole is None:
            raise StudyError(
                f"tasks.{task.name}: recipe {recipe.name!r} trains whole detectors, and {name} is none. Give its "
                "weights as hf:ORG/NAME#whole, or name the task's candidates with `only`"
            )
        return own_recipe(recipe, whole.family.name)
    if whole:
        raise StudyError(
            f"tasks.{task.name}: {name} is a whole detector, which recipe {recipe.name!r} cannot train "
            f'(head {recipe.head!r}). Give a task with head = "whole", or name the task\'s candidates with `only`'
        )
    return recipe


def require_backbone(name: str, backbone: str) -> None:
    """Raises StudyError for a whole detector, where features of a backbone are asked for."""
    if split_whole(backbone):
        raise StudyError(
            f"{name} is a whole detector, and is compared by detection only: no probes, no explanations. Name the "
            "candidates of other tasks with `only`, or give its file without #whole"
        )
