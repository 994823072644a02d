"""How long a task is trained: while a candidate still rises on held-out images, within a budget, for all alike."""

from pathlib import Path
from typing import Any

import pytest

from headstart.config.study import Study, Task
from headstart.recipes.schema import recipe_of
from headstart.study.jobs import Job
from headstart.study.plan import Planner
from support.small_studies import DETECT, drawn

NAMES = ("boxes", "labels", "random")
BACKBONES = ("shapes-resnet", "resnet18", "resnet50")
METRIC = "det/coco/map@0.5"
FLAT = (0.30, 0.40, 0.41)
RISING = (0.10, 0.20, 0.40)


def study(most: int | None = 120, **changes: Any) -> Study:
    """Three candidates, two seeds, 30 updates at a fixed rate, `most` at most."""
    values = drawn() | {"seeds": [0, 1], "explain": None, "pretraining": {}} | changes
    values["weights"] = [{"name": name, "uri": f"random:{of}"} for name, of in zip(NAMES, BACKBONES, strict=True)]
    (task,) = values["tasks"][:1]
    values["tasks"] = [task | {"only": [], "most_updates": most, "recipe": DETECT | {"lr": 1e-3}}]
    return Study.model_validate(values)


class Trainings:
    """Finished transfers: flat from `flat_from` updates of a candidate on, rising before."""

    def __init__(self, finished: int = 10**9, **flat_from: int) -> None:
        self.flat_from, self.finished = flat_from, finished

    def __call__(self, job: Job) -> dict[str, float | None] | None:
        if job.kind != "transfer":
            return {}
        name, updates = job.label.split()[2].rstrip(","), job.settings.recipe.updates
        if updates > self.finished:
            return None
        scores = FLAT if updates >= self.flat_from[name] else RISING
        return dict(zip((f"val-1of3/{METRIC}", f"val-2of3/{METRIC}", f"val/{METRIC}"), scores, strict=True))


def planner(of: Study, **more: Any) -> Planner:
    return Planner(of, Path(), **more)


def lengths(plan) -> dict[tuple[str, int], int]:
    return {(t.weights, t.seed): t.transfers[0].settings.recipe.updates for t in plan.trials}


@pytest.mark.parametrize(
    ("flat", "updates"),
    [
        ({"boxes": 0, "labels": 0, "random": 0}, 30),
        ({"boxes": 0, "labels": 0, "random": 60}, 60),
        ({"boxes": 0, "labels": 100, "random": 60}, 120),
        ({"boxes": 0, "labels": 10**6, "random": 0}, 120),
    ],
)
def test_one_that_still_rises_makes_it_longer_for_all(flat: dict[str, int], updates: int) -> None:
    plan = planner(study()).expand(Trainings(**flat))
    assert lengths(plan) == {(name, seed): updates for name in NAMES for seed in (0, 1)}
    assert plan.hidden == 0 and plan.complete


def test_without_a_limit_the_recipe_says_it() -> None:
    plan = planner(study(None)).expand(Trainings(boxes=10**6, labels=10**6, random=10**6))
    assert set(lengths(plan).values()) == {30}


def test_the_limit_is_never_exceeded() -> None:
    plan = planner(study(119)).expand(Trainings(boxes=10**6, labels=10**6, random=10**6))
    assert set(lengths(plan).values()) == {60}


def test_the_rule_waits_for_all_seeds() -> None:
    """Nothing is finished yet: six trainings are known, their tests are hidden."""
    plan = planner(study()).expand(Trainings(finished=0, boxes=0, labels=0, random=0))
    transfers = [job for job in plan.known if job.kind == "transfer"]
    assert sorted(job.settings.seed for job in transfers) == [0, 0, 0, 1, 1, 1] and plan.trials == []
    assert plan.hidden == 6 and not plan.complete
    plan = planner(study()).expand(Trainings(finished=30, boxes=0, labels=60, random=0))
    transfers = [job for job in plan.known if job.kind == "transfer"]
    assert sorted(job.settings.recipe.updates for job in transfers) == [30] * 6 + [60] * 6
    assert plan.trials == []


def test_adaptive_studies_ask_the_first_seed() -> None:
    """Others may not be trained at all."""
    of = study(seeds=[0, 1, 2], adaptive=True, search="shared")
    transfers = [job for job in planner(of).expand(Trainings(finished=0)).known if job.kind == "transfer"]
    assert [job.settings.seed for job in transfers] == [0, 0, 0]


def seeds_that_score(*ends: float):
    """Finished transfers of `boxes` that go from .4 to these, by seed, in the last third; others are flat."""

    def lookup(job: Job) -> dict[str, float | None] | None:
        found = Trainings(boxes=0, labels=0, random=0)(job)
        is_first = job.kind == "transfer" and job.settings.recipe.updates == 30 and "from boxes" in job.label
        return found and found | {f"val/{METRIC}": ends[job.settings.seed]} if is_first else found

    return lookup


@pytest.mark.parametrize(
    ("ends", "updates"),
    [
        ((0.50, 0.50), 60),
        ((0.41, 0.60), 30),  # two seeds that disagree: no more than noise
        ((0.50, 0.40), 30),  # nor where the first one alone would rise
    ],
)
def test_a_rise_that_seeds_do_not_share_is_noise(ends: tuple[float, float], updates: int) -> None:
    assert set(lengths(planner(study()).expand(seeds_that_score(*ends))).values()) == {updates}


def test_nobody_waits_for_a_candidate_that_failed() -> None:
    of = study()
    made = planner(of)

    def lookup(job: Job) -> dict[str, float | None] | None:
        return None if job.label.startswith("find from labels") else Trainings(boxes=0, random=0)(job)

    waiting = made.expand(lookup)
    assert waiting.trials == []
    made.failed = {job.key for job in waiting.known if job.label.startswith("find from labels")}
    plan = made.expand(lookup)
    assert {name for name, _ in lengths(plan)} == set(NAMES)  # the lost one is planned still, and stays not done
    assert set(lengths(plan).values()) == {30} and not plan.complete


def test_nobody_waits_for_a_search_that_failed() -> None:
    of = study()
    recipe = DETECT | {"rates": [1e-3, 3e-3, 9e-3]}
    of = of.model_copy(update={"tasks": (of.tasks[0].model_copy(update={"recipe": recipe_of(recipe)}),)})
    made = planner(of)

    def lookup(job: Job) -> dict[str, float | None] | None:
        if job.label.startswith("find from labels"):
            return None
        found = Trainings(boxes=0, random=0)(job)
        return found and found | {"val/det/coco/map@0.5": 0.41 - abs(job.settings.recipe.lr - 3e-3)}

    waiting = made.expand(lookup)
    assert waiting.trials == []
    made.failed = {job.key for job in waiting.known if job.label.startswith("find from labels, seed 0, rate 0.009")}
    assert len(made.failed) == 1
    assert {name for name, _ in lengths(made.expand(lookup))} == {"boxes", "random"}


def test_extending_goes_on_from_there() -> None:
    plan = planner(study(), extended={"find": 1}).expand(Trainings(boxes=0, labels=60, random=0))
    assert set(lengths(plan).values()) == {120}


def test_the_limit_is_not_below_the_recipe() -> None:
    with pytest.raises(ValueError, match="`most_updates` must be at least the updates of the task's recipe"):
        study(29)


def least(updates: int, most: int | None = 120) -> Study:
    """As `study`, trained for so many updates in any case."""
    of = study(most)
    return of.model_copy(update={"tasks": (of.tasks[0].model_copy(update={"least_updates": updates}),)})


class Gaining:
    """Finished transfers that are flat within themselves, and end at a score that depends on their updates."""

    def __init__(self, **ends: dict[int, float]) -> None:
        self.ends = ends

    def __call__(self, job: Job) -> dict[str, float | None] | None:
        if job.kind != "transfer":
            return {}
        end = self.ends[job.label.split()[2].rstrip(",")][job.settings.recipe.updates]
        return {f"{part}/{METRIC}": end for part in ("val-1of3", "val-2of3", "val")}


@pytest.mark.parametrize(
    ("ends", "updates"),
    [
        ({30: 0.40, 60: 0.40, 120: 0.40}, 60),
        ({30: 0.40, 60: 0.44, 120: 0.50}, 60),  # 9 % of itself
        ({30: 0.40, 60: 0.45, 120: 0.50}, 120),  # 11 %
        ({30: 0.001, 60: 0.004, 120: 0.5}, 60),  # below the margin of a point
    ],
)
def test_a_length_is_enough_when_twice_as_long_was_hardly_better(ends: dict[int, float], updates: int) -> None:
    flat = {30: 0.40, 60: 0.41, 120: 0.41}
    plan = planner(least(60)).expand(Gaining(boxes=flat, labels=ends, random=flat))
    assert set(lengths(plan).values()) == {updates}
    assert set(lengths(planner(study()).expand(Gaining(boxes=flat, labels=ends, random=flat))).values()) == {30}


def test_at_least_so_many_updates_need_a_limit_above_them() -> None:
    for most in (None, 60):
        values = study(most).tasks[0].model_dump() | {"least_updates": 61}
        with pytest.raises(ValueError, match="`least_updates` needs `most_updates`, which must be at least as many"):
            Task.model_validate(values)
