"""What no seed changes is computed once and said to be one value: probes and explanations of given weights."""

import pytest
import torch
from safetensors.torch import save_file

from headstart.config.study import Study
from headstart.models.backbones.building import build_backbone
from headstart.report.curves import probes
from headstart.report.run_dir import RunDir
from headstart.report.trials import section
from headstart.store.store import Store
from headstart.study.answer import answer_lines, ranking_lines
from headstart.study.plan import Planner
from headstart.study.results import Results
from headstart.study.run import lookup
from headstart.train.devices import Seat
from support.devices.device_study import done_here
from support.small_studies import CARD

FURTHER = {"kinds": ["logistic", "knn"], "per_class": [1, 2]}


def study(folder, **probe):
    for k, name in enumerate(("one", "two")):
        torch.manual_seed(k)
        save_file(dict(build_backbone("shapes-resnet").state_dict()), folder / f"{name}.safetensors")
        (folder / f"{name}.toml").write_text(
            CARD.replace("pretrained", name).replace("weights.safetensors", f"{name}.safetensors")
        )
    return Study.model_validate(
        {
            "name": "given",
            "seeds": [4, 7],
            "bootstrap": 100,
            "sets": {
                "train": {"world": "novel", "count": 24, "size": 48},
                "test": {"world": "novel", "count": 20, "first": 36, "size": 48},
            },
            "weights": [
                {"name": "one", "uri": str(folder / "one.toml")},
                {"name": "two", "uri": str(folder / "two.toml")},
                {"name": "random", "uri": "random:shapes-resnet"},
            ],
            "tasks": [
                {"name": "probe", "kind": "probe", "train": ["train"], "test": ["test"]} | probe,
                {"name": "few", "kind": "probe", "train": ["train"], "test": ["test"], "further": FURTHER},
            ],
            "explain": {"boxes": "one", "labels": "two", "random": "random", "images": "test", "statistics": "train"}
            | {"probe": "probe"},
        }
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    settings = study(folder)
    jobs = done_here(settings, folder / "run", Seat())
    planner, store = Planner(settings, folder), Store(folder / "run")
    return jobs, Results(planner, store, planner.expand(lookup(store))).summary(), folder / "run"


def test_given_weights_are_probed_and_explained_once(finished):
    jobs, _, _ = finished
    kinds = {kind: sorted(label for label in jobs if label.startswith(kind)) for kind in ("probe", "activation", "com")}
    assert kinds == {
        "probe": ["probe from one", "probe from random, seed 4", "probe from random, seed 7", "probe from two"],
        "activation": [
            "activation maps",
            "activation maps of random values, seed 4",
            "activation maps of random values, seed 7",
        ],
        "com": ["composition"],
    }


def test_the_answer_says_so_and_shows_no_interval_over_seeds(finished):
    _, summary, run = finished
    ranking = summary["rankings"][0]
    rows = {row["weights"]: row for row in ranking["rows"]}
    assert [len(rows[name]["per_seed"]) for name in ("one", "two", "random")] == [1, 1, 2]
    trials = {t["seed"]: t for t in summary["trials"] if (t["weights"], t["task"]) == ("one", "probe")}
    assert trials[4]["evaluate_key"] == trials[7]["evaluate_key"]
    assert rows["one"]["hi"] - rows["one"]["lo"] > 0.02, "20 test images are few, whatever the seeds"
    lines = ranking_lines(ranking)
    assert sum("one value for all seeds: " in line and "random" not in line for line in lines) == 1
    report = section(RunDir(run, summary, {}, {})).body
    assert report.count("one value: no seed changes it") == 2
    assert ranking["scope"].startswith("these weights, over 2 seeds")


def test_findings_of_given_weights_have_all_their_measures(finished):
    _, summary, _ = finished
    by_id = {finding["id"]: finding for finding in summary["findings"]}
    assert all(by_id[name]["verdict"] != "not tested" for name in by_id if name.startswith("F4"))
    assert len({row["dir"] for row in summary["explain"] if row["kind"] == "composition"}) == 1


def test_where_a_seed_draws_the_training_images_each_seed_is_probed(tmp_path):
    plan = Planner(study(tmp_path, limit=12), tmp_path).expand(lambda job: {})
    probes = [job.label for job in plan.known if job.kind == "probe"]
    assert len(probes) == 12 and "probe from one, seed 7" in probes


def test_further_probes_are_told_with_intervals(finished):
    """Few images are drawn by each seed, so each has a job of its own; stages before the last, too."""
    jobs, summary, run = finished
    assert sum(label.startswith("few from one") for label in jobs) == 2
    (found,) = summary["probes"]
    rows = {(row["kind"], row["of"]): row for row in found["rows"] if row["measure"] == "top1"}
    places = [None, "C2", "C3", "C4", "1-a-class", "2-a-class"]
    assert {of for kind, of in rows if kind == "knn"} == {*places} and ("ridge", "C2") not in rows
    few = rows["knn", "2-a-class"]["values"]["one"]
    trials = [t["metrics"]["probe/knn/top1/2-a-class"] for t in summary["trials"] if t["task"] == "few"][:2]
    assert few["mean"] == pytest.approx(sum(trials) / 2) and few["lo"] < few["mean"] < few["hi"]
    page = probes.section(RunDir(run, summary, {}, {})).body
    assert page.count("<svg viewBox") == 4 and "K-NN probe, top-1 accuracy, 2 images a class" in page
    assert any(line.startswith("   knn, C4: one ") for line in answer_lines(summary, run))
