"""Axes of a study file: what they add, that adding is done once, what is found along them, faults."""

import numpy as np
import pytest

from headstart.config.study import Study
from headstart.errors import StudyError
from headstart.report.curves.axes import section
from headstart.report.run_dir import RunDir
from headstart.study.answer import answer_lines
from headstart.study.files import checked
from headstart.study.finished.along import Along, added_tasks
from support.small_studies import drawn

AXES = [
    {"task": "find", "setting": "limit", "values": [0.25, 0.5]},
    {"task": "find", "setting": "recipe.freeze", "values": [["stem"], ["stem", "C2"]]},
    {"pretraining": "labels", "setting": "epochs", "values": [0.4]},
]
CELLS = {"short": {"labels": "labels", "boxes": "boxes"}, "long": {"labels": "x", "boxes": "y"}}


def study(**more):
    values = drawn() | {"axes": AXES, "seeds": [5, 6]}
    values["tasks"][0] |= {"limit": None, "only": []}
    values["weights"] += [{"name": name, "uri": "random:shapes-resnet"} for name in ("x", "y")]
    return values | more


def test_what_axes_add():
    made = Study.model_validate(study())
    tasks = {t.name: t for t in made.tasks}
    assert list(tasks)[2:] == ["find-limit-0.25", "find-limit-0.5", "find-freeze-stem", "find-freeze-stem-C2"]
    assert tasks["find-limit-0.5"].limit == 0.5 and tasks["find-limit-0.5"].recipe == tasks["find"].recipe
    assert tasks["find-freeze-stem-C2"].recipe.freeze == ("stem", "C2")
    assert made.pretraining["labels-epochs-0.4"].recipe.epochs == 0.4
    assert made.pretraining["labels-epochs-0.4"].recipe.training == made.pretraining["labels"].recipe.training
    added = next(w for w in made.weights if w.name == "labels-epochs-0.4")
    assert added.pretraining == "labels-epochs-0.4" and not added.default
    assert added_tasks(made) == {"find-freeze-stem", "find-freeze-stem-C2"}
    for whole in (made.model_dump(mode="json"), made.model_dump(mode="json", exclude_unset=True)):
        assert Study.model_validate(whole) == made


def test_faults_are_named(tmp_path):
    wrong = study(
        axes=[
            {"task": "fnd", "setting": "limit", "values": [1]},
            {"pretraining": "l", "setting": "epochs", "values": [1]},
        ],
        factorial={"cells": {"a": {"p": "x", "q": "y"}, "b": {"p": "labels", "q": "z"}}},
    )
    with pytest.raises(
        StudyError, match=r"(?s)no task named 'fnd'.*no pretraining named 'l'.*b\.q: no weights named 'z'"
    ):
        checked(wrong, "", tmp_path / "s.toml")
    for fault, told in (
        ({"setting": "limit", "values": [1]}, "give one of them"),
        ({"task": "find", "setting": "limit", "values": [2, 2]}, "different ones"),
        ({"task": "find", "setting": "limit", "values": [1.5]}, "less than 1"),
        ({"task": "find", "setting": "recipe.lrr", "values": [1]}, "lrr"),
    ):
        with pytest.raises(StudyError, match=told):
            checked(study(axes=[fault]), "", tmp_path / "s.toml")
    with pytest.raises(ValueError, match="two levels or more"):
        Study.model_validate(study(factorial={"cells": {"a": {"p": "x", "q": "y"}}}))


@pytest.fixture(scope="module")
def found():
    made = Study.model_validate(study(factorial={"factors": ["length", "supervision"], "cells": CELLS}))
    rng = np.random.default_rng(0)
    shared = 0.01 * rng.standard_normal(50)
    gain = {"labels": 0.0, "boxes": 0.1, "x": 0.02, "y": 0.22, "random": -0.2, "labels-epochs-0.4": -0.05}
    of_task = {"find-limit-0.25": 0.3, "find-limit-0.5": 0.4, "find": 0.45}

    def of(trials, task, metric):
        names = [n for n in gain if not (n == "random" and task == "find-limit-0.5")]
        values = {n: of_task.get(task, 0.4) + gain[n] + 0.002 * rng.standard_normal(2) for n in names}
        return values, {n: v[:, None] + shared + 0.001 * rng.standard_normal((2, 50)) for n, v in values.items()}

    along = Along(made, [], of, lambda task: dict.fromkeys(gain, 2))
    return {"axes": along.axes(), "factorial": along.factorial()}


def test_what_is_found_along_them(found):
    data = found["axes"][0]
    assert (data["task"], data["setting"], data["points"]) == ("find", "limit", [0.25, 0.5, None])
    rows = {row["weights"]: row for row in data["rows"]}
    assert rows["labels"]["values"][2]["mean"] == pytest.approx(0.45, abs=0.01)
    assert [round(step["effect"], 2) for step in rows["boxes"]["steps"]] == [0.1, 0.05]
    assert rows["random"]["values"][1] is None and [(s["from"], s["to"]) for s in rows["random"]["steps"]] == [(0, 2)]
    asked = data["question"]
    assert (asked["weights"], asked["best"]) == ("labels", "y")
    assert asked["more"]["effect"] == pytest.approx(0.05, abs=0.01)
    assert asked["change"]["effect"] == pytest.approx(0.22, abs=0.01) and asked["change"]["lo"] > 0
    frozen = next(row for row in found["axes"] if row["setting"] == "recipe.freeze")
    assert frozen["points"] == [[], ["stem"], ["stem", "C2"]] and "question" not in frozen
    origin = next(row for row in found["axes"] if row["pretraining"] == "labels")
    assert origin["points"] == [0.4, 1.6] and [row["weights"] for row in origin["rows"]] == ["labels"]
    assert origin["rows"][0]["steps"][0]["effect"] == pytest.approx(0.05, abs=0.01)


def test_factorial_and_how_it_is_told(found, tmp_path):
    row = next(row for row in found["factorial"] if row["task"] == "find")
    effects = {(e["first"], e["second"]): e for e in row["effects"]}
    assert effects["long", ""]["effect"] == pytest.approx(0.07, abs=0.01)
    assert effects["", "boxes"]["effect"] == pytest.approx(0.15, abs=0.01)
    assert effects["long", "boxes"]["effect"] == pytest.approx(0.10, abs=0.01) and effects["long", "boxes"]["lo"] > 0
    summary = {"rankings": [], "findings": [], "trials": [], "weights": []} | found
    text = "\n".join(answer_lines(summary, tmp_path))
    assert "Label more, or change weights? With labels, going from 50 % to all" in " ".join(text.split())
    assert "length x supervision: long and boxes, beyond their sum" in text
    page = section(RunDir(tmp_path, summary, {}, {})).body
    assert page.count("<svg viewBox") == len(found["axes"]) and "beyond their sum" in page
    assert section(RunDir(tmp_path, {"trials": [], "weights": []}, {}, {})) is None
