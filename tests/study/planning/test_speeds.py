"""What was timed on this machine counts in plans; what is kept is checked; timing gives numbers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.batches.image_sets import ImageSet
from headstart.config.study import Study
from headstart.places import speeds as kept
from headstart.places.cache import cache_folder
from headstart.places.speeds import Speed
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.study.plan import Planner
from headstart.study.planning.calibrating import with_classes
from headstart.study.planning.speeds import Speeds
from headstart.tasks.table import trained_tasks
from headstart.train.devices import ON_CPU
from headstart.world.shapes import draw_set
from support.miniatures import make_pets
from support.small_studies import drawn, everything, photos
from support.small_studies import planner as planner_of

SPEED = Speed(update=0.5, image=0.25, score=0.125, measured="2026-11-30")


def planner() -> Planner:
    return Planner(Study.model_validate(drawn()), Path(), device="cpu")


def test_costs_follow_from_what_was_timed():
    before = planner()
    before.expand(everything)
    for training, found in before.speeds.asked.values():
        assert found is None
        kept.keep(training.what("cpu", 2), SPEED)
    assert {(t.task, t.pixels) for t, _ in before.speeds.asked.values()} == {
        ("detect", 64.0**2), ("classify", 64.0**2), ("detect", 48.0**2)
    }  # fmt: skip
    now = planner()
    cost = {job.label: job.cost for job in now.expand(everything).known}
    assert cost["find from boxes, seed 5, rate 0.003"] == 30 * 0.5 + 3 * 12 * 0.25, "updates; three times 12 images"
    assert cost["test find from boxes, seed 5"] == 20 * (0.25 + 0.125)
    assert cost["pre-train boxes, seed 5"] == pytest.approx(30 * 0.5), "5 epochs of 48 images in batches of 8"
    assert cost["pre-train labels, seed 5"] == pytest.approx(1.6 * 48 / 4 * 0.5)
    assert now.speeds.used == {"2026-11-30"}
    assert [j.key for j in now.expand(everything).known] == [j.key for j in before.expand(everything).known]


def test_speeds_are_of_a_device_threads_and_recipe_and_damage_is_no_speed():
    plan = planner()
    plan.expand(everything)
    training = next(t for t, _ in plan.speeds.asked.values() if t.pixels == 48.0**2)
    kept.keep(training.what("cpu", 2), SPEED)
    assert Speeds("cpu", 2).of(training) == SPEED
    assert Speeds("cuda", 2).of(training) is None and Speeds("cpu", 1).of(training) is None
    longer = training.recipe.model_copy(update={"updates": 900, "lr": 1e-4})
    larger = training.recipe.model_copy(update={"batch_size": 16})
    others = [replace(training, recipe=recipe) for recipe in (longer, larger)]
    assert [Speeds("cpu", 2).of(other) for other in others] == [SPEED, None]
    (file,) = (cache_folder() / "speeds").iterdir()
    file.write_text(file.read_text().replace("0.25", "0.35"))
    assert Speeds("cpu", 2).of(training) is None
    file.write_text(json.dumps({"digest": "", "speed": 3}))
    assert Speeds("cpu", 2).of(training) is None


@pytest.mark.slow
def test_a_training_is_timed_on_as_many_classes_as_the_data_have(tmp_path: Path) -> None:
    make_pets(tmp_path / "photos")
    of = planner_of(photos(), tmp_path)
    of.expand(everything)
    [(training, _)] = of.speeds.asked.values()
    assert training.classes == len(open_dataset(tmp_path / "photos").box_classes) > 1
    draw_set("novel", 3, 0, 64, out=tmp_path / "drawn", progress=silent)
    images = ImageSet.open(tmp_path / "drawn")
    assert with_classes(images, 0) is images
    for count in (1, 2, 30):
        changed = with_classes(images, count)
        for kind, task in trained_tasks().items():
            assert len(task.classes_of(changed)) == count, kind
        values = set(np.unique(changed.masks)) - {255}
        assert max(changed.box_labels) < count and max(values) < count and len(values) == min(count, len(values))


def test_timing_measures_updates_and_images():
    from headstart.study.planning.calibrating import calibrate

    values = drawn()
    values["pretraining"] = {}
    values["weights"] = [values["weights"][2] | {"default": True}]
    values["tasks"] = [values["tasks"][0] | {"only": []}]
    del values["explain"]
    plan = Planner(Study.model_validate(values), Path(), device="cpu")
    plan.expand(everything)
    assert calibrate(plan, ON_CPU) == 1
    (training,) = (t for t, _ in plan.speeds.asked.values())
    speed = Speeds("cpu", 2).of(training)
    assert speed and speed.update > 0 and speed.image > 0 and speed.score > 0
