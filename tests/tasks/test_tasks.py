"""The tasks there are: what the planner, the report and `compare` ask of each holds together."""

import pytest

from headstart.errors import StudyError, UsageError
from headstart.names import parse
from headstart.recipes.schema import HEADS
from headstart.study.files import load_study
from headstart.study.plan import Planner
from headstart.tasks.protocol import Task, TrainedTask
from headstart.tasks.table import FILES, TASKS, task_of, trained_task, trained_tasks

FAMILIES = {"detect": "det", "segment": "seg", "classify": "cls", "probe": "probe"}


@pytest.mark.parametrize("kind", FILES)
def test_a_task_is_what_its_file_is_called_and_ranks_by_its_own_metrics(kind):
    task = TASKS[kind]
    assert task.kind == kind and isinstance(task, Task) and bool(task.heads) == isinstance(task, TrainedTask)
    ranked = [parse(name) for name in task.ranked_by("voc-area")]
    assert ranked and all(parts.family == task.family == FAMILIES[kind] for parts in ranked)
    assert all(parts.higher_is_better and task.is_headline(parts) for parts in ranked)
    assert {*task.finding_metrics("voc-area").values()} >= {*task.ranked_by("voc-area")}
    assert len({other.family for other in TASKS.values()}) == len(TASKS), "the report tells tasks by their family"


def test_metrics_that_candidates_are_ranked_and_rates_are_chosen_by():
    ranked = {kind: task.ranked_by("coco") for kind, task in TASKS.items()}
    assert ranked == {
        "detect": ("det/coco/map@0.5", "det/coco/map@0.7"),
        "segment": ("seg/miou",),
        "classify": ("cls/top1",),
        "probe": ("probe/logistic/top1", "probe/ridge/top1"),
    }
    assert {kind: task.chosen_by("coco") for kind, task in trained_tasks().items()} == {
        "detect": ("det/coco/map@0.5", "det/coco/map@0.5:0.95"),
        "segment": ("seg/miou",),
        "classify": ("cls/top1", "cls/log_loss"),
    }


def test_pre_training_has_heads_of_the_tasks_that_it_is_like():
    assert {"boxes": TASKS["detect"].heads[:3], "labels": TASKS["classify"].heads} == HEADS


@pytest.mark.parametrize("kind", trained_tasks())
def test_the_recipes_of_compare_have_a_head_of_the_task(kind):
    task = trained_task(kind)
    for budget in ("quick", "normal"):
        recipe = task.recipe_for(task.updates[budget], "r")
        assert recipe.head in task.heads and recipe.updates == task.updates[budget] and len(recipe.rates) >= 3


def test_kinds_that_there_are_not_are_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"no task of kind 'detct'; did you mean 'detect'\? There are detect, segment"):
        task_of("detct")
    with pytest.raises(UsageError, match=r"'probe' trains no model; detect, segment, classify do"):
        trained_task("probe")


def test_a_study_made_in_code_is_checked_when_it_is_planned(tmp_path):
    study, base = load_study("shapes")
    tasks = (study.tasks[0].model_copy(update={"kind": "detct"}), *study.tasks[1:])
    with pytest.raises(StudyError, match=r"study shapes: tasks\.0\.kind: .*did you mean 'detect'"):
        Planner(study.model_copy(update={"tasks": tasks}), base)
