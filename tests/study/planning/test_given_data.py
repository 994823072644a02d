"""Data sets that a study only names: where they lie, and what is said of those that lie nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headstart.config.study import Study
from headstart.errors import StudyError, UsageError
from headstart.study.files import load_study
from headstart.study.planning.given_data import assigned, left_out, named, tasks_without, with_data


@pytest.fixture(scope="module")
def paper() -> Study:
    return load_study("paper")[0]


def test_all_that_are_missing_are_named_at_once_with_where_to_get_them(paper: Study, tmp_path: Path) -> None:
    (tmp_path / "coco").mkdir()
    with pytest.raises(StudyError) as fault:
        with_data(paper, {}, tmp_path, all_needed=True)
    lines = str(fault.value).splitlines()
    assert lines[0] == "paper: 8 of 9 data sets have no place:"
    assert [line.split(":")[0].strip() for line in lines[1:9]] == [name for name in named(paper) if name != "coco"]
    assert all("http" in line and " GB; " in line for line in lines[1:9])
    assert "--data NAME=PATH" in lines[-1] and "--data-root PATH" in lines[-1]


def test_a_place_that_is_said_goes_before_the_folder_of_that_name(paper: Study, tmp_path: Path) -> None:
    for name in named(paper):
        (tmp_path / "root" / name).mkdir(parents=True)
    (tmp_path / "other").mkdir()
    placed = with_data(paper, {"voc": tmp_path / "other"}, tmp_path / "root", all_needed=True)
    assert placed.sets["voc-test"].path == str(tmp_path / "other")  # type: ignore[union-attr]
    assert placed.sets["coco"].path == str(tmp_path / "root" / "coco")  # type: ignore[union-attr]
    assert not named(placed)
    small = with_data(load_study("paper-small")[0], {"voc": tmp_path / "other"}, None, all_needed=False)
    assert small.sets["masks"].path == str(tmp_path / "other" / "VOC2012")  # type: ignore[union-attr]
    assert small.sets["flowers102"].path == "data:flowers102"  # type: ignore[union-attr]


def test_wrong_words_are_refused(paper: Study, tmp_path: Path) -> None:
    assert assigned(["voc=a=b"]) == {"voc": Path("a=b")}
    for words in ("voc", "=x", "voc="):
        with pytest.raises(UsageError, match="write NAME=PATH"):
            assigned([words])
    with pytest.raises(UsageError, match="names no such data set, only voc, "):
        with_data(paper, {"vocc": tmp_path}, None, all_needed=False)
    with pytest.raises(UsageError, match="there is nothing at that place"):
        with_data(paper, {"voc": tmp_path / "no"}, None, all_needed=False)


WHY = {"task": "voc", "images": "caltech256-test", "statistics": "caltech256"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"weights": {"coco": {"start": "detector"}}}, "tasks.voc: `own_sizes` copies backbones only, and coco would"),
        ({"tasks": {"voc": {"train": ["masks"]}}}, "tasks.voc: set 'masks' is brought to one size; `own_sizes` takes"),
        ({"tasks": {"caltech256": {"test": ["voc-test"]}}}, "tasks.caltech256: set 'voc-test' is for pre-trainings"),
        ({"why": [WHY]}, "why.0.task: 'voc' is tested on images at their own sizes, not on prepared ones"),
        ({"tasks": {"voc": {"limit": 5}}}, "`own_sizes` stands alone: no `recipe`, `val`, `limit`"),
        ({"sets": {"voc-test": {"path": "data:vox"}}}, "sets.voc-test: there is no data set named 'vox'"),
        ({"sets": {"caltech256": {"folds": 3}}}, "`per_class` draws classified images, without `folds`"),
        ({"sets": {"flowers102": {"among": ["val"]}}}, "`among` and `test_per_class` need `per_class`"),
        (
            {"published": [{"task": "voc", "weights": "x", "metric": "m", "value": 0.5, "source": "s"}]},
            "no task 'voc' with",
        ),
    ],
)
def test_what_does_not_fit_is_named(paper: Study, wrong: dict, said: str) -> None:
    values = paper.model_dump(mode="json")
    for group, changes in wrong.items():
        if isinstance(changes, list):
            values[group] = changes
            continue
        for name, change in changes.items():
            entries = values[group]
            entry = entries[name] if isinstance(entries, dict) else next(e for e in entries if e["name"] == name)
            entry.update(change)
    with pytest.raises(ValueError, match=re.escape(said)):
        Study.model_validate(values)


def flowers(optional: bool = True, **changes: object) -> Study:
    """The study of Tiny ImageNet, whose flowers are optional or not."""
    study, _ = load_study("tiny-imagenet")
    data = study.data | {"flowers17": study.data["flowers17"].model_copy(update={"optional": optional})}
    return study.model_copy(update={"data": data} | changes)


def test_tasks_on_optional_data_without_a_place_are_left_out(tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("tiny-imagenet", "tiny-imagenet-novel", "oxford-pets")}
    for place in places.values():
        place.mkdir()
    study = flowers()
    placed = with_data(study, places, None, all_needed=True)
    assert {t.name for t in study.tasks} - {t.name for t in placed.tasks} == {"flowers", "flowers-probe"}
    assert not {"flowers-train", "flowers-test"} & placed.sets.keys() and "breeds-train" in placed.sets
    assert left_out(study, placed) == [
        "left out, as no place is given for flowers17 (--data flowers17=PATH): flowers, flowers-probe"
    ]
    with pytest.raises(StudyError, match="1 of 4 data sets have no place:\n  flowers17: "):
        with_data(flowers(optional=False), places, None, all_needed=True)


def test_what_findings_and_pre_trainings_rest_on_is_not_optional() -> None:
    study = flowers()
    explain = study.explain.model_copy(update={"images": "flowers-test", "statistics": "flowers-train"})  # type: ignore[union-attr]
    assert tasks_without(flowers(), "flowers17") == ("flowers", "flowers-probe")
    assert tasks_without(flowers(explain=explain), "flowers17") == ()
    made = study.pretraining["labels"].model_copy(update={"images": "flowers-train"})
    assert tasks_without(flowers(pretraining={"labels": made}), "flowers17") == ()
