"""Seeds of an adaptive study: who gets more is decided by jobs, and the plan follows from what they found; who cannot
win but has not converged is set aside, gets no more, and makes nothing longer."""

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
from headstart.store.store import Store
from headstart.study.answer import answer_lines
from headstart.study.extending import extend
from headstart.study.jobs import Expansion, Job
from headstart.study.plan import Planner
from headstart.study.plan_summary import plan_summary
from headstart.study.planning.spending import Trainings
from headstart.study.rankings import Ranking
from headstart.study.results import Results
from headstart.study.run import lookup
from headstart.study.runners.deciding import decide
from headstart.study.settings import DecideSettings
from support.small_studies import DETECT, drawn

NAMES = ("boxes", "labels", "random")
BACKBONES = ("shapes-resnet", "resnet18", "resnet50")
METRIC = "det/coco/map@0.5"
FLAT, RISING = (0.40, 0.41, 0.41), (0.1, 0.2, 0.4)
SLOW = (0.125, 0.137, 0.153)
"""Still rises, and three times as fast would not reach .41 within two doublings."""
LONG = {"task": {"most_updates": 120}}


def study(**changes: Any) -> Study:
    """Three candidates, five seeds at most, a searched rate."""
    values = drawn() | {"seeds": [0, 1, 2, 3, 4], "explain": None, "pretraining": {}, "adaptive": True}
    of_task = changes.pop("task", {})
    values |= {"search": "shared"} | changes
    values["weights"] = [{"name": name, "uri": f"random:{of}"} for name, of in zip(NAMES, BACKBONES, strict=True)]
    task = values["tasks"][0] | {"only": [], "recipe": DETECT | {"rates": [1e-3, 3e-3, 9e-3]}}
    values["tasks"] = [of_task | task]
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


def test_a_plan_says_how_many_trainings_there_are() -> None:
    """Three candidates, five seeds; of three rates and two further ones all but the best are only searched by."""
    of = study()
    plan = plan_summary(of, Path("run"), plan_of(Finished(0, {})))
    assert plan.trainings == Trainings(fewest=12, most=15, searching=12, tried=6), (
        "6 of the first two seeds, 6 more by rates"
    )
    assert "  12 to 27 trainings (a job for each length), searches of rates among them\n" in plan.text()
    said = plan.trainings.text(each=60, longest=4)
    minutes = "(12.0 if 2 seeds of each candidate decide, 27.0 if all are run, 72.0 if all go on to the longest)"
    assert said.endswith(f": about 19.5 CPU minutes {minutes}")
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


def lengths(plan: Expansion) -> dict[str, set[int]]:
    updates: dict[str, set[int]] = {}
    for trial in plan.trials:
        updates.setdefault(trial.weights, set()).add(trial.transfers[0].settings.recipe.updates)
    return updates


def test_it_gets_no_further_seeds_and_makes_nothing_longer() -> None:
    plan = plan_of(Finished(99, {}, random=SLOW), **LONG)
    assert seeds_of(plan) == {"boxes": 5, "labels": 5, "random": 1}
    assert lengths(plan) == {"boxes": {30}, "labels": {30}, "random": {30}} and plan.complete
    assert {job.settings.arms for job in plan.known if job.kind == "decide"} == {2}
    why = plan.aside["find"]["random"]
    assert why.startswith("random still rises on held-out images (12.5, 13.7, 15.3 at a third, two thirds and the end)")
    assert "to reach boxes it would have to gain 25.7 points within 2 doublings, and gained 2.7 at most" in why


def test_one_that_may_catch_up_makes_it_longer_for_all_until_it_cannot_win() -> None:
    assert plan_of(Finished(99, {}, random=RISING), **LONG).aside["find"] == {}
    assert set(map(max, lengths(plan_of(Finished(99, {}, random=RISING), **LONG)).values())) == {120}

    class Slower(Finished):
        """Rises at first; from 60 updates on by little."""

        def __call__(self, job: Any) -> Any:
            self.curves["labels"] = RISING if job.kind == "transfer" and job.settings.recipe.updates < 60 else FLAT
            self.curves["random"] = (0.1, 0.2, 0.25) if job.settings.recipe.updates < 60 else SLOW
            return super().__call__(job)

    class OfTransfers(Slower):
        def __call__(self, job: Any) -> Any:
            return super().__call__(job) if job.kind == "transfer" else Finished.__call__(self, job)

    plan = plan_of(OfTransfers(99, {}), **LONG)
    assert lengths(plan) == {"boxes": {60}, "labels": {60}, "random": {60}} and seeds_of(plan)["random"] == 1


class Alone(Finished):
    """The random one is far behind and rises; from `near` updates on it is near the others and rests."""

    def __init__(self, near: int, finished: int = 999) -> None:
        super().__init__(99, {})
        self.near, self.finished = near, finished

    def __call__(self, job: Job) -> dict[str, float | None] | None:
        if job.kind == "transfer":
            updates = job.settings.recipe.updates
            self.curves["random"] = (0.38, 0.39, 0.39) if updates >= self.near else (0.1, 0.2, 0.3)
            if "random" in job.label and updates > self.finished:
                return None
        return super().__call__(job)


def test_one_that_is_far_behind_goes_on_alone_and_is_set_aside_if_it_comes_no_nearer() -> None:
    plan = plan_of(Alone(near=999), **LONG)
    assert lengths(plan) == {"boxes": {30}, "labels": {30}, "random": {120}} and plan.complete
    assert seeds_of(plan) == {"boxes": 5, "labels": 5, "random": 1}
    why = plan.aside["find"]["random"]
    assert "trained on alone, to 4 times the updates of the others, and on held-out images it still scores 11.0" in why


def test_one_that_starts_late_has_all_updates() -> None:
    """It scores next to nothing and stands still at 60 updates, and is near at 120."""

    class Late(Finished):
        def __call__(self, job: Job) -> dict[str, float | None] | None:
            if job.kind == "transfer":
                curves = {30: (0.0, 0.01, 0.05), 60: (0.05, 0.05, 0.05), 120: (0.05, 0.2, 0.39)}
                self.curves["random"] = curves[job.settings.recipe.updates]
            return super().__call__(job)

    assert lengths(plan_of(Late(99, {}), **LONG)) == {name: {120} for name in NAMES}


@pytest.mark.parametrize("near", [60, 120])
def test_all_are_trained_as_long_as_one_that_comes_near(near: int) -> None:
    plan = plan_of(Alone(near), **LONG)
    assert lengths(plan) == {name: {near} for name in NAMES} and plan.aside == {"find": {}}


def test_others_do_not_wait_for_one_that_goes_on_alone() -> None:
    """Nothing is known of 60 updates: the second seeds of the others need not wait, and no third one is known."""
    plan = plan_of(Alone(near=999, finished=30), **LONG)
    known = {job.label for job in plan.known if job.kind == "transfer" and "seed 0" not in job.label}
    assert known == {f"find from {name}, seed 1, rate 0.003" for name in ("boxes", "labels")}
    assert plan.trials == [] and not plan.complete and plan.hidden


def test_full_and_extend_train_it_like_all_others() -> None:
    slow = Finished(99, {}, random=SLOW)
    whole = plan_of(slow, adaptive=False, **LONG)
    assert whole.aside == {"find": {}} and set(seeds_of(whole).values()) == {5}
    assert lengths(whole) == {name: {120} for name in NAMES}
    for times, updates in ((1, 120), (2, 240)):
        plan = Planner(study(**LONG), Path(), extended={"find": times}).expand(slow)
        assert plan.aside == {"find": {}} and lengths(plan) == {name: {updates} for name in NAMES}


def test_a_look_sets_aside_who_is_behind_but_has_not_converged() -> None:
    """Without longer trainings to come, what it scores now is all it can score."""
    plan = plan_of(Finished(99, {2: ("random",)}, random=SLOW))
    assert seeds_of(plan) == {"boxes": 5, "labels": 5, "random": 2} and [*plan.aside["find"]] == ["random"]
    assert "its updates are as many as the budget allows" in plan.aside["find"]["random"]
    # Who is not shown to be behind is not asked; who may still be ahead stays.
    assert seeds_of(plan_of(Finished(99, {}, random=SLOW)))["random"] == 5


def done(of: Any, run: Path, most: int, **curves: tuple[float, float, float]) -> Planner:
    """The study run here, with the scores of these curves in the place of trainings; `most` jobs at most."""
    planner, store, rng = Planner(of, Path()), Store(run), np.random.default_rng(0)
    scores = Finished(99, {}, **curves)
    while most and (ready := planner.expand(lookup(store)).ready):
        job, out, most = ready[0], store.partial(ready[0].name), most - 1
        out.mkdir(parents=True, exist_ok=True)
        metrics = scores(job) if job.kind == "transfer" else {"test/images": 12.0}
        if job.kind == "evaluate":
            name = job.label.split()[3].rstrip(",")
            value = scores.curves.get(name, FLAT)[2] + 0.005 * rng.normal()
            metrics |= {METRIC: value, METRIC.replace("0.5", "0.7"): value / 2}
            save_arrays(out / "replicates.npz", {m: value + 0.01 * rng.normal(size=40) for m in metrics if "/map" in m})
        if job.kind == "decide":
            metrics = decide(job.settings, None, {r: store.path(j.name) for r, j in job.inputs.items()}, out, silent)
        write_json(out / "metrics.json", metrics)
        store.commit(job.name, job.key, {"kind": job.kind})
    return planner


def test_the_answer_gives_no_verdict_and_a_run_that_was_stopped_decides_the_same(tmp_path: Path) -> None:
    of, run = study(seeds=[0, 1, 2], **LONG), tmp_path / "run"
    for some in (7, 13, 1000):
        planner = done(of, run, some, random=SLOW, labels=(0.30, 0.30, 0.30))
    store = Store(run)
    results = Results(planner, store, planner.expand(lookup(store)))
    assert results.expansion.complete and [*results.aside["find"]] == ["random"]
    summary = results.summary()
    first = summary["rankings"][0]
    assert [row["weights"] for row in first["rows"]] == ["boxes", "labels"] and first["best_set"] == ["boxes"]
    assert [*first["set_aside"]] == ["random"] and first["not_ranked"] == {}
    assert (first["sequential"]["trainings"], first["sequential"]["not_run"]) == (9, 4)
    assert [t["not_converged"] for t in summary["trials"] if t["weights"] == "random"] == [True]
    said = " ".join(" ".join(answer_lines(summary, run)).split())
    assert "set aside without a verdict: random; random still rises on held-out images (12.5, 13.7, 15.3" in said
    assert "set aside: random of find; the same command with --extend trains all its candidates on" in said
    assert [*Ranking.from_json(first).set_aside] == ["random"]
    assert extend(run, results.convergence, results.aside) == ["find"]
    assert extend(run, results.convergence) == []


def test_without_held_out_scores_nobody_is_set_aside() -> None:
    nothing = (float("nan"),) * 3
    assert plan_of(Finished(99, {2: ("random",)}, random=nothing), **LONG).aside == {"find": {}}
