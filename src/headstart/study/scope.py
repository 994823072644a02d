"""What the seeds of a study do not draw anew, so that its intervals do not hold it: said in every scope."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.config.sets import FolderSet, WorldSet
from headstart.config.study import Study, Task, WeightsEntry


def fixed_in_origins(study: Study, entries: Sequence[WeightsEntry]) -> list[str]:
    """Of the pre-trainings that these weights come from: images that are files are the same for every seed."""
    made = [study.pretraining[entry.pretraining] for entry in entries if entry.pretraining and entry.made_by]
    drawn = all(isinstance(study.sets[wanted.images], WorldSet) for wanted in made)
    return [] if drawn else ["the pre-training images"]


def fixed_in_task(study: Study, task: Task) -> list[str]:
    """Of a task: the images that it trains on where it trains on all there are (folds and draws are the seed's own),
    and a rate that is searched once."""
    sets = [study.sets[name] for name in task.train]
    dealt = any(isinstance(images, FolderSet) and images.drawn for images in sets)
    fixed = [] if dealt or task.limit is not None else ["the training images"]
    if task.recipe and task.recipe.rates and study.search != "each":
        of_fold = " on the first fold" if study.search == "shared" and len(task.train) > 1 else ""
        fixed.append(f"the rates, searched with the first seed{of_fold}")
    return fixed


def fixed_of(study: Study, task: Task | None, names: Sequence[str]) -> list[str]:
    """What all seeds of the weights of these names have in common, on a task where one is given."""
    entries = [entry for entry in study.weights if entry.name in names]
    return fixed_in_origins(study, entries) + (fixed_in_task(study, task) if task else [])


def with_fixed(scope: str, fixed: Sequence[str], seeds: int) -> str:
    """A scope that says what was held fixed; of one seed nothing varies, and the scope says so already."""
    return scope if seeds < 2 or not fixed else f"{scope}; held fixed over seeds: {', '.join(dict.fromkeys(fixed))}"
