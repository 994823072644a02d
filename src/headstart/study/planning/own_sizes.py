"""Jobs of tasks that are trained and tested on images at their own sizes, as pre-trainings see them."""

from __future__ import annotations

from headstart.config.pretraining import Pretraining
from headstart.config.sets import TableSet
from headstart.config.study import Study, Task, WeightsEntry
from headstart.study.jobs import Job, Trial
from headstart.study.origins import PIXELS_PER_SECOND, Begin, Origins, pixels_of
from headstart.study.settings import WholeTestSettings


def own_sizes_trial(origins: Origins, task: Task, entry: WeightsEntry, seed: int, *, begin: Begin) -> Trial:
    """The trial of one candidate; begin: where its training starts."""
    recipe = task.own_sizes
    assert recipe
    longer = recipe.model_copy(update={"epochs": recipe.epochs * entry.times})
    wanted = Pretraining.model_construct(
        images=task.train[0], recipe=longer, supervision=recipe.supervision, validation="", proposals="",
        on_empty_class="error", early=None, noise=0.0, processes=1, loaders=None,
    )  # fmt: skip
    label = f"{task.name} from {entry.name}, seed {seed}"
    tuned = origins.trained(wanted, entry.name, seed, begin, kind="finetune", label=label)
    evaluate = whole_test(origins, task, tuned, label)
    return Trial(entry.name, task.name, seed, evaluate, transfers=(tuned,), rates=(recipe.training.lr,), at_edge=False)


def whole_test(origins: Origins, task: Task, tuned: Job, label: str) -> Job:
    """The test of a model on whole images at the scales of its recipe."""
    study: Study = origins.study
    images = study.sets[task.test[0]]
    assert isinstance(images, TableSet) and task.own_sizes
    settings = WholeTestSettings(
        data=origins.sets.annotations(images).fingerprint,
        splits=images.splits,
        protocol=task.protocol,
        bootstrap=study.bootstrap,
        threads=study.threads,
        device=origins.device,
    )
    recipe = task.own_sizes
    pixels = sum(pixels_of(scale) for scale in recipe.inference) or recipe.sampling.size**2
    cost = origins.sets.count(task.test[0]) * pixels / (3 * PIXELS_PER_SECOND)
    return Job("test_whole", settings, {"model0": tuned}, origins.sets.place(images), label=f"test {label}", cost=cost)
