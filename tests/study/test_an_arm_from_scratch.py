"""Weights that are trained for longer than recipes say: what is planned for them."""

from __future__ import annotations

import pytest

from headstart.config.study import Study
from headstart.study.files import load_study
from headstart.study.jobs import Job
from support.small_studies import drawn, planner


def everything(job: Job) -> dict[str, float | None]:
    """All is done, and the middle rate is the best."""
    return {"val/det/coco/map@0.5:0.95": -abs(job.settings.recipe.lr - 3e-3)} if job.kind == "transfer" else {}


def test_an_arm_from_nothing_is_trained_for_longer() -> None:
    values = drawn()
    values["weights"].append({"name": "scratch", "uri": "random:shapes-resnet", "times": 2.5})
    values["explain"]["scratch"] = "scratch"
    values["tasks"][0]["only"] = ["boxes", "scratch"]
    trials = {t.weights: t for t in planner(values).expand(everything).trials if t.task == "find"}
    assert {name: t.transfers[0].settings.recipe.updates for name, t in trials.items()} == {"boxes": 30, "scratch": 75}
    assert trials["scratch"].transfers[0].cost == pytest.approx(2.5 * trials["boxes"].transfers[0].cost)
    with pytest.raises(ValueError, match=r"explain\.scratch: no weights named 'nothing'"):
        Study.model_validate(values | {"explain": values["explain"] | {"scratch": "nothing"}})


def test_shapes_full_is_shapes_with_more_arms_seeds_and_images() -> None:
    """Its boxes arm and its dose arm differ in what they are told alone."""
    (small, _), (full, _) = load_study("shapes"), load_study("shapes-full")
    assert small.sets.items() <= full.sets.items() and full.seeds[:3] == small.seeds and len(full.seeds) == 5
    assert full.pretraining["labels"] == small.pretraining["labels"]
    assert full.pretraining["labels-boxes"] == small.pretraining["boxes"]
    longer = {task.name: task.model_copy(update={"most_updates": None, "only": ()}) for task in full.tasks}
    assert all(longer.pop(task.name) == task for task in small.tasks) and [*longer] == ["detect-gray"]
    boxes, dose = full.pretraining["labels-boxes"].recipe, full.pretraining["labels-labels"].recipe
    assert boxes.epochs == dose.epochs and boxes.training.lr == dose.training.lr
    assert (boxes.training.batch_size, boxes.sampling) == (dose.training.batch_size, dose.sampling)
    assert {w.name: w.times for w in full.weights if w.times > 1} == {"scratch": 3}


def test_shapes_full_asks_how_much_its_own_choices_matter() -> None:
    """The weight of classes in the detector that pre-trains, and a world whose parts have no colors."""
    (full, _) = load_study("shapes-full")
    arms = {name: full.pretraining[name].recipe.model_dump(mode="json") for name in full.pretraining}
    assert arms["labels-boxes"]["training"].get("class_weight", 4) == 4
    for weight in (1.0, 2.0):
        arm = arms[f"labels-boxes-w{weight:g}"]
        assert arm["training"].pop("class_weight") == weight and arm == arms["labels-boxes"]
    gray = {task.name: (task.only, full.sets[task.train[0]].world) for task in full.tasks}["detect-gray"]
    assert gray == (("labels-gray", "labels-boxes-gray"), "novel-gray")
    assert full.pretraining["labels-gray"].images == "pretraining-gray"
    assert full.sets["pretraining-gray"].world == "base-gray"
