"""What the seeds of a study draw anew, and what the scope says that they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.config.study import Study
from headstart.study.jobs import Job, as_json
from headstart.study.scope import fixed_in_origins, fixed_in_task, with_fixed
from support.drawn_layouts import as_coco, drawn_images
from support.small_studies import RATES, by_label, drawn, everything, needs, nothing, photos, planner


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("plan")
    as_coco(drawn_images(base / "drawn", 16), base / "photos")
    return base


def test_every_seed_searches_its_own_rate() -> None:
    """At seed 9 the highest is the best, and the grid grows."""

    def lookup(job: Job) -> dict[str, float | None]:
        if job.kind != "transfer" or job.settings.seed == 5:
            return everything(job)
        return {"val/det/coco/map@0.5:0.95": -abs(job.settings.recipe.lr - 9e-3)}

    values = drawn() | {"seeds": [5, 9]}
    plan = planner(values).expand(nothing)
    assert plan.hidden == 2
    others = [label.replace("seed 5", "seed 9") for label in RATES]
    assert [job.label for job in plan.known if job.kind == "transfer"] == [*RATES, *others]
    plan = planner(values).expand(lookup)
    assert [job.label for job in plan.known if job.kind == "transfer"] == [
        *RATES,
        *others,
        "find from boxes, seed 9, rate 0.027",
    ]
    assert [(t.seed, t.rates) for t in plan.trials if t.task == "find"] == [(5, (3e-3,)), (9, (9e-3,))]


def test_one_seed_may_search_for_all() -> None:
    values = drawn() | {"seeds": [5, 9], "search": "first"}
    plan = planner(values).expand(nothing)
    assert plan.hidden == 3
    assert not [job for job in plan.known if job.label.startswith("find") and "seed 9" in job.label]
    plan = planner(values).expand(everything)
    transfers = [job.label for job in plan.known if job.kind == "transfer"]
    assert transfers == [*RATES, "find from boxes, seed 9, rate 0.003"]
    assert [(t.task, t.seed) for t in plan.trials[:2]] == [("find", 5), ("find", 9)]
    assert {seed for _, seed, _ in plan.explain} == {5, 9} and len(plan.explain) == 6


def test_every_origin_draws_its_own_images() -> None:
    """Sets of tasks are the same for all seeds; a pre-training's begin a million images further on for each."""
    plan = planner(drawn() | {"seeds": [0, 2]}).expand(everything)
    drawings = {job.label: job.settings.first for job in plan.known if job.kind == "draw"}
    assert drawings == {
        "draw base": 0,
        "draw base for seed 2": 2_000_000,
        "draw train": 0,
        "draw val": 24,
        "draw test": 36,
    }
    jobs = by_label(plan)
    assert needs(jobs["pre-train boxes, seed 0"]) == {"images": "draw base"}
    assert needs(jobs["pre-train boxes, seed 2"]) == needs(jobs["pre-train labels, seed 2"])
    assert needs(jobs["pre-train boxes, seed 2"]) == {"images": "draw base for seed 2"}


def test_a_set_ends_before_the_images_of_other_origins() -> None:
    values = drawn()
    values["sets"]["base"] |= {"first": 999_960}
    with pytest.raises(ValueError, match=r"it ends at image 1,000,008; from 1,000,000 on are the images of further"):
        planner(values)


def test_scopes_say_what_seeds_do_not_draw() -> None:
    values = drawn()
    study = Study.model_validate(values)
    find, probe = study.tasks
    assert fixed_in_task(study, find) == [] and fixed_in_task(study, probe) == []
    assert fixed_in_origins(study, study.weights) == []
    values["tasks"][0]["limit"] = None
    values["search"] = "first"
    study = Study.model_validate(values)
    fixed = fixed_in_task(study, study.tasks[0])
    assert fixed == ["the training images", "the rates, searched with the first seed"]
    values["sets"]["base"] = {"path": "photos", "splits": ["train"]}
    study = Study.model_validate(values)
    assert fixed_in_origins(study, study.weights) == ["the pre-training images"]
    assert fixed_in_origins(study, study.weights[2:]) == []  # random values
    assert with_fixed("s", fixed, 3) == (
        "s; held fixed over seeds: the training images, the rates, searched with the first seed"
    )
    assert with_fixed("s", fixed, 1) == with_fixed("s", [], 3) == "s"


def test_every_seed_deals_its_own_folds_and_all_share_their_pixels(folder: Path) -> None:
    values = photos(folds=2, fold=0) | {"seeds": [0, 4]}
    plan = planner(values, folder).expand(nothing)
    jobs = by_label(plan)
    assert [job.label for job in plan.known if job.kind in ("split", "prepare")] == [
        "split the images",
        "prepare all folds",
        "split the images for seed 4",
    ]
    assert as_json(jobs["prepare all folds"].settings)["role"] == "all"
    assert needs(jobs["split the images for seed 4"]) == {"clusters": "split the images"}
    pixels = {"images": "prepare all folds"}
    assert needs(jobs["choose train"]) == pixels | {"split": "split the images"}
    assert needs(jobs["choose train, seed 4"]) == pixels | {"split": "split the images for seed 4"}
    assert as_json(jobs["choose test, seed 4"].settings) == {"role": "test", "fold": 0}
    assert {t.seed: needs(t.evaluate)["test0"] for t in plan.trials} == {0: "choose test", 4: "choose test, seed 4"}
    study = Study.model_validate(values)
    assert fixed_in_task(study, study.tasks[0]) == []
