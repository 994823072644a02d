"""`predict RUN`: the best candidate's model, or a question which task is meant."""

import json

import pytest

from headstart.errors import StudyError, UsageError
from headstart.study.answer import answer_lines
from headstart.study.winners import winning_model
from support.reports.fake_run import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Detection and segmentation won by boxes, and a probe, over three seeds."""
    return write_run(tmp_path_factory.mktemp("runs") / "shapes")


def test_of_several_tasks_one_has_to_be_named(run):
    with pytest.raises(UsageError) as fault:
        winning_model(run)
    assert str(fault.value) == (
        f"{run}: has models of 2 tasks. Say which with --task: detect-novel (best: boxes); segment-novel (best: boxes)"
    )


def test_the_model_is_that_of_the_first_ranking_and_seed(run):
    summary = json.loads((run / "metrics.json").read_text())
    trial = next(t for t in summary["trials"] if t["task"] == "segment-novel" and t["weights"] == "boxes")
    best = winning_model(run, "segment-novel")
    assert best is not None and best.folder == run / "store" / trial["transfer_keys"][0] and best.seed == 0
    assert best.words() == f"segment-novel from boxes, seed 0: {best.folder}"


def test_a_probe_has_no_model(run):
    with pytest.raises(
        UsageError, match=r"no model of a task 'probe-base'\. probe-base trains none: it is read off fr"
    ):
        winning_model(run, "probe-base")


def test_the_answer_says_how_each_is_used(run):
    lines = answer_lines(json.loads((run / "metrics.json").read_text()) | {"findings": []}, run)
    assert [line for line in lines if "its model" in line] == [
        f"   its model: headstart predict {run} IMAGES --task {task}" for task in ("detect-novel", "segment-novel")
    ]


def test_a_run_without_results_says_how_to_get_them(tmp_path):
    (tmp_path / "study.json").write_text('{"tasks": [{"name": "detect"}]}')
    with pytest.raises(StudyError, match=r"a run without results yet\. Finish it first: headstart run "):
        winning_model(tmp_path)
    (tmp_path / "study.json").write_text('{"tasks": []}')
    assert winning_model(tmp_path) is None
