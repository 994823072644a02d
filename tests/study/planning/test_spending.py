"""Seeds of an adaptive study: who gets more is decided by jobs, and the plan follows from what they found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.config.study import Study
from headstart.progress import silent
from headstart.stats.sequential import judge
from headstart.store.arrays import save_arrays
from headstart.store.files import write_json
from headstart.study.jobs import Expansion, Job
from headstart.study.plan import Planner
from headstart.study.plan_summary import plan_summary
from headstart.study.runners.deciding import decide
from headstart.study.settings import DecideSettings
from support.small_studies import DETECT, drawn

NAMES = ("boxes", "labels", "random")
BACKBONES = ("shapes-resnet", "resnet18", "resnet50")
METRIC = "det/coco/map@0.5"
FLAT, RISING = (0.40, 0.41, 0.41), (0.1, 0.2, 0.4)


def study(**changes: Any) -> Study:
    """Three candidates, five seeds at most, a searched rate."""
    values = drawn() | {"seeds": [0, 1, 2, 3, 4], "explain": None, "pretraining": {}, "adaptive": True}
    values |= {"search": "shared"} | changes
    values["weights"] = [{"name": name, "uri": f"random:{of}"} for name, of in zip(NAMES, BACKBONES, strict=True)]
    task = values["tasks"][0] | {"only": [], "recipe": DETECT | {"rates": [1e-3, 3e-3, 9e-3]}}
    values["tasks"] = [changes.get("task", {}) | task]
    return Study.model_validate(values)


class Finished:
    """Lookup of a study whose decisions are known up to some number of seeds. dropped: seeds -> names dropped then;
    ends: seeds after which the rest is not worth running; curves: candidate -> scores of its trainings."""

    def __init__(self, upto: int, dropped: dict[int, tuple[str, ...]], ends: int = 99, **curves: tuple) -> None:
        self.upto, self.dropped, self.ends, self.curves = upto, dropped, ends, curves

    def __call__(self, job: Job) -> dict[str, float | None] | None:
        if job.kind == "transfer":
            curve = self.curves.get(job.label.split()[2].rstrip(","), FLAT)
            scores = dict(zip((f"val-1of3/{METRIC}", f"val-2of3/{METRIC}", f"val/{METRIC}"), curve, strict=True))
            return scores | {f"val/{METRIC}": curve[2] - abs(job.settings.recipe.lr - 3e-3)}
        if job.kind != "decide":
            return {}
        if job.settings.seeds > self.upto:
            return None
        names = [job.inputs[f"arm{k}_0"].label.split()[3].rstrip(",") for k in range(job.settings.arms)]
        gone = self.dropped.get(job.settings.seeds, ())
        told = {f"dropped/{k}": float(name in gone) for k, name in enumerate(names)}
        return {"best": float(names.index("boxes")), "chance": 0.01 if job.settings.seeds >= self.ends else 0.5} | told


def seeds_of(plan: Expansion) -> dict[str, int]:
    return {name: sum(t.weights == name for t in plan.trials) for name in NAMES}


def plan_of(found: Any, **changes: Any) -> Expansion:
    return Planner(study(**changes), Path()).expand(found)


def test_two_seeds_of_all_then_a_job_decides() -> None:
    plan = plan_of(Finished(0, {}))
    assert seeds_of(plan) == dict.fromkeys(NAMES, 2)
    [job] = [job for job in plan.known if job.kind == "decide"]
    assert len(job.inputs) == 6 and job in plan.ready and not plan.complete
    assert (job.settings.metric, job.settings.most, job.settings.seeds) == (METRIC, 5, 2)


@pytest.mark.parametrize(
    ("found", "seeds"),
    [
        (Finished(99, {}), (5, 5, 5)),
        (Finished(99, {2: ("random",)}), (5, 5, 2)),
        (Finished(99, {2: ("random",), 4: ("labels",)}), (4, 4, 2)),
        (Finished(99, {2: ("random",)}, ends=3), (3, 3, 2)),
        (Finished(99, {2: ("labels", "random")}), (2, 2, 2)),
        (Finished(99, {}, ends=2), (2, 2, 2)),
        (Finished(2, {2: ("random",)}), (3, 3, 2)),
    ],
)
def test_who_is_dropped_gets_no_more_seeds(found: Finished, seeds: tuple[int, ...]) -> None:
    plan = plan_of(found)
    assert tuple(seeds_of(plan).values()) == seeds
    assert plan.complete == (found.upto == 99)
    again = plan_of(found)  # a run that goes on expects the same jobs
    assert [job.key for job in again.known] == [job.key for job in plan.known]


def test_who_has_not_converged_is_not_dropped_and_is_no_reason_to_go_on() -> None:
    assert seeds_of(plan_of(Finished(99, {2: ("random",)}, random=RISING))) == dict.fromkeys(NAMES, 5)
    assert seeds_of(plan_of(Finished(99, {2: ("random",)}, ends=2, random=RISING))) == dict.fromkeys(NAMES, 2)


def test_the_rate_is_searched_once_for_all_seeds_and_folds() -> None:
    more = {name: {"world": "novel", "count": 24, "first": 100 * k, "size": 48} for k, name in enumerate("ab", 1)}
    whole = study(sets=drawn()["sets"] | more)
    folds = {"train": ("train", "a", "b"), "val": ("val",) * 3, "test": ("test",) * 3}
    task = whole.tasks[0].model_copy(update=folds)
    plan = Planner(whole.model_copy(update={"tasks": (task,)}), Path()).expand(lambda job: None)
    searched = [job for job in plan.known if job.kind == "transfer"]
    assert len(searched) == 9 and all("fold 1" in job.label and "seed 0" in job.label for job in searched)
    plan = Planner(whole.model_copy(update={"tasks": (task,)}), Path()).expand(Finished(99, {}, ends=2))
    assert {t.rates for t in plan.trials} == {(3e-3, 3e-3, 3e-3)}
    labels = {job.label for job in plan.known if job.kind == "transfer"}
    assert len(labels) == 3 * (3 + 2 * 3 - 1), "three rates, two seeds of three folds, one of which was searched"


def test_nobody_waits_for_a_candidate_that_failed() -> None:
    made = Planner(study(), Path())

    def lookup(job: Job) -> dict[str, float | None] | None:
        return None if job.label.startswith("test find from labels") else Finished(99, {2: ("random",)}, ends=2)(job)

    waiting = made.expand(lookup)
    [job] = [job for job in waiting.known if job.kind == "decide"]
    assert job.settings.arms == 3
    made.failed = {j.key for j in waiting.known if j.label == "test find from labels, seed 1"}
    plan = made.expand(lookup)
    assert [job.settings.arms for job in plan.known if job.kind == "decide"] == [2]
    assert seeds_of(plan) == dict.fromkeys(NAMES, 2) and not plan.complete


def test_a_plan_says_how_many_trainings_there_are_at_most() -> None:
    """Three candidates, five seeds; of three rates and two further ones all but the best are only searched by."""
    of = study()
    plan = plan_summary(of, Path("run"), plan_of(Finished(0, {})))
    assert plan.trainings == (15, 12)
    assert "  at most 15 trainings (a job for each length) and 12 more that search rates: after 2" in plan.text()
    assert (
        plan_summary(of.model_copy(update={"adaptive": False}), Path("run"), plan_of(Finished(0, {}))).trainings is None
    )


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match="adaptive: seeds cannot search rates of their own"):
        study(search="each")
    with pytest.raises(ValueError, match=r"adaptive: findings need all seeds of both arms"):
        study(**{"explain": drawn()["explain"] | {"probe": None}})


def decided(folder: Path) -> dict[str, float]:
    """The decision on two arms of three seeds, the second 30 points behind, in files as tests leave them."""
    rng, inputs = np.random.default_rng(0), {}
    for arm, mean in enumerate((0.7, 0.4)):
        for seed in range(3):
            inputs[f"arm{arm}_{seed}"] = where = folder / f"{arm}-{seed}"
            where.mkdir(parents=True)
            score = mean + 0.01 * rng.normal()
            write_json(where / "metrics.json", {METRIC: score})
            save_arrays(where / "replicates.npz", {METRIC: score + 0.01 * rng.normal(size=50)})
    settings = DecideSettings(METRIC, arms=2, seeds=3, most=5)
    return decide(settings, None, inputs, folder, silent)


def test_the_job_judges_what_the_tests_found(tmp_path: Path) -> None:
    found = decided(tmp_path)
    assert found == {"best": 0.0, "chance": 0.0, "dropped/0": 0.0, "dropped/1": 1.0}
    assert judge({"0": [0.7, 0.71, 0.69], "1": [0.4, 0.41, 0.39]}, dict.fromkeys("01", np.zeros((3, 4))), 5).decided
