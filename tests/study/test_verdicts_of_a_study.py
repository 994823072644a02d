"""Verdicts come from the measured trials: arms swapped, permuted over seeds, and replaced by random weights.

One miniature study really trains both arms (three origins each) until the effects show; the others reuse its store. The
whole pre-trainings take longer than what is run with every change may.
"""

import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from headstart.config.study import Study
from headstart.store.store import Store
from headstart.study.files import load_study, write_study
from headstart.study.jobs import Expansion, Trial
from headstart.study.plan import Planner
from headstart.study.results import Results
from headstart.study.run import lookup

pytestmark = pytest.mark.nightly

EXPLAIN = 'boxes = "labels-boxes"\nlabels = "labels"\nrandom = "random"'


def miniature() -> Study:
    """The shapes study with fewer images to test on and without its second detection task. Its pre-training is left
    whole: where seeds do not agree on the sign of an effect, a permutation can make them agree by chance."""
    values = load_study("shapes")[0].model_dump(mode="json")
    values["name"] = "miniature"
    counts = {"probe": 1000, "test": 1000, "novel-train": 600, "novel-test": 800}
    for name, count in counts.items():
        values["sets"][name]["count"] = count
    values["tasks"] = [task for task in values["tasks"] if task["name"] != "detect-40"]
    values["why"] = []
    return Study.model_validate(values)


def run(folder: Path, name: str) -> dict:
    command = [sys.executable, "-m", "headstart", "run", f"{name}/study.toml", "--out", name, "-q"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / name / "metrics.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("verdicts")
    (folder / "straight").mkdir()
    write_study(miniature(), folder / "straight" / "study.toml", "made by a test")
    run(folder, "straight")
    return folder


def other(folder: Path, name: str, explain: str) -> dict:
    """The same trials read with other roles; only the explanations are made anew."""
    if not (folder / name).is_dir():
        (folder / name).mkdir()
        shutil.copytree(folder / "straight" / "store", folder / name / "store")
        text = (folder / "straight" / "study.toml").read_text()
        assert EXPLAIN in text
        (folder / name / "study.toml").write_text(text.replace(EXPLAIN, explain))
    return run(folder, name)


def verdicts(summary: dict) -> dict[str, str]:
    return {finding["id"]: finding["verdict"] for finding in summary["findings"]}


def straight(folder: Path) -> dict:
    return json.loads((folder / "straight" / "metrics.json").read_text())


def test_the_effects_are_there_to_begin_with(folder):
    found = verdicts(straight(folder))
    assert found["F1a"] == "supported"


def test_swapped_arms_reverse_the_sign_of_every_effect(folder):
    swapped = other(folder, "swapped", 'boxes = "labels"\nlabels = "labels-boxes"\nrandom = "random"')
    pairs = list(zip(straight(folder)["findings"], swapped["findings"], strict=True))
    turned = 0
    for one, two in pairs:
        assert one["id"] == two["id"]
        if one["primary"] and two["primary"]:
            assert two["primary"]["effect"] == pytest.approx(-one["primary"]["effect"], abs=1e-9), one["id"]
            turned += 1
    assert turned >= 7


def test_arms_permuted_over_seeds_support_nothing(folder):
    other(folder, "swapped", 'boxes = "labels"\nlabels = "labels-boxes"\nrandom = "random"')
    straight_, swapped = (expansion(folder, name) for name in ("straight", "swapped"))
    for flipped in itertools.product((False, True), repeat=3):
        if len(set(flipped)) == 1:
            continue
        mixed = [permuted(t) if flipped[t.seed] else t for t in straight_[1].trials]
        order = sorted(mixed, key=lambda t: (t.task, t.weights, t.seed))
        explain = [e for e in straight_[1].explain if not flipped[e[1]]]
        explain += [e for e in swapped[1].explain if flipped[e[1]]]
        results = Results(straight_[0], Store(folder / "swapped"), replace(straight_[1], trials=order, explain=explain))
        found = verdicts(results.summary())
        assert not [name for name, verdict in found.items() if verdict == "supported"], (flipped, found)


def expansion(folder: Path, name: str) -> tuple[Planner, Expansion]:
    study, base = load_study(str(folder / name / "study.toml"))
    planner = Planner(study, base)
    return planner, planner.expand(lookup(Store(folder / name)))


def permuted(trial: Trial) -> Trial:
    return replace(
        trial, weights={"labels-boxes": "labels", "labels": "labels-boxes"}.get(trial.weights, trial.weights)
    )


def test_random_weights_in_place_of_the_boxes_end_f1_and_f2a(folder):
    """F1 is supported with the boxes arm (see above). F2a is contradicted in this world already; it stays unsupported,
    and its effect does not rise."""
    without = other(folder, "no-boxes", 'boxes = "random"\nlabels = "labels"')
    found = verdicts(without)
    for name in ("F1a", "F1b", "F2a"):
        assert found[name] != "supported", found
    effects = [{f["id"]: f["primary"] for f in summary["findings"]} for summary in (straight(folder), without)]
    for name in ("F1a", "F2a"):
        assert effects[1][name]["effect"] < effects[0][name]["effect"], name
