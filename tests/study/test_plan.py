"""The planner by hand: which jobs a study has, what each is told and needs, what waits, and when keys change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.config.study import Study
from headstart.study.finished.provenance import study_digest
from headstart.study.jobs import Expansion, Job, as_json
from headstart.study.origins import PIXELS_PER_SECOND
from support.drawn_layouts import as_coco, drawn_images
from support.small_studies import DETECT, RATES, by_label, drawn, everything, needs, nothing, photos, planner


def labels(expansion: Expansion) -> list[str]:
    return [job.label for job in expansion.known]


TIME = "time of shapes-resnet at 48 x 48 pixels"


def test_a_search_hides_what_follows_it() -> None:
    plan = planner(drawn()).expand(nothing)
    assert plan.hidden == 1 and not plan.complete and plan.done == frozenset()
    assert set(RATES) <= set(labels(plan)) and "test find from boxes, seed 5" not in labels(plan)
    assert {job.label for job in plan.ready} == {"draw base for seed 5", "draw train", "draw val", "draw test", TIME}
    assert [(t.weights, t.task) for t in plan.trials] == [(name, "probe") for name in ("boxes", "labels", "random")]


def test_all_jobs_of_a_study_and_what_each_needs() -> None:
    plan = planner(drawn()).expand(everything)
    jobs = by_label(plan)
    assert plan.hidden == 0 and plan.complete and plan.ready == [] and plan.done == {j.key for j in plan.known}
    sources = [(images, name) for images in ("train", "test") for name in ("boxes", "labels", "random")]
    features = {f"features of {images} from {name}, seed 5": name for images, name in sources}
    assert jobs.keys() == {
        *(f"draw {name}" for name in ("base for seed 5", "train", "val", "test")),
        *(f"pre-train {name}, seed 5" for name in ("boxes", "labels")),
        *RATES,
        "test find from boxes, seed 5",
        *features,
        "features of test from labels (early), seed 5",
        *(f"probe from {name}, seed 5" for name in ("boxes", "labels", "random")),
        "neighbors, seed 5",
        "activation maps, seed 5",
        "composition, seed 5",
        TIME,
    }
    made = {"boxes": {"weights": "pre-train boxes, seed 5"}, "labels": {"weights": "pre-train labels, seed 5"}}
    for label, name in features.items():
        images = {"images": f"draw {label.split()[2]}", "statistics": "draw train"}
        assert needs(jobs[label]) == made.get(name, {}) | images, label
    for name in ("boxes", "labels"):
        assert needs(jobs[f"pre-train {name}, seed 5"]) == {"images": "draw base for seed 5"}
    for label in RATES:
        assert needs(jobs[label]) == made["boxes"] | {"train": "draw train", "val": "draw val"}
    assert needs(jobs["test find from boxes, seed 5"]) == {"model0": RATES[1], "test0": "draw test"}
    for name in ("boxes", "labels", "random"):
        assert needs(jobs[f"probe from {name}, seed 5"]) == {
            "train0": f"features of train from {name}, seed 5",
            "test0": f"features of test from {name}, seed 5",
            "train_images0": "draw train",
            "test_images0": "draw test",
        }
    roles = {role: f"features of test from {role}, seed 5" for role in ("boxes", "labels", "random")}
    early = {"early": "features of test from labels (early), seed 5"}
    assert needs(jobs["neighbors, seed 5"]) == roles | early | {"images": "draw test"}
    assert needs(jobs["composition, seed 5"]) == {
        "boxes": "probe from boxes, seed 5",
        "labels": "probe from labels, seed 5",
        **{f"{arm}_{of}": f"features of {of} from {arm}, seed 5" for arm in made for of in ("train", "test")},
        "images": "draw test",
        "train_images": "draw train",
    }
    assert needs(jobs["activation maps, seed 5"]) == {
        "weights_boxes": "pre-train boxes, seed 5",
        "weights_labels": "pre-train labels, seed 5",
        "images": "draw test",
        "statistics": "draw train",
    }
    assert [(kind, seed, job.label) for kind, seed, job in plan.explain] == [
        ("neighbors", 5, "neighbors, seed 5"),
        ("activations", 5, "activation maps, seed 5"),
        ("composition", 5, "composition, seed 5"),
    ]


def test_what_jobs_are_told() -> None:
    values = drawn()
    plan = planner(values).expand(everything)
    jobs, study = by_label(plan), Study.model_validate(values)
    assert as_json(jobs["draw val"].settings) == {"world": "novel", "count": 12, "first": 24, "size": 48}
    told = as_json(jobs[RATES[1]].settings)
    recipe = as_json(study.tasks[0].recipe)
    assert told["recipe"] == recipe | {"lr": 3e-3, "rates": [], "precision": "fp32"}  # a CPU's, where none is named
    assert {name: value for name, value in told.items() if name not in ("recipe", "weights")} == {
        "copied": {"start": "backbone", "class_rows": "fresh", "head": ""},
        "task": "detect",
        "seed": 5,
        "limit": 10,
        "protocol": "coco",
        "resize": "stretch",
        "threads": 2,
        "device": "cpu",
    }
    assert told["weights"]["identity"] is None and told["weights"]["part"] == "backbone"
    assert as_json(jobs["features of test from labels (early), seed 5"].settings)["weights"]["part"] == "early"
    assert as_json(jobs["features of test from labels, seed 5"].settings)["weights"]["part"] == "backbone"
    assert as_json(jobs["features of test from random, seed 5"].settings)["weights"]["seed"] == 5
    drawn_often = {"bootstrap": 150, "threads": 2}
    tested = as_json(jobs["test find from boxes, seed 5"].settings)
    assert tested == drawn_often | {"task": "detect", "protocol": "coco", "device": "cpu"}
    assert as_json(jobs["probe from boxes, seed 5"].settings) == drawn_often | {"seed": 5, "limit": 7, "further": None}
    assert as_json(jobs["neighbors, seed 5"].settings) == drawn_often
    assert as_json(jobs["composition, seed 5"].settings) == drawn_often | {"seed": 5, "limit": 7}  # as the probe
    maps = as_json(jobs["activation maps, seed 5"].settings)
    assert maps["weights"].keys() == {"boxes", "labels", "random"}
    assert {name: maps[name] for name in drawn_often} == drawn_often
    origin = as_json(jobs["pre-train labels, seed 5"].settings)
    assert (origin["recipe"]["supervision"], origin["early"], origin["seed"], origin["threads"]) == (
        "labels",
        0.5,
        5,
        2,
    )
    assert origin["table"] is None and origin["weights"]["identity"]["backbone"] == "shapes-resnet"
    assert origin["recipe"]["training"]["precision"] == "fp32" and "about" not in origin["recipe"]


def test_costs_are_pixels_over_the_speed() -> None:
    jobs = by_label(planner(drawn()).expand(everything))
    assert jobs["draw base for seed 5"].cost == pytest.approx(48 * 64**2 / 96**2 / 500)
    assert jobs["pre-train boxes, seed 5"].cost == pytest.approx(30 * 8 * 64**2 / PIXELS_PER_SECOND)
    assert jobs[RATES[0]].cost == pytest.approx(30 * 8 * 48**2 / PIXELS_PER_SECOND)
    assert jobs["features of train from boxes, seed 5"].cost == pytest.approx(24 * 48**2 / (3 * PIXELS_PER_SECOND))
    assert jobs["test find from boxes, seed 5"].cost == pytest.approx(20 * 48**2 / (3 * PIXELS_PER_SECOND) + 2)
    fixed = ("probe from random", "neighbors", "composition", "activation maps")
    assert [jobs[f"{what}, seed 5"].cost for what in fixed] == [3, 8, 8, 15]


def test_trials_say_how_they_were_trained() -> None:
    trials = {(t.weights, t.task): t for t in planner(drawn()).expand(everything).trials}
    found = trials["boxes", "find"]
    assert (found.seed, found.rates, found.at_edge) == (5, (3e-3,), False)
    assert [job.label for job in found.transfers] == [RATES[1]]
    assert found.evaluate.label == "test find from boxes, seed 5"
    probed = trials["random", "probe"]
    assert (probed.rates, probed.transfers, probed.at_edge, probed.seed) == ((), (), False, 5)
    assert probed.evaluate.label == "probe from random, seed 5"


def test_the_best_rate_at_an_edge_is_said() -> None:
    def lookup(job: Job) -> dict[str, float | None]:
        return {"val/det/coco/map@0.5:0.95": job.settings.recipe.lr} if job.kind == "transfer" else {}

    trial = planner(drawn()).expand(lookup).trials[0]
    assert trial.at_edge and trial.rates == (8.1e-2,)


def test_jobs_wait_for_their_inputs() -> None:
    """Ready: not done, and all that is needed is done."""
    done = {"draw base for seed 5", "draw train", "pre-train boxes, seed 5"}

    def lookup(job: Job) -> dict[str, float | None] | None:
        return {} if job.label in done else None

    plan = planner(drawn()).expand(lookup)
    ready = {job.label for job in plan.ready}
    assert ready == {
        "draw val",
        "draw test",
        "pre-train labels, seed 5",
        "features of train from boxes, seed 5",
        "features of train from random, seed 5",
        TIME,
    }
    assert {job.label for job in plan.known if job.key in plan.done} == done and not plan.complete


def test_inputs_stand_before_what_needs_them() -> None:
    seen: set[str] = set()
    for job in planner(drawn()).expand(everything).known:
        assert {needed.key for needed in job.inputs.values()} <= seen
        seen.add(job.key)


def test_a_fixed_rate_is_not_searched() -> None:
    values = drawn()
    values["tasks"][0] |= {"recipe": DETECT | {"lr": 2e-3}, "val": []}
    plan = planner(values).expand(nothing)
    transfers = [job.label for job in plan.known if job.kind == "transfer"]
    assert plan.hidden == 0 and transfers == ["find from boxes, seed 5, rate 0.002"]
    trial = plan.trials[0]
    assert trial.rates == (2e-3,) and not trial.at_edge
    assert "val" not in trial.transfers[0].inputs


def test_without_explanations_or_control() -> None:
    values = drawn()
    values["explain"] = {"boxes": "boxes", "labels": "labels", "images": "test", "statistics": "train"}
    plan = planner(values).expand(everything)
    assert [kind for kind, _, _ in plan.explain] == ["neighbors", "activations"]
    assert plan.explain[1][2].settings.weights.keys() == {"boxes", "labels"}
    del values["explain"]
    assert planner(values).expand(everything).explain == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("plan")
    as_coco(drawn_images(base / "drawn", 16), base / "photos")
    return base


def test_sets_in_folders_are_split_once_and_prepared_by_role(folder: Path) -> None:
    plan = planner(photos(), folder).expand(nothing)
    jobs = by_label(plan)
    assert [job.kind for job in plan.known] == [
        *("split", "prepare", "prepare", "transfer", "prepare", "evaluate"),
        "time",
    ]
    split = jobs["split the images"]
    data = as_json(split.settings)["data"]
    told = {"data": data, "task": "detect", "folds": 0, "on_bad_image": "error", "seed": 0}
    assert as_json(split.settings) == told
    for role in ("train", "val", "test"):
        job = jobs[f"prepare {role}"]
        assert needs(job) == {"split": "split the images"} and job.cost == pytest.approx(16 / 60)
        assert as_json(job.settings) == {
            "data": data,
            "task": "detect",
            "role": role,
            "fold": None,
            "folds": 0,
            "size_hw": [40, 60],
            "on_bad_image": "error",
            "resize": "stretch",
        }
        assert (job.place.root, job.place.format, job.place.read) == (str(folder / "photos"), None, {})
    assert split.cost == pytest.approx(16 / 100) and split.place == jobs["prepare val"].place
    transfer, evaluate = plan.trials[0].transfers[0], plan.trials[0].evaluate
    assert transfer.place.data == evaluate.place == split.place, "original masks are read from there"
    assert transfer.cost == pytest.approx(30 * 8 * 40 * 60 / PIXELS_PER_SECOND)
    assert evaluate.cost == pytest.approx(4 * 40 * 60 / (3 * PIXELS_PER_SECOND) + 2), "of 16 images 4 are tested"


def test_a_data_set_is_opened_once(folder: Path) -> None:
    plan = planner(photos(), folder)
    tables = [plan.sets.annotations(settings) for settings in plan.study.sets.values()]
    assert all(table is tables[0] for table in tables)
    other = planner(photos(read={"on_bad_box": "skip"}), folder).study.sets["train"]
    assert plan.sets.annotations(other) is not tables[0]


CHANGES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"size_hw": [40, 40]}, {"prepare", "transfer", "evaluate", "time"}),
    ({"resize": "crop"}, {"prepare", "transfer", "evaluate"}),
    ({"on_bad_image": "skip"}, {"split", "prepare", "transfer", "evaluate"}),
    ({"format": "coco"}, set()),
]


@pytest.mark.parametrize(("changes", "anew"), CHANGES, ids=[str(changes) for changes, _ in CHANGES])
def test_keys_change_with_what_results_depend_on_and_with_nothing_else(
    folder: Path, changes: dict[str, Any], anew: set[str]
) -> None:
    before, after = (planner(values, folder).expand(nothing).known for values in (photos(), photos(**changes)))
    changed = {a.kind for a, b in zip(before, after, strict=True) if a.key != b.key}
    assert changed == anew
    offline = planner(photos(), folder, offline=True).expand(nothing).known
    assert [job.key for job in offline] == [job.key for job in before]
    assert offline[3].place.start.offline and not before[3].place.start.offline


def test_folds_are_searched_each_and_tested_together() -> None:
    values = drawn()
    values["sets"]["more"] = {"world": "novel", "count": 10, "first": 56, "size": 48}
    values["sets"]["most"] = {"world": "novel", "count": 10, "first": 66, "size": 64}
    folds = {"train": ["train", "more"], "val": ["val", "val"], "test": ["test", "most"]}
    values["tasks"] = [values["tasks"][0] | folds]
    del values["explain"]
    plan = planner(values).expand(everything)
    trial = plan.trials[0]
    assert [job.label for job in trial.transfers] == [f"find from boxes, seed 5, fold {k}, rate 0.003" for k in (1, 2)]
    assert trial.rates == (3e-3, 3e-3)
    assert needs(trial.transfers[1])["train"] == "draw more"
    assert list(needs(trial.evaluate)) == ["model0", "model1", "test0", "test1"]
    assert needs(trial.evaluate)["test1"] == "draw most"
    assert trial.evaluate.cost == pytest.approx((20 * 48**2 + 10 * 64**2) / (3 * PIXELS_PER_SECOND) + 2)


def test_a_study_is_the_same_whatever_makes_its_batches() -> None:
    """Not where several processes train together: sums are in another order."""
    study = planner(drawn()).study

    def with_all(**more: int) -> str:
        changed = {name: wanted.model_copy(update=more) for name, wanted in study.pretraining.items()}
        return study_digest(study.model_copy(update={"pretraining": changed}))

    assert study.pretraining and with_all(loaders=4) == with_all(loaders=0) == study_digest(study)
    assert with_all(processes=2) != study_digest(study)


def test_one_seed_more_runs_its_jobs_only():
    """By what is stored: the plan of the larger study, where all jobs of the smaller one are done."""
    done = {}

    def labels_of_a_run(values):
        plan, begun = planner(values), []
        while ready := plan.expand(lambda job: done.get(job.key)).ready:
            begun += [job.label for job in ready]
            done.update({job.key: everything(job) for job in ready})
        return begun

    first, more = labels_of_a_run(drawn()), labels_of_a_run(drawn() | {"seeds": [5, 6]})
    assert more and all("seed 6" in label for label in more), more
    assert len(more) < len(first)


def test_jobs_do_not_depend_on_what_is_finished_and_are_made_once():
    plan = planner(drawn())
    first, second = plan.expand(nothing), plan.expand(nothing)
    kept = {"draw", "pretrain", "transfer", "evaluate", "features"}
    assert all(a is b for a, b in zip(first.known, second.known, strict=True) if a.kind in kept)
    fresh = planner(drawn()).expand(everything)
    assert [job.key for job in plan.expand(everything).known] == [job.key for job in fresh.known]
